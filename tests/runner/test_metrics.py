"""The file for node_exporter, as a parser of its format reads it."""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyrestic.errors import LocalFileError
from pyrestic.runner.metrics import encode_metrics, write_metrics
from tests.support.restic import ROOT

LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-z]+="(?:[^"\\\n]|\\[\\n"])*",?)*)\} (\S+)')


@dataclass(frozen=True)
class Task:
    started: float | None = None
    ended: float | None = None
    code: int = 0
    failures: int = 0
    error: str = ""
    good_ended: float | None = None
    waiting: str = ""
    facts: dict[str, int | float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    tasks: dict[str, Task]
    kept: int | None = None


def parse(text: str) -> dict[tuple[str, str], float]:
    """The samples by name and labels; each metric is declared once, right before its samples."""
    samples: dict[tuple[str, str], float] = {}
    declared: list[str] = []
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split()
            assert kind == "gauge"
            assert name not in declared
            declared.append(name)
        elif not line.startswith("# HELP "):
            found = LINE.fullmatch(line)
            assert found, line
            assert found[1] == declared[-1]
            assert (found[1], found[2]) not in samples
            samples[found[1], found[2]] = float(found[3])
    return samples


def test_each_task_and_profile_has_its_samples() -> None:
    backup = Task(
        1000.0, 1041.5, good_ended=1041.5, facts={"files_new": 12, "total_bytes_processed": 1 << 40, "x-y": None}
    )
    check = Task(2000.0, 2010.0, code=1, failures=3, error="damage", waiting="offline")
    running = Task(3000.0, None)
    profiles = {"home": Profile({"backup": backup, "check": check}, kept=61), 'a"b\\c\nd': Profile({"backup": running})}
    samples = parse(encode_metrics(profiles, {"home"}))
    home, odd = 'profile="home"', 'profile="a\\"b\\\\c\\nd"'
    assert samples == {
        ("pyrestic_profile_overdue", home): 1,
        ("pyrestic_profile_overdue", odd): 0,
        ("pyrestic_profile_snapshots", home): 61,
        ("pyrestic_task_last_start_timestamp_seconds", f'{home},task="backup"'): 1000,
        ("pyrestic_task_last_start_timestamp_seconds", f'{home},task="check"'): 2000,
        ("pyrestic_task_last_start_timestamp_seconds", f'{odd},task="backup"'): 3000,
        ("pyrestic_task_last_end_timestamp_seconds", f'{home},task="backup"'): 1041.5,
        ("pyrestic_task_last_end_timestamp_seconds", f'{home},task="check"'): 2010,
        ("pyrestic_task_last_success_timestamp_seconds", f'{home},task="backup"'): 1041.5,
        ("pyrestic_task_last_duration_seconds", f'{home},task="backup"'): 41.5,
        ("pyrestic_task_last_duration_seconds", f'{home},task="check"'): 10,
        ("pyrestic_task_exit_code", f'{home},task="backup"'): 0,
        ("pyrestic_task_exit_code", f'{home},task="check"'): 1,
        ("pyrestic_task_failures", f'{home},task="backup"'): 0,
        ("pyrestic_task_failures", f'{home},task="check"'): 3,
        ("pyrestic_task_failures", f'{odd},task="backup"'): 0,
        ("pyrestic_task_waiting", f'{home},task="backup"'): 0,
        ("pyrestic_task_waiting", f'{home},task="check"'): 1,
        ("pyrestic_task_waiting", f'{odd},task="backup"'): 0,
        ("pyrestic_backup_files_new", home): 12,
        ("pyrestic_backup_total_bytes_processed", home): 1 << 40,
    }


def test_the_page_about_messages_lists_each_metric() -> None:
    page = (ROOT / "docs" / "messages.md").read_text()
    listed = re.findall(r"^\| `(pyrestic_\w+)` \| (.*?) \|", page, re.MULTILINE)
    measured = Profile({"backup": Task(1.0, 2.0, good_ended=2.0, facts={"files_new": 1})}, kept=1)
    found = {
        (name, ", ".join(re.findall(r"(\w+)=", labels))) for name, labels in parse(encode_metrics({"a": measured}, ()))
    }
    named = {(name, labels.replace("`", "")) for name, labels in listed} - {("pyrestic_TASK_NAME", "profile")}
    assert named | {("pyrestic_backup_files_new", "profile")} == found


def test_the_file_is_replaced_readable_for_all_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "pyrestic.prom"
    path.write_text("old")
    path.chmod(0o600)
    umask = os.umask(0o077)
    try:
        write_metrics(str(path), "new\n")
    finally:
        os.umask(umask)
    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == [path.name]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "pyrestic.prom"
    target.write_text("mine")
    path.symlink_to(target)
    write_metrics(str(path), "new\n")
    assert target.read_text() == "mine"
    assert not path.is_symlink()


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "pyrestic.prom"
    with pytest.raises(LocalFileError, match=re.escape(f"{path}: No such file")):
        write_metrics(str(path), "new\n")
    (tmp_path / "folder.prom").mkdir()
    with pytest.raises(LocalFileError, match="Is a directory"):
        write_metrics(str(tmp_path / "folder.prom"), "new\n")
    assert sorted(os.listdir(tmp_path)) == ["folder.prom"]
