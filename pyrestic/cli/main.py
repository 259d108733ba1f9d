"""The program: finds the command, runs it, and turns what it raises into restic's exit codes."""

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import click

from pyrestic import __version__
from pyrestic.cli.arguments import normalize
from pyrestic.cli.options import SWITCHES, global_flags
from pyrestic.errors import PyresticError, UsageError

COMMANDS = {
    "backup": "create a snapshot of files and folders",
    "cat": "print an object of the repository",
    "check": "look for errors in the repository",
    "dump": "write a file, or a folder as an archive, to standard output",
    "init": "create a repository",
    "key": "manage passwords",
    "list": "list objects of the repository",
    "ls": "list the files of a snapshot",
    "restore": "give back the files of a snapshot",
    "snapshots": "list snapshots",
    "unlock": "remove locks that nobody holds any more",
    "version": "print the version",
}
INTERRUPTED = 130


class Program(click.Group):
    """Loads a command's module when it is used, so that others cost nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"pyrestic.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Keep the global flags for the command, then run it."""
        from pyrestic.cli.options import take_global

        ctx.ensure_object(dict)
        take_global(ctx.params, ctx.obj)
        return super().invoke(ctx)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@global_flags(hidden=False)
def program() -> None:
    """Encrypted, deduplicated backups in restic's repository format."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with the given arguments and return its exit code; everything it has to say is printed."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments or "--json=true" in arguments
    name = os.path.basename(sys.argv[0])
    try:
        result = program.main(
            args=normalize(arguments, SWITCHES),
            prog_name=name if name in ("restic", "pyrestic") else "pyrestic",
            standalone_mode=False,
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        _tell(INTERRUPTED, "interrupted", as_json=as_json)
        return INTERRUPTED
    except click.ClickException as error:
        _tell(1, _usage_message(error), as_json=as_json)
        return 1
    except PyresticError as error:
        _tell_error(error, as_json=as_json)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has enough, as in `ls latest | head`.
        _close_output()
        return 0
    except Exception as error:
        return _tell_bug(error, as_json=as_json)


def _usage_message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        return f"unknown flag: {name}" if name.startswith("--") else f"unknown shorthand flag: {name}"
    context = getattr(error, "ctx", None)
    hint = f"\nSee '{context.command_path} --help'." if context is not None else ""
    return error.format_message() + hint


def _tell(code: int, message: str, *, as_json: bool) -> None:
    from pyrestic.cli.terminal import exit_error

    with contextlib.suppress(BrokenPipeError):
        exit_error(code, message, as_json=as_json)


def _tell_error(error: PyresticError, *, as_json: bool) -> None:
    message = f"Fatal: {error}" + (f"\n{error.hint}" if error.hint and not as_json else "")
    _tell(error.exit_code, message, as_json=as_json)


def _tell_bug(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("PYRESTIC_TRACEBACK"):
        raise error
    kind = type(error).__name__
    _tell(
        1,
        f"Fatal: pyrestic {__version__} met something it does not handle, please report it: {kind}: {error}\n"
        "PYRESTIC_TRACEBACK=1 in the environment shows where.",
        as_json=as_json,
    )
    return 1


def _close_output() -> None:
    """Point standard output nowhere, so that Python does not complain when it flushes at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    """End the program in order at the first signal, at once at the second."""
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


def run() -> NoReturn:
    """Entry point of the console script."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    code = main()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.exit(code)


__all__ = ["UsageError", "main", "program", "run"]
