"""How much a backup may store, told before it begins."""

import os
import time
from pathlib import Path

import pytest

from pyrestic.format.gojson import format_time
from pyrestic.format.snapshot import PARTIAL_TAG, Snapshot, Summary
from pyrestic.localfs.select import Patterns
from pyrestic.operations.backup_forecast import forecast_bytes
from pyrestic.operations.backup_options import NO_PARENT, BackupOptions, BackupRequest
from pyrestic.repository.parent import Parent
from pyrestic.repository.snapshots import StoredSnapshot

HOUR = 3600.0


def stored(hours: float, summary: Summary | None = None, tags: tuple[str, ...] = ()) -> StoredSnapshot:
    """Return a snapshot of so many hours from now: nothing else can make files old."""
    moment = format_time(int((time.time() + hours * HOUR) * 1e9), 0)
    return StoredSnapshot(b"\1" * 32, Snapshot(time=moment, tree="ab" * 32, paths=[], tags=list(tags), summary=summary))


@pytest.fixture
def request_(tmp_path: Path) -> BackupRequest:
    folder = tmp_path / "source"
    (folder / "below").mkdir(parents=True)
    for name, length in {"old": 1000, "below/new": 200, "left out.iso": 30}.items():
        (folder / name).write_bytes(b"x" * length)
    os.utime(folder / "below" / "new", times=(0, time.time() + 2 * HOUR))
    options = BackupOptions(exclude=Patterns(("*.iso",)))
    return BackupRequest(
        [os.fsencode(folder)], options, environment={}, cache_folder="", warn=lambda _: pytest.fail("a warning")
    )


def test_without_a_parent_everything_is_new(request_: BackupRequest) -> None:
    assert forecast_bytes(request_, NO_PARENT) == 1200


def test_only_what_changed_since_the_parent_is_new(request_: BackupRequest) -> None:
    assert forecast_bytes(request_, Parent(stored(-1), [])) == 1200
    assert forecast_bytes(request_, Parent(stored(1), [])) == 200
    assert forecast_bytes(request_, Parent(stored(3), [])) == 0


def test_what_a_partial_snapshot_has_is_not_new(request_: BackupRequest) -> None:
    partial = stored(-0.5, Summary(total_bytes_processed=900, data_added=150), (PARTIAL_TAG,))
    assert forecast_bytes(request_, Parent(partial, [])) == 300
    assert forecast_bytes(request_, Parent(partial, [], stored(1))) == 50
