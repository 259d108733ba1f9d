"""What the commands of the runner share: profiles, the state, this machine, and where they print."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import NoReturn

import click

from pyrestic.cli.command import App
from pyrestic.cli.profile_flags import make_flag_check
from pyrestic.cli.terminal import Terminal
from pyrestic.desktop.bus import find_system_bus
from pyrestic.errors import LocalFileError, UsageError
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.profiles.load import load_profiles
from pyrestic.profiles.profile import Profile, Profiles
from pyrestic.runner.ending import EndRequest
from pyrestic.runner.state import OUTPUT_NAME, RunStore, append_to_log
from pyrestic.runner.this_machine import ThisMachine, resolves_apart

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def find_profiles(app: App, names: Sequence[str]) -> tuple[Profiles, list[Profile]]:
    """Return all profiles, and those with these names, by default that of --profile or all; raise UsageError."""
    settings = app.settings
    profiles = load_profiles(settings.environment, settings.config)
    if not profiles.by_name:
        raise UsageError("there is no profile", hint="`pyrestic setup` makes one.")
    chosen = dict.fromkeys(names) or ([settings.profile] if settings.profile else profiles.by_name)
    return profiles, [profiles.find(name) for name in chosen]


def check_profiles(app: App) -> None:
    """Raise UsageError if a profile has a flag that its command does not know, or with another kind of value."""
    check = make_flag_check(click.get_current_context().find_root())
    load_profiles(app.settings.environment, app.settings.config, check_flag=check)


def run_forked(arguments: Sequence[str]) -> NoReturn:
    """Run the program in this process, which was forked, and end it."""
    # The module of the program imports the commands.
    from pyrestic.cli.main import run_forked as run

    run(arguments)


def open_store(app: App, now: Callable[[], float]) -> RunStore:
    """Return the state of the runner; raise UsageError if there is no place for it."""
    folder = find_state_folder(app.settings.environment)
    if not folder:
        raise UsageError("there is no folder for the state of the runner, because HOME is not set")
    return RunStore(folder, now)


def find_machine(app: App, ending: EndRequest) -> ThisMachine:
    """Return this machine, whose answers are not waited for once the runner has to end."""
    resolve = partial(resolves_apart, ending=ending)
    return ThisMachine(find_system_bus(app.settings.environment), resolve=resolve)


class RunnerOutput:
    """Prints what the runner does, and adds it to a log if a folder is given."""

    def __init__(self, terminal: Terminal, log_folder: str = "") -> None:
        self._terminal = terminal
        self._log_folder = log_folder

    def report(self, line: str, fields: dict[str, object]) -> None:
        """Print what happened, as a line or as a JSON object."""
        if self._terminal.json:
            self._terminal.print_json({"message_type": "task", **fields})
        else:
            self._terminal.tell(line)
        self._keep(line)

    def tell(self, line: str) -> None:
        """Print a line, except between JSON objects."""
        if not self._terminal.json:
            self._terminal.tell(line)
        self._keep(line)

    def begin(self, line: str) -> None:
        """Print on a terminal that a task begins."""
        if self._terminal.is_terminal:
            self._terminal.note(line)
            sys.stdout.flush()

    def complain(self, line: str) -> None:
        """Print an error."""
        self._terminal.complain(line)
        self._keep(line)

    def note(self, line: str) -> None:
        """Print a line with -v."""
        self._terminal.note(line, 2)
        sys.stdout.flush()

    def open_for_hooks(self) -> int:
        """Return the descriptor of standard error: standard output may be JSON."""
        return 2

    def _keep(self, line: str) -> None:
        # A process that is forked must not print this again.
        sys.stdout.flush()
        if self._log_folder:
            # The state in the same folder complains.
            with suppress(LocalFileError):
                append_to_log(self._log_folder, OUTPUT_NAME, line.encode("utf-8", "surrogateescape") + b"\n")


class _Signals(EndRequest):
    """Counts the signals that ask the program to end."""

    def __init__(self, reader: int, writer: int) -> None:
        super().__init__(reader)
        self._writer = writer

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.count += 1
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def drain(self) -> None:
        """Empty the descriptor."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, 100)


@contextmanager
def hearing_signals() -> Iterator[EndRequest]:
    """Count the signals that ask the program to end, for the time of a with block, and end it for none."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signals = _Signals(reader, writer)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number, handler in before.items():
            # A program started with nohup should survive the end of the terminal.
            if handler != signal.SIG_IGN:
                signal.signal(number, signals.hear)
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
