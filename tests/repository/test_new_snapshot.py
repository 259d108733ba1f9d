"""A snapshot is read back before it is stored."""

import contextlib
from typing import Any

import msgspec
import pytest

from pyrestic.errors import UsageError
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import FileType
from pyrestic.repository.new_snapshot import save_snapshot
from pyrestic.repository.snapshots import load_snapshot
from tests.support.repositories import make_repository

GOOD = Snapshot(time="2024-01-02T03:04:05Z", tree="0" * 64, paths=["/a"], hostname="one")
BAD: tuple[dict[str, Any], ...] = (
    {"hostname": 5},
    {"tags": [None]},
    {"paths": [5]},
    {"tree": "0"},
    {"time": "yesterday"},
    {"uid": -1},
)


def test_what_can_be_read_is_stored() -> None:
    with contextlib.closing(make_repository()) as repository:
        assert load_snapshot(repository, save_snapshot(repository, GOOD)) == GOOD


@pytest.mark.parametrize("change", BAD, ids=str)
def test_what_nobody_could_read_is_refused(change: dict[str, Any]) -> None:
    with contextlib.closing(make_repository()) as repository:
        with pytest.raises(UsageError, match="the new snapshot is not stored"):
            save_snapshot(repository, msgspec.structs.replace(GOOD, **change))
        assert list(repository.list_ids(FileType.SNAPSHOT)) == []
