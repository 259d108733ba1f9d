"""What is shown, when, and on which stream."""

import json
import os
import signal
import time
from dataclasses import dataclass

import pytest

from pyrestic.cli.options import make_settings
from pyrestic.cli.table import display_width, format_table
from pyrestic.cli.terminal import Terminal, encode_json, indent_json
from pyrestic.errors import FormatError
from pyrestic.report import Progress
from pyrestic.units import format_bytes, format_duration, format_mode


@dataclass(slots=True)
class Work(Progress):
    """A progress of its own kind."""

    files: int = 0


def terminal(environment: dict[str, str] | None = None, flags: dict[str, int] | None = None) -> Terminal:
    """Return a terminal for the given flags."""
    return Terminal(make_settings(flags or {}, environment or {}))


def test_results_and_notes_go_to_standard_output_and_errors_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    shown = terminal()
    shown.print("result")
    shown.note("note")
    shown.note("more", 2)
    shown.note("warning", 0)
    shown.error("file", FormatError("damaged"))
    out, err = capsys.readouterr()
    assert (out, err) == ("result\nnote\n", "warning\nerror: damaged\n")
    assert shown.error_count == 1


@pytest.mark.parametrize(
    ("flags", "levels"), [({"quiet": True}, []), ({}, [1]), ({"verbose": 1}, [1, 2]), ({"verbose": 5}, [1, 2, 3])]
)
def test_notes_depend_on_verbosity(
    capsys: pytest.CaptureFixture[str], flags: dict[str, int], levels: list[int]
) -> None:
    shown = terminal(flags=flags)
    for level in (1, 2, 3):
        shown.note(str(level), level)
    assert capsys.readouterr().out.split() == [str(level) for level in levels]


def test_in_json_there_are_no_notes_and_errors_are_objects(capsys: pytest.CaptureFixture[str]) -> None:
    shown = terminal(flags={"json": True})
    shown.during = "archival"
    shown.note("note")
    shown.error("na\udcffme", FormatError("damaged"))
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {
        "message_type": "error",
        "error": {"message": "damaged"},
        "during": "archival",
        "item": "na\ufffdme",
    }


def test_json_is_written_as_go_writes_it() -> None:
    assert encode_json({"a": "<&>\u2028é\t"}) == '{"a":"\\u003c\\u0026\\u003e\\u2028é\\t"}'
    assert encode_json("x\udcff\udcfe") == '"x\\ufffd\\ufffd"'


def test_without_terminal_a_counter_leaves_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal().show(progress := Progress("packs", "packs", 4)):
        progress.done = 4
    assert capsys.readouterr().out == "[0:00] 100.00%  4 / 4 packs\n"


def test_counters_for_waiting_people_never_mix_with_results(capsys: pytest.CaptureFixture[str]) -> None:
    shown = terminal({"RESTIC_PROGRESS_FPS": "60"})
    with shown.show(Progress("index files loaded", "files", 1, only_on_terminal=True)):
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR1)
    with terminal(flags={"json": True}).show(Progress("packs", "packs", 1)):
        time.sleep(0.1)
    with terminal(flags={"quiet": True}).show(Progress("packs", "packs", 1, only_on_terminal=True)):
        pass
    assert capsys.readouterr().out == ""


def test_a_rate_switches_progress_on_without_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal({"RESTIC_PROGRESS_FPS": "60"}).show(progress := Progress("packs", "packs", 2)):
        time.sleep(0.2)
        progress.done = 1
        time.sleep(0.2)
        progress.done = 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[0:00] 0.00%  0 / 2 packs"
    assert "[0:00] 50.00%  1 / 2 packs" in lines
    assert lines[-1] == "[0:00] 100.00%  2 / 2 packs"


def test_the_progress_of_a_command_is_shown_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    shown = terminal({"RESTIC_PROGRESS_FPS": "60"}, {"json": True})
    work = Work("backup", "B", files=3)
    shown.status_fields = lambda _, __: {"message_type": "status", "files_done": work.files}
    with shown.show(Progress("index files loaded", "files", 1)):
        time.sleep(0.1)
    assert capsys.readouterr().out == ""
    with shown.show(work):
        time.sleep(0.1)
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[0]) == {"message_type": "status", "files_done": 3}


def test_a_signal_asks_for_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    shown = terminal()
    shown.status_lines = lambda _, __: ["so far"]
    with shown.show(Work("backup", "B")):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.05)
    assert capsys.readouterr().out == "so far\n"
    assert signal.getsignal(signal.SIGUSR1) == before


def test_the_rate_is_bounded_and_nonsense_is_ignored() -> None:
    assert not terminal({"RESTIC_PROGRESS_FPS": "x"}).shows_progress
    assert not terminal({"RESTIC_PROGRESS_FPS": "-1"}).shows_progress
    assert not terminal({"RESTIC_PROGRESS_FPS": "nan"}).shows_progress
    assert terminal({"RESTIC_PROGRESS_FPS": "1e9"}).shows_progress


def test_wide_characters_take_two_columns() -> None:
    assert [display_width(text) for text in ("abc", "日本", "e\u0301", "")] == [3, 4, 1, 0]
    lines = format_table(["A", "B"], [["日本", "x"], ["y", "z\nw"]], ["end"])
    assert lines == ["A     B", "-------", "日本  x", "y     z", "      w", "-------", "end"]


def test_lengths_and_durations_are_shown_as_restic_shows_them() -> None:
    assert [format_bytes(count) for count in (0, 1023, 1024, 1 << 20, 5 << 29, 1 << 40)] == [
        "0 B",
        "1023 B",
        "1.000 KiB",
        "1.000 MiB",
        "2.500 GiB",
        "1.000 TiB",
    ]
    assert [format_duration(seconds) for seconds in (0, 61.9, 3600, 360_000)] == [
        "0:00",
        "1:01",
        "1:00:00",
        "100:00:00",
    ]


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (0o644, "-rw-r--r--"),
        (0o755 | 1 << 31, "drwxr-xr-x"),
        (0o777 | 1 << 27, "Lrwxrwxrwx"),
        (0o4755 & 0o777 | 1 << 23, "urwxr-xr-x"),
        (0o777 | 1 << 31 | 1 << 20, "dtrwxrwxrwx"),
        (0o600 | 1 << 26 | 1 << 21, "Dcrw-------"),
    ],
)
def test_modes_are_shown_as_go_shows_them(mode: int, text: str) -> None:
    assert format_mode(mode) == text


def test_a_stored_document_is_indented_with_what_is_not_utf8_replaced() -> None:
    assert indent_json(rb'{"a":"x' + b"\xff" + rb'\ud800<"}') == '{\n  "a": "x\ufffd\ufffd\\u003c"\n}'


@pytest.mark.parametrize("document", [b"", b"{", b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"[" * 100_000])
def test_a_stored_document_that_is_no_json_is_an_error(document: bytes) -> None:
    with pytest.raises(FormatError, match="not JSON"):
        indent_json(document)
