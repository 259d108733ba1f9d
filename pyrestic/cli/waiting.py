"""A status line on a terminal while there is no progress to show yet. It is removed at the end."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from pyrestic.cli.streams import OutputLostError
from pyrestic.units import format_duration


class Overlay(Protocol):
    """Text on the last line of the screen."""

    def clear(self) -> None:
        """Remove it, to make space for something else."""


class Waiting:
    """The status line of one wait. `overlays` are all texts on the screen, the last one wins."""

    def __init__(self, what: str, lock: "threading.RLock", overlays: list[Overlay]) -> None:
        self._what = what
        self._lock = lock
        self._overlays = overlays
        self._started = time.monotonic()
        self._width = 0
        self._done = threading.Event()

    @contextlib.contextmanager
    def running(self, interval_seconds: float) -> Iterator[None]:
        """Keep the line up to date for the duration of a with block."""
        with self._lock:
            self._overlays.append(self)
            self._draw()
        thread = threading.Thread(target=self._run, args=(interval_seconds,), name="waiting", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()
            with self._lock:
                self.clear()
                self._overlays.remove(self)

    def clear(self) -> None:
        """Remove the line from the screen."""
        if self._width:
            _write("\r" + " " * self._width + "\r")
            self._width = 0

    def _run(self, interval_seconds: float) -> None:
        while not self._done.wait(interval_seconds):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        if self._overlays[-1] is not self:
            self.clear()
            return
        text = f"[{format_duration(time.monotonic() - self._started)}] {self._what}"
        _write(f"\r{text}")
        self._width = max(self._width, len(text))


def _write(text: str) -> None:
    # Nobody may be left to read this; printing results will notice.
    with contextlib.suppress(OSError, OutputLostError):
        sys.stdout.write(text)
        sys.stdout.flush()
