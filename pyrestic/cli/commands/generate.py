"""pyrestic generate: man pages, and completion for shells."""

import os
import sys
from collections.abc import Iterator

import click
from click.shell_completion import get_completion_class

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, text
from pyrestic.cli.manpages import make_pages
from pyrestic.errors import LocalFileError, UsageError

_STDOUT = "-"


def _completion_flag(name: str, shell: str) -> str:
    return text(
        f"--{name}-completion", value="FILE", help=f"write completion for {shell} to this file (`-` for stdout)"
    )


class GenerateFlags(Flags):
    """The flags of generate."""

    bash: str = _completion_flag("bash", "bash")
    fish: str = _completion_flag("fish", "fish")
    zsh: str = _completion_flag("zsh", "zsh")
    powershell: str = _completion_flag("powershell", "PowerShell")
    man: str = text("--man", value="FOLDER", help="write man pages to this folder")


@define("generate", "Write man pages and completion for shells.", GenerateFlags, prints=True, uses_repository=False)
def command(app: App, flags: GenerateFlags) -> None:
    """Write the requested files."""
    root = click.get_current_context().find_root()
    program = root.command
    name = root.info_name or "pyrestic"
    files = {"bash": flags.bash, "fish": flags.fish, "zsh": flags.zsh, "powershell": flags.powershell}
    scripts = {shell: path for shell, path in files.items() if path}
    if sum(path == _STDOUT for path in scripts.values()) > 1:
        raise UsageError("the generate command can generate shell completions to stdout for single shell only")
    if not scripts and not flags.man:
        raise UsageError("nothing to do, please specify at least one output file/dir")
    if flags.man:
        app.terminal.note(f"writing man pages to directory {flags.man}")
        for file_name, page in make_pages(program, name):
            _write(os.path.join(flags.man, file_name), page)
    for shell, path in scripts.items():
        script = _powershell(program, root, name) if shell == "powershell" else _script(program, shell, name)
        if path == _STDOUT:
            sys.stdout.write(script)
            continue
        app.terminal.note(f"writing {shell} completion file to {path}")
        _write(path, script)


def _script(program: click.Command, shell: str, name: str) -> str:
    """Return click's script for a shell."""
    make = get_completion_class(shell)
    if make is None:
        raise UsageError(f"there is no completion for {shell}")
    return make(program, {}, name, f"_{name.upper().replace('-', '_')}_COMPLETE").source()


def _powershell(program: click.Command, ctx: click.Context, name: str) -> str:
    """Return a completion script with the commands and their flags."""
    lines = [f"Register-ArgumentCompleter -Native -CommandName '{name}' -ScriptBlock {{"]
    lines += ["  param($word, $line, $position)", "  $words = @{"]
    for command, flags in _words(program, ctx):
        shown = ", ".join(f"'{flag}'" for flag in flags)
        lines.append(f"    '{command}' = @({shown})")
    lines += [
        "  }",
        "  $given = $line.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() }",
        "  $command = $given | Where-Object { $words.ContainsKey($_) } | Select-Object -First 1",
        "  $known = if ($command) { $words[$command] } else { $words.Keys | Where-Object { $_ } }",
        '  $known | Where-Object { $_ -like "$word*" } | Sort-Object | ForEach-Object {',
        "    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _words(program: click.Command, ctx: click.Context) -> Iterator[tuple[str, list[str]]]:
    """Iterate the commands with their flags."""
    if not isinstance(program, click.Group):
        return
    for name in program.list_commands(ctx):
        command = program.get_command(ctx, name)
        if command is not None:
            yield name, sorted(flag for parameter in command.params for flag in parameter.opts if flag[:2] == "--")


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise LocalFileError(f"{path}: {error.strerror}") from error
