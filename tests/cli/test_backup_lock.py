"""Two backups of the same paths into one repository on one machine: the second waits, or says who runs."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrestic.operations.backup import Backup
from tests.support.cli import Caller, Outcome


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    call = Caller(tmp_path)
    call.create()
    call.create(name="other")
    for name in ("source", "else"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return call


During = Callable[..., Outcome]
"""Runs a command while a backup of the source runs, and returns what it said."""


@pytest.fixture
def during(call: Caller, monkeypatch: pytest.MonkeyPatch) -> During:
    original = Backup.run

    def run(*words: str | Path, **environment: Any) -> Outcome:
        said: list[Outcome] = []

        def run_both(backup: Backup, **arguments: Any) -> Any:
            monkeypatch.setattr(Backup, "run", original)
            said.append(call(*words, **environment))
            return original(backup, **arguments)

        monkeypatch.setattr(Backup, "run", run_both)
        assert call("backup", "source", **environment).code == 0
        return said[0]

    return run


def test_the_second_ends_with_11_and_names_the_first(call: Caller, during: During) -> None:
    outcome = during("backup", "source")
    assert outcome.code == 11
    assert f"by process {os.getpid()} since 20" in outcome.err
    assert "Use --retry-lock to wait for it." in outcome.err
    assert call("backup", "source").code == 0


def test_the_second_waits_as_long_as_it_may(during: During, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("pyrestic.cli.backup_lock.time.sleep", slept.append)
    outcome = during("backup", "--retry-lock", "200ms", "source")
    assert outcome.code == 11
    assert "waiting up to 0:00" in outcome.out
    assert 1.0 in slept


@pytest.mark.parametrize(
    "words",
    [
        ("backup", "else"),
        ("backup", "source", "else"),
        ("backup", "--host", "another", "source"),
        ("backup", "--dry-run", "source"),
        ("-r", "other", "backup", "source"),
    ],
)
def test_others_run(during: During, words: tuple[str, ...]) -> None:
    assert during(*words).code == 0


def test_another_spelling_is_the_same(call: Caller, during: During) -> None:
    (call.folder / "link").symlink_to(call.repository)
    assert during("-r", f"{call.folder}/link/", "backup", call.folder / "source").code == 11


def test_a_program_that_is_called_restic_behaves_as_restic_does(
    during: During, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/restic"])
    assert during("backup", "source").code == 0


def test_streams_of_one_name_may_be_different(call: Caller, during: During) -> None:
    assert during("backup", "--stdin", "--stdin-filename", call.folder / "source").code in (0, 1)


def test_without_a_folder_for_it_there_is_no_lock(call: Caller, during: During) -> None:
    (call.folder / "blocked").write_text("")
    outcome = during("backup", "-v", "source", XDG_STATE_HOME=str(call.folder / "blocked"))
    assert outcome.code == 0
    assert "another backup of the same paths on this machine would not be noticed" in outcome.out
    assert during("backup", "source", HOME=None, XDG_STATE_HOME=None).code == 0
