"""What few people want in a backup of their home is found and measured."""

import os
from pathlib import Path

import pytest

from pyrestic.localfs.disposable import Measurement

KINDS = {
    ".cache": "caches",
    ".var/app/org.example/cache": "caches",
    ".local/share/Trash": "trash",
    ".Trash-1000": "trash",
    ".cargo/registry": "packages",
    "VirtualBox VMs": "virtual machines",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in KINDS:
        folder = tmp_path / name / "below"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(os.urandom(100_000))
    (tmp_path / "Documents").mkdir()
    (tmp_path / "Documents" / "large").write_bytes(os.urandom(300_000))
    (tmp_path / ".npm").symlink_to("Documents")
    return tmp_path


def test_what_there_is_is_found_with_its_kind_and_size(home: Path) -> None:
    found = Measurement(60).find_disposable(str(home))
    assert {os.path.relpath(one.folder.path, home): one.kind for one in found} == KINDS
    assert all(100_000 <= one.folder.bytes < 200_000 and not one.folder.partly for one in found)
    patterns = {os.path.relpath(one.pattern, home) for one in found}
    assert patterns == {*KINDS, ".var/app/*/cache", ".Trash-*"} - {".var/app/org.example/cache", ".Trash-1000"}


def test_the_largest_that_are_kept(home: Path) -> None:
    left = [str(home / name) for name in KINDS if name != "VirtualBox VMs"]
    first, second, *_ = Measurement(60).list_largest(str(home), left, 5)
    assert (first.path, second.path) == (str(home / "Documents"), str(home / "VirtualBox VMs"))
    assert second.bytes < 200_000 < first.bytes


def test_a_file_with_holes_counts_what_it_takes(home: Path) -> None:
    with (home / "Documents" / "large").open("wb") as file:
        file.truncate(1 << 30)
    assert Measurement(60).measure(str(home / "Documents")).bytes < 1 << 20


def test_a_measurement_ends(home: Path) -> None:
    assert Measurement(-1).measure(str(home)).partly
    assert Measurement(60).measure(str(home / "nothing")).bytes == 0
