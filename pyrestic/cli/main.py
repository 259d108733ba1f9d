"""The program: finds the command, runs it, and maps its exceptions to restic's exit codes."""

import atexit
import contextlib
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from pyrestic import __version__
from pyrestic.cli import streams
from pyrestic.cli.command import Group
from pyrestic.cli.flags import FlagError, make_plain
from pyrestic.cli.interrupts import INTERRUPTED, find_error, handle_signals, ignore_signals, is_ending
from pyrestic.cli.isolation import restart_in_utf8
from pyrestic.cli.quoting import quote
from pyrestic.cli.zones import use_zone
from pyrestic.errors import PyresticError
from pyrestic.nearest import find_nearest

COMMAND_GROUPS = {
    "Back up": {
        "backup": "create a snapshot of files and folders",
        "import": "make snapshots of the dated folders of other backup programs",
        "copy": "copy snapshots from one repository into another",
    },
    "Find": {
        "snapshots": "list snapshots",
        "ls": "list the files of a snapshot",
        "find": "find files, and the uses of blobs, trees and packs",
        "history": "show all versions of files and folders",
        "diff": "show the changes between two snapshots",
    },
    "Restore": {
        "back": "restore a file as it was, or what a folder has lost",
        "restore": "restore files from a snapshot",
        "dump": "write a file or an archive of a folder to standard output",
        "mount": "show the repository as folders and files",
        "serve": "show the repository in a browser",
    },
    "Maintain": {
        "check": "look for errors in the repository",
        "drill": "restore a sample of files in memory and verify them",
        "forget": "remove snapshots",
        "prune": "remove data that no snapshot uses",
        "rewrite": "rewrite snapshots without some files",
        "tag": "change the tags of snapshots",
        "stats": "show statistics of snapshots",
        "cost": "show B2 API calls and costs",
        "doctor": "try what a repository needs of its place",
        "cache": "list or clean cache folders",
    },
    "Repair": {
        "unlock": "remove stale locks",
        "repair": "repair the index, packs and snapshots",
        "recover": "make a snapshot of unreferenced trees",
    },
    "Run by itself": {
        "run": "run the tasks of profiles",
        "status": "show how things stand with the profiles",
        "pause": "let nothing run by itself for a while",
        "resume": "end a pause",
        "schedule": "start due tasks by systemd or cron",
        "profile": "list, show and check profiles",
    },
    "Set up": {
        "setup": "set up a profile: repository, password, timer, and a first backup",
        "init": "create a repository",
        "key": "manage passwords",
        "migrate": "list or apply repository migrations",
        "b2": "Backblaze B2 tools",
        "generate": "write man pages and completions for shells",
    },
    "Look inside": {
        "cat": "print an object of the repository",
        "list": "list objects of the repository",
        "options": "list extended options",
        "features": "list feature flags",
        "version": "print the version",
    },
}
COMMANDS = {name: text for names in COMMAND_GROUPS.values() for name, text in names.items()}
OLD_COMMANDS = {"compile-code": "compile_code", "rebuild-index": "rebuild_index"}
"""Hidden commands, which are old or only for installers, and their modules."""
MODULES = {**OLD_COMMANDS, "import": "import_trees"}
"""Modules with another name than their command: a keyword cannot be one."""


class Program(Group):
    """Loads a command's module on demand, so that the others cost nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, None if there is none of this name."""
        if cmd_name not in COMMANDS and cmd_name not in OLD_COMMANDS:
            return None
        module = importlib.import_module(f"pyrestic.cli.commands.{MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def titled_commands(self, ctx: click.Context) -> dict[str, dict[str, str]]:  # noqa: ARG002
        """Return the commands by purpose, without loading them."""
        return COMMAND_GROUPS

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Tell how to see the flags of a command."""
        formatter.write_paragraph()
        formatter.write_text(f"`{ctx.command_path} COMMAND --help` shows the options of a command.")

    def names_command(self, ctx: click.Context, name: str) -> bool:  # noqa: ARG002
        """Tell whether there is a word: here it must be a command."""
        return bool(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; `help NAME` is the same as `NAME --help`."""
        if args[0] == "help":
            self._help(ctx, args[1:])
        if args[0] not in {*COMMANDS, *OLD_COMMANDS}:
            raise _UnknownCommand(args[0], ctx)
        return super().resolve_command(ctx, args)

    def _help(self, ctx: click.Context, args: list[str]) -> NoReturn:
        """Show the help of the command in the arguments, ignoring the rest."""
        words = [word for word in make_plain(args, self, ctx) if not word.startswith("--")]
        shown: click.Command = self
        for number, word in enumerate(words):
            found = shown.get_command(ctx, word) if isinstance(shown, click.Group) else None
            if found is None and number == 0 and word != "help":
                click.echo(f"Unknown help topic [{' '.join(f'`{quote(word)}`' for word in words)}]", err=True)
                click.echo(self.get_usage(ctx), err=True)
                ctx.exit()
            if found is None:
                break
            ctx, shown = click.Context(found, info_name=word, parent=ctx), found
        click.echo(shown.get_help(ctx))
        ctx.exit()


class _UnknownCommand(click.UsageError):
    def __init__(self, name: str, ctx: click.Context) -> None:
        near = find_nearest(name, COMMANDS)
        super().__init__(f'unknown command "{name}" for "{ctx.command_path}"', ctx)
        self.advice = ["", "Did you mean this?", *(f"\t{one}" for one in near), ""] if near else []


program = Program("pyrestic", "Encrypted, deduplicated backups in restic's repository format.")


def main(arguments: Sequence[str] | None = None, state: dict[str, Any] | None = None) -> int:
    """Run the program with the given arguments and return its exit code; all messages are printed.

    `state` receives what is known of the command line before it is fully parsed.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    use_zone()
    state = {} if state is None else state
    code = _attempt(lambda: _run_command(arguments, state), state)
    # Output before an error must be visible, too.
    flushed = _attempt(_flush_output, state)
    return code or flushed


def _attempt(action: Callable[[], int], state: dict[str, Any]) -> int:
    """Return the exit code of an action, or of its exception, which is reported.

    If a signal or an error ended the program, that counts, not the errors of the cleanup.
    """
    try:
        code = action()
        if find_error() is None:
            return code
    except (KeyboardInterrupt, click.Abort):
        pass
    except streams.OutputLostError as lost:
        if not is_ending():
            return _tell_lost(lost, as_json=bool(state.get("as_json")))
    except Exception as error:
        if not is_ending():
            return _tell_error(error, as_json=bool(state.get("as_json")))
    return _tell_end(state)


def _flush_output() -> int:
    sys.stdout.flush()
    return 0


def _run_command(arguments: list[str], state: dict[str, Any]) -> int:
    name = _own_name()
    if f"_{name.upper()}_COMPLETE" in os.environ:
        program.main(arguments, prog_name=name, obj=state)
    # Not with click's own main, which handles broken pipes differently.
    try:
        with program.make_context(name, arguments, obj=state) as context:
            result = program.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return result if isinstance(result, int) else 0


def _own_name() -> str:
    name = os.path.basename(sys.argv[0])
    return name if name in ("restic", "pyrestic") else "pyrestic"


def _tell(code: int, *lines: str, as_json: bool) -> None:
    from pyrestic.cli.terminal import exit_error

    exit_error(code, *lines, as_json=as_json)


def _tell_end(state: dict[str, Any]) -> int:
    """Report once what ended the program early, and return the exit code for it."""
    error, as_json = find_error(), bool(state.get("as_json"))
    told, state["end_told"] = state.get("end_told", False), True
    if not told and error is None:
        _tell(INTERRUPTED, "interrupted", as_json=as_json)
    elif not told and error is not None:
        _tell_error(error, as_json=as_json)
    return INTERRUPTED if error is None else error.exit_code


def _tell_lost(lost: streams.OutputLostError, *, as_json: bool) -> int:
    streams.drop_output()
    if lost.reader_gone:
        # The reader of our output has enough, as in `ls latest | head`.
        return streams.SIGPIPE_CODE
    _tell(1, f"Fatal: {lost}", as_json=as_json)
    return 1


def _tell_error(error: Exception, *, as_json: bool) -> int:
    if isinstance(error, _UnknownCommand):
        _tell(1, error.message, *error.advice, as_json=False)
    elif isinstance(error, FlagError):
        _tell(1, error.message, *([error.hint] if error.hint and not as_json else []), as_json=as_json)
    elif isinstance(error, click.ClickException):
        _tell(1, error.format_message(), as_json=as_json)
    elif isinstance(error, PyresticError):
        first, *more = error.lines
        if error.hint and not as_json:
            more += error.hint.split("\n")
        _tell(error.exit_code, f"Fatal: {first}", *more, as_json=as_json)
        return error.exit_code
    else:
        return _tell_bug(error, as_json=as_json)
    return 1


def _tell_bug(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("PYRESTIC_TRACEBACK"):
        raise error
    kind = type(error).__name__
    _tell(
        1,
        f"Fatal: pyrestic {__version__} failed with an unexpected error, please report it: {kind}: {error}",
        "Set PYRESTIC_TRACEBACK=1 to print a traceback.",
        as_json=as_json,
    )
    return 1


def _use_utf8() -> None:
    """Ensure that names are read and shown as UTF-8, whatever the locale: restic stores and prints UTF-8."""
    if sys.getfilesystemencoding().lower() != "utf-8" and not sys.flags.utf8_mode and sys.executable:
        restart_in_utf8()


def _leave(code: int) -> NoReturn:
    """End the process without Python's finalization, which is unnecessary and takes 20 ms."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(code)
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def run() -> NoReturn:
    """Entry point of the console script."""
    streams.reserve_descriptors()
    _use_utf8()
    streams.guard_streams()
    # Nothing here multiplies matrices, and numpy's threads for that would spin for a tenth of a second of CPU.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Hundreds of thousands of objects live as long as the run, and few of them in cycles: the cycle collector often
    # took an eighth of the time of a backup of small files.
    gc.set_threshold(200_000, 20, 100)
    _run_process(None)


def run_forked(arguments: Sequence[str]) -> NoReturn:
    """Run a command in this process, which was forked from the program, and end it."""
    streams.guard_streams()
    _run_process(arguments)


def _run_process(arguments: Sequence[str] | None) -> NoReturn:
    state: dict[str, Any] = {}
    handle_signals(lambda: _tell_end(state))
    # A request for progress before there is any must not end the program.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        code = main(arguments, state=state)
        ignore_signals()
    except KeyboardInterrupt:
        # It came when nothing was left to interrupt.
        code = INTERRUPTED if find_error() is None else _tell_end(state)
    if code == streams.SIGPIPE_CODE:
        streams.end_by_pipe_signal()
    _leave(code)
