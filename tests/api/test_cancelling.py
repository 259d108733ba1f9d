"""A backup or a restore that is cancelled ends at once, harms nothing, and is done by the same call again."""

import io
import random
import threading
from pathlib import Path

import pytest

import pyrestic
from pyrestic.report import NullReporter
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program
from tests.support.sourcetree import describe, difference

CHECKS = (0, 1, 2, 4, 8, 16, 32, 40)
"""After how many looks at the event it is set."""


class After(threading.Event):
    """Is set once it was looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    def is_set(self) -> bool:
        self._left -= 1
        if self._left < 0:
            self.set()
        return super().is_set()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    dice = random.Random(1)
    for number in range(40):
        place = folder / f"{number % 5}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}").write_bytes(dice.randbytes(3000))
    (folder / "large").write_bytes(dice.randbytes(9 << 20))
    return folder


@pytest.mark.restic
@pytest.mark.parametrize("lock", [True, False])
def test_a_backup(tmp_path: Path, source: Path, newest: Program, lock: bool) -> None:
    place = make_quick_repository(tmp_path / "repository")
    with pyrestic.open_repository(place, password=PASSWORD, lock=lock) as repository:
        for looks in CHECKS:
            told = NullReporter()
            with pytest.raises(pyrestic.CancelledError):
                repository.backup([source], report=told, cancel=After(looks))
            assert told.errors == []
            assert repository.snapshots() == []
        stop = threading.Event()
        made = repository.backup([source], cancel=stop)
        assert made.snapshot is not None
        assert made.snapshot.open(source / "large").read() == (source / "large").read_bytes()
        stop.set()
        with pytest.raises(pyrestic.CancelledError):
            repository.backup_stream(io.BytesIO(b"x" * 1_000_000), "file", cancel=stop)
        assert len(repository.snapshots()) == 1
    newest.run("check", "--read-data", repository=place)
    assert list((place / "locks").iterdir()) == []


def test_a_backup_of_what_has_not_changed(tmp_path: Path, source: Path) -> None:
    place = make_quick_repository(tmp_path / "repository")
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        repository.backup([source])
        for looks in CHECKS:
            # Nothing is asked of the repository while files are compared.
            with pytest.raises(pyrestic.CancelledError):
                repository.backup([source], cancel=After(looks))
        assert repository.backup([source]).summary.files_unmodified == 41
        assert len(repository.snapshots()) == 2


@pytest.mark.parametrize("verify", [False, True])
def test_a_restore(tmp_path: Path, source: Path, verify: bool) -> None:
    place, target = make_quick_repository(tmp_path / "repository"), tmp_path / "target"
    with pyrestic.open_repository(place, password=PASSWORD, lock=False) as repository:
        snapshot = repository.backup([source]).snapshot
        assert snapshot is not None
        for looks in CHECKS:
            told = NullReporter()
            with pytest.raises(pyrestic.CancelledError):
                snapshot.restore(target, source, verify=verify, report=told, cancel=After(looks))
            assert told.errors == []
        with pytest.raises(pyrestic.CancelledError):
            snapshot.plan_restore(target, source, cancel=After(0))
        assert snapshot.plan_restore(target, source, cancel=threading.Event()).whole
        done = snapshot.restore(target, source, verify=verify, cancel=threading.Event())
        assert done.files + done.unchanged >= 41
    assert not difference(describe(source), describe(target))
