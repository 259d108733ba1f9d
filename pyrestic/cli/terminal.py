"""The output for users and scripts: lines, errors and progress, as text or as JSON."""

import contextlib
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from pyrestic.cli.options import Settings
from pyrestic.cli.quoting import escape_json, quote
from pyrestic.cli.streams import OutputLostError
from pyrestic.cli.waiting import Overlay, Waiting
from pyrestic.errors import FormatError
from pyrestic.report import Progress
from pyrestic.units import format_duration

Fields = dict[str, Any]
_MAX_FPS = 60.0
_SURROGATES = re.compile("[\ud800-\udfff]")
_USUAL_FPS = 10.0


def encode_json(value: object) -> str:
    """Return JSON in one line as Go's encoder writes it."""
    return _escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def indent_json(document: bytes) -> str:
    """Return a JSON document in indented lines as Go's encoder writes it; raise FormatError if it is invalid."""
    # This imports msgspec, which few commands need at their start.
    from pyrestic.format import gojson

    try:
        value = json.loads(gojson.replace_invalid_text(document))
        return _escape(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"stored data is not JSON: {error}") from error


def _escape(text: str) -> str:
    if not text.isascii():
        # Bytes that are not UTF-8, as in file names, are represented by surrogates.
        text = _SURROGATES.sub(r"\\ufffd", text)
    for character in "<>&\u2028\u2029":
        if character in text:
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class Terminal:
    """A Reporter that writes to standard output and standard error.

    Commands with a progress of their own kind (a subclass of Progress) set `status_fields` and `status_lines` to what
    shows it, in JSON and as text; `during` names the phase in error messages. A plain counter is shown in restic's
    one form, and its last state stays on the screen.
    """

    def __init__(self, settings: Settings) -> None:
        self.json = settings.json
        self.verbosity = settings.verbosity
        self.during = ""
        self.error_text = "error: {error}"
        self.error_count = 0
        self.status_fields: Callable[[Progress, float], Fields] | None = None
        self.status_lines: Callable[[Progress, float], list[str]] | None = None
        self.more_summary: Callable[[], Fields] | None = None
        self._lock = threading.RLock()
        self._is_terminal = sys.stdout.isatty()
        self._interval_seconds = self._find_interval(settings)
        self._shown: list[Overlay] = []
        self._noted: set[str] = set()

    @property
    def is_terminal(self) -> bool:
        """Standard output is a terminal."""
        return self._is_terminal

    @property
    def shows_progress(self) -> bool:
        """Whether progress is printed during the work."""
        return self._interval_seconds > 0

    def _find_interval(self, settings: Settings) -> float:
        """Return the seconds between two progress updates, 0 for none."""
        if self.verbosity == 0:
            return 0.0
        try:
            fps = float(settings.environment.get("RESTIC_PROGRESS_FPS", ""))
        except ValueError:
            fps = 0.0
        if fps > 0:
            return 1 / min(fps, _MAX_FPS)
        return 1 / _USUAL_FPS if self.json or self._is_terminal else 0.0

    def print(self, *lines: str) -> None:
        """Print result lines, one if none is given: on a terminal made safe, else unchanged."""
        if self._is_terminal:
            self.tell(*lines)
        else:
            self._write("\n".join(lines) + "\n")

    def tell(self, *lines: str) -> None:
        """Print message lines to standard output; characters that would end or forge a line are escaped."""
        self._write("\n".join(map(quote, lines)) + "\n")

    def write_json(self, document: str) -> None:
        """Write a part of a JSON document to standard output."""
        self._write(escape_json(document) if self._is_terminal else document)

    def print_json(self, value: object) -> None:
        """Write a value as a line of JSON to standard output; a summary also says what `more_summary` returns."""
        if self.more_summary is not None and isinstance(value, dict) and value.get("message_type") == "summary":
            value = value | self.more_summary()
        self.write_json(encode_json(value) + "\n")

    def _write(self, text: str) -> None:
        with self._lock:
            self._clear()
            sys.stdout.write(text)
            if self._is_terminal:
                sys.stdout.flush()

    def complain(self, *lines: str) -> None:
        """Print message lines to standard error; characters that would end or forge a line are escaped."""
        with self._lock:
            self._clear()
            _write_error("\n".join(map(quote, lines)))

    def complain_json(self, value: object) -> None:
        """Write a value as a line of JSON to standard error."""
        with self._lock:
            self._clear()
            _write_error(_shown_json(value))

    def error(self, item: str, error: Exception) -> None:
        """Show a non-fatal error."""
        self.error_count += 1
        if not self.json:
            self.complain(self.error_text.format(item=item, error=error))
            return
        self.complain_json(
            {"message_type": "error", "error": {"message": str(error)}, "during": self.during, "item": item}
        )

    def note(self, message: str, level: int = 1) -> None:
        """Print a note from a verbosity on; level 0 goes to standard error."""
        if level == 0:
            self.complain(message)
        elif self.tells(level):
            self.tell(message)
            sys.stdout.flush()

    def tells(self, level: int) -> bool:
        """Tell whether notes of this verbosity are printed on standard output."""
        return not self.json and self.verbosity >= level

    @contextlib.contextmanager
    def show(self, progress: Progress) -> Iterator[None]:
        """Show progress while the context lasts."""
        display = _Display(self, progress)
        with display.running(self._interval_seconds):
            yield

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show the current activity on a terminal while there is no progress to show yet."""
        if self.json or not self._is_terminal or not self.shows_progress:
            yield
            return
        with Waiting(what, self._lock, self._shown).running(self._interval_seconds):
            yield

    def note_once(self, message: str, level: int) -> None:
        """Print a note as `note` does, unless it was printed before."""
        if message not in self._noted:
            self._noted.add(message)
            self.note(message, level)

    def _clear(self) -> None:
        for display in self._shown:
            display.clear()


class _Display:
    """The display of one progress."""

    def __init__(self, terminal: Terminal, progress: Progress) -> None:
        self._terminal = terminal
        self._progress = progress
        self._started = time.monotonic()
        self._bar: Any = None
        self._last: list[str] = []
        self._done = threading.Event()
        self._plain = type(progress) is Progress

    @contextlib.contextmanager
    def running(self, interval_seconds: float) -> Iterator[None]:
        terminal = self._terminal
        old_handler = self._listen_for_signal()
        thread = None
        if interval_seconds > 0 and self._visible():
            thread = threading.Thread(target=self._run, args=(interval_seconds,), name="progress", daemon=True)
            with terminal._lock:
                terminal._clear()
                terminal._shown.append(self)
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            if thread is not None:
                thread.join()
                terminal._shown.remove(self)
                self.clear()
                if self._bar is not None:
                    self._bar.close()
            if self._plain and self._visible():
                for line in self._lines():
                    terminal.note(line)
            if old_handler is not None:
                signal.signal(signal.SIGUSR1, old_handler)

    def _visible(self) -> bool:
        if self._terminal.json:
            return not self._plain and self._terminal.status_fields is not None
        return self._terminal.is_terminal or not self._progress.only_on_terminal

    def _listen_for_signal(self) -> Any:  # noqa: ANN401 - whatever handler was there
        if threading.current_thread() is not threading.main_thread():
            return None
        return signal.signal(signal.SIGUSR1, self._on_signal)

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        # The signal may have interrupted a write to standard output, which is not reentrant.
        if self._visible():
            threading.Thread(target=self._tell, name="signal", daemon=True).start()

    def _tell(self) -> None:
        with contextlib.suppress(OutputLostError):
            if self._terminal.json:
                self._print_json()
            else:
                self._terminal.tell(*self._lines())
                sys.stdout.flush()

    def _run(self, interval_seconds: float) -> None:
        # Nobody may be left to read this; printing results will notice.
        with contextlib.suppress(OutputLostError):
            while not self._done.wait(interval_seconds):
                self._show()

    def _show(self) -> None:
        if self._terminal.json:
            self._print_json()
        elif self._terminal.is_terminal:
            self._draw()
        elif (lines := self._lines()) != self._last:
            self._last = lines
            self._terminal.tell(*lines)
            sys.stdout.flush()

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _print_json(self) -> None:
        if self._terminal.status_fields is not None:
            self._terminal.print_json(self._terminal.status_fields(self._progress, self._elapsed()))
            sys.stdout.flush()

    def _lines(self) -> list[str]:
        progress = self._progress
        if self._terminal.status_lines is not None and not self._plain:
            return self._terminal.status_lines(progress, self._elapsed())
        head = f"[{format_duration(self._elapsed())}]"
        if progress.total:
            share = min(1.0, progress.done / progress.total)
            return [f"{head} {share:.2%}  {progress.done} / {progress.total} {progress.label}"]
        return [f"{head}          {progress.done} {progress.label}"]

    def _draw(self) -> None:
        with self._terminal._lock:
            if self._bar is None:
                from tqdm import tqdm

                in_bytes = self._progress.unit == "B"
                self._bar = tqdm(
                    desc=self._progress.label,
                    unit=self._progress.unit or "it",
                    unit_scale=in_bytes,
                    unit_divisor=1024,
                    leave=False,
                    dynamic_ncols=True,
                    file=sys.stdout,
                )
            self._bar.total = self._progress.total
            self._bar.n = self._progress.done
            self._bar.refresh()

    def clear(self) -> None:
        """Remove the bar from the screen, to print a line."""
        if self._bar is not None:
            self._bar.clear()


def exit_error(code: int, *lines: str, as_json: bool) -> None:
    """Print to standard error why the program ends with this exit code."""
    if as_json:
        _write_error(_shown_json({"message_type": "exit_error", "code": code, "message": "\n".join(lines)}))
    else:
        _write_error("\n".join(map(quote, lines)))


def _shown_json(value: object) -> str:
    document = encode_json(value)
    return escape_json(document) if sys.stderr.isatty() else document


def _write_error(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
