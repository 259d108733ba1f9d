"""Watches a command while it runs: conditions, sleep, and signals to the runner."""

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Final

import msgspec

from pyrestic.runner.child import Child, Outcome
from pyrestic.runner.conditions import Obstacle
from pyrestic.runner.ending import EndRequest

if TYPE_CHECKING:
    from pyrestic.desktop.sleep import SleepSignals

LOOK_SECONDS: Final = 30.0
_QUICK_SECONDS: Final = 5.0
"""A command that ends sooner is worth no connection to the message bus."""
_LONGEST_STOP_SECONDS: Final = 120.0
"""How long a command is stopped at most while the machine stays awake, although it announced to sleep."""


class Watch(msgspec.Struct, frozen=True):
    """What is watched while a command runs. `find_lost` returns the condition that no longer holds."""

    find_lost: Callable[[], Obstacle | None]
    grace_seconds: float
    early_signal: int
    """The signal by which the command ends early."""
    is_on_mains: Callable[[], bool]
    wait_for_line: Callable[[], None]
    system_bus: str
    why: str
    """What sleep is held off for, "" if it is not."""
    note: Callable[[str], None]
    """Receives what only matters with -v."""
    look_seconds: float = LOOK_SECONDS


class Supervisor:
    """Supervises one command until its end."""

    def __init__(self, child: Child, watch: Watch, ending: EndRequest) -> None:
        self._child = child
        self._watch = watch
        self._ending = ending
        self._forwarded = 0
        self._lost_since: float | None = None
        self._stopped_since: float | None = None
        self._inhibitor = ExitStack()
        self.lost = ""
        """The condition for whose loss the command was asked to end early, "" if it was not."""

    @property
    def interrupted(self) -> bool:
        """Whether a signal to the runner was passed on."""
        return self._forwarded > 0

    def run(self) -> Outcome:
        """Return the outcome of the command."""
        quick = min(_QUICK_SECONDS, self._watch.look_seconds)
        outcome = self._wait(quick, None)
        if outcome is not None:
            return outcome
        # Quick commands, which are most, do without.
        from pyrestic.desktop.sleep import watch_sleep

        with self._inhibitor, watch_sleep(self._watch.system_bus) as signals:
            self._hold_sleep_off()
            next_look = 0.0
            while outcome is None:
                if time.monotonic() >= next_look:
                    self._look()
                    next_look = time.monotonic() + self._watch.look_seconds
                outcome = self._wait(max(0.0, next_look - time.monotonic()), signals)
            return outcome

    def _wait(self, seconds: float, signals: "SleepSignals | None") -> Outcome | None:
        deadline = time.monotonic() + seconds
        while True:
            wake = [self._ending.descriptor] + ([] if signals is None else [signals.fileno()])
            outcome = self._child.wait(max(0.0, deadline - time.monotonic()), wake)
            if outcome is not None:
                return outcome
            self._forward()
            if signals is not None and signals.fileno() >= 0 and (sleeps := signals.wait(0)) is not None:
                self._sleep() if sleeps else self._wake_up()
            if time.monotonic() >= deadline:
                return None

    def _forward(self) -> None:
        """Pass on each signal to the runner: after the first, a backup saves what is complete."""
        self._ending.drain()
        while self._forwarded < self._ending.count:
            self._forwarded += 1
            self._continue()
            self._child.send(signal.SIGINT)

    def _look(self) -> None:
        watch = self._watch
        if self._stopped_since is not None:
            if time.monotonic() - self._stopped_since > _LONGEST_STOP_SECONDS:
                self._continue()
            return
        if not watch.is_on_mains():
            self._inhibitor.close()
        lost = watch.find_lost()
        if lost is None:
            self._lost_since = None
            return
        now = time.monotonic()
        self._lost_since = now if self._lost_since is None else self._lost_since
        if now - self._lost_since < watch.grace_seconds or (self.lost and watch.early_signal == signal.SIGINT):
            return
        # Repeated, because the command may not have listened yet; but a second SIGINT would end it at once.
        self.lost = lost.reason
        self._child.send(watch.early_signal)

    def _hold_sleep_off(self) -> None:
        from pyrestic.desktop.sleep import hold_sleep_off

        watch = self._watch
        if watch.why and watch.is_on_mains():
            held: AbstractContextManager[str] = hold_sleep_off(watch.system_bus, watch.why)
            refused = self._inhibitor.enter_context(held)
            if refused:
                watch.note(f"sleep is not held off: {refused}")

    def _sleep(self) -> None:
        self._child.send(signal.SIGSTOP)
        self._stopped_since = time.monotonic()

    def _wake_up(self) -> None:
        if self._stopped_since is not None:
            self._watch.wait_for_line()
            self._continue()

    def _continue(self) -> None:
        if self._stopped_since is not None:
            self._stopped_since = None
            self._child.send(signal.SIGCONT)
