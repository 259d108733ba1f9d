"""Made repositories of many blobs, packs and snapshots, beside the real restic."""

from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from tests.support.repositories import QUICK
from tests.support.restic import NEWEST, PASSWORD, find_pyrestic, find_restic
from tools.make_scale import make_scale

pytestmark = pytest.mark.restic


def test_the_real_restic_finds_nothing_wrong_with_stored_blobs(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    made = make_scale(repository, stored=500, snapshot_count=40, pack_length=1 << 12, password=PASSWORD, params=QUICK)
    real, ours = find_restic(NEWEST, tmp_path), find_pyrestic(tmp_path)
    assert "no errors were found" in real.run("check", "--read-data", repository=repository).text
    assert [one["id"] for one in real.snapshots(repository)] == [one.hex() for one in made.snapshots]
    assert len(real.run("list", "packs", repository=repository).text.splitlines()) > 30
    real.run("restore", "latest", "--target", tmp_path / "restored", repository=repository)
    assert len(list((tmp_path / "restored" / "srv" / "data").iterdir())) == 2
    assert ours.run("cat", "blob", made.blob.hex(), repository=repository).stdout == made.content


def test_both_find_a_blob_beside_many_that_are_only_named(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    made = make_scale(repository, named=60_100, password=PASSWORD, params=QUICK)
    # Both use the same cache, in which pyrestic keeps a copy of the whole index.
    cache = str(tmp_path / "cache")
    for program in (find_pyrestic(tmp_path), find_restic(NEWEST, tmp_path), find_pyrestic(tmp_path)):
        shown = program.run("cat", "blob", made.blob.hex(), repository=repository, RESTIC_CACHE_DIR=cache)
        assert shown.stdout == made.content
        assert len(list((tmp_path / "cache").glob("*/pyrestic-index"))) == 1
        assert len(program.run("list", "index", repository=repository).text.splitlines()) == 3
    opened = Repository.open(LocalBackend(str(repository)), PASSWORD)
    opened.load_index(NullReporter())
    # One data blob and the trees of the root and two folders are there.
    assert len(opened.index) == 60_104
    opened.close()
