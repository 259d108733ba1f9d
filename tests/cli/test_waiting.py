"""The line on a terminal for what is waited for."""

import contextlib
import io
import threading

from pyrestic.cli.waiting import Overlay, Waiting


class Other:
    """Something else on the last line."""

    def clear(self) -> None:
        """Nothing to take off."""


def test_it_is_drawn_at_once_and_taken_off_in_the_end() -> None:
    screen = io.StringIO()
    overlays: list[Overlay] = []
    with contextlib.redirect_stdout(screen), Waiting("opening", threading.RLock(), overlays).running(600):
        assert screen.getvalue() == "\r[0:00] opening"
        assert len(overlays) == 1
    assert screen.getvalue() == "\r[0:00] opening\r" + " " * 14 + "\r"
    assert overlays == []


def test_it_makes_room_for_lines_and_for_progress_that_came_later() -> None:
    screen = io.StringIO()
    overlays: list[Overlay] = []
    waiting = Waiting("opening", threading.RLock(), overlays)
    with contextlib.redirect_stdout(screen), waiting.running(600):
        overlays.append(Other())
        waiting._draw()
        drawn = screen.getvalue()
        waiting._draw()
        assert screen.getvalue() == drawn
        overlays.pop()
        waiting._draw()
        assert screen.getvalue() == drawn + "\r[0:00] opening"


def test_a_screen_that_is_gone_ends_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

    done = []
    with contextlib.redirect_stdout(Gone()), Waiting("opening", threading.RLock(), []).running(0.01):
        done.append(True)
    assert done
