"""Folders of sources by descriptors: the same ones again, through no link, with few of them open."""

import os
from pathlib import Path

import pytest

from pyrestic.localfs.source_folders import SourceFolder, SourceFolders

DEPTH = 50


def chain(folders: SourceFolders, root: Path) -> list[SourceFolder]:
    """Make folders one below the other and open each from the one above."""
    (root / "top").joinpath(*["d"] * DEPTH).mkdir(parents=True)
    place = folders.locate(bytes(root / "top"))
    found, name = [place.folder], place.name
    for _ in range(DEPTH + 1):
        with folders.opened(found[-1]) as above:
            folder, used = folders.open_below(found[-1], above, name)
        folders.release(used)
        found.append(folder)
        name = b"d"
    return found


def open_count() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_any_folder_is_found_again_and_few_stay_open(tmp_path: Path) -> None:
    folders = SourceFolders()
    before = open_count()
    found = chain(folders, tmp_path)
    for folder in found:
        with folders.opened(folder) as descriptor:
            status = os.fstat(descriptor)
            assert (status.st_dev, status.st_ino) == folder.identity
        assert open_count() - before <= 12
    folders.close()
    assert open_count() == before


def test_leaving_a_folder_opens_the_one_above_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = SourceFolders()
    found = chain(folders, tmp_path)
    steps = iter(range(DEPTH))
    plain = os.open

    def counted(path: bytes, flags: int, *, dir_fd: int | None = None) -> int:
        next(steps)
        return plain(path, flags, dir_fd=dir_fd)

    # Those that were open at first take no step.
    monkeypatch.setattr(os, "open", counted)
    for folder in reversed(found[1:]):
        with folders.opened(folder) as descriptor:
            folders.leave(folder, descriptor)
    assert next(steps) > DEPTH // 2
    folders.close()


@pytest.mark.parametrize("kind", ["link", "other", "gone"])
def test_a_folder_that_was_replaced_is_not_opened_again(tmp_path: Path, kind: str) -> None:
    folders = SourceFolders()
    found = chain(folders, tmp_path)
    replaced = tmp_path / "top" / "d" / "d"
    replaced.rename(tmp_path / "aside")
    if kind == "link":
        replaced.symlink_to(tmp_path / "aside")
    elif kind == "other":
        replaced.joinpath(*["d"] * DEPTH).mkdir(parents=True)
    with (
        pytest.raises(OSError, match=r"replaced|No such file|Not a directory"),
        folders.opened(found[20]),
    ):
        pass
    with folders.opened(found[2]) as descriptor:
        assert os.fstat(descriptor).st_ino == (tmp_path / "top" / "d").stat().st_ino
    folders.close()


def test_a_link_is_no_folder_below_a_source_and_may_be_one_above(tmp_path: Path) -> None:
    (tmp_path / "real" / "source").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    folders = SourceFolders()
    place = folders.locate(bytes(tmp_path / "link" / "source"))
    assert place.name == b"source"
    assert place.folder.below_top(place.path) == b"source"
    (tmp_path / "real" / "linked").symlink_to("source")
    with folders.opened(place.folder) as above, pytest.raises(NotADirectoryError):
        folders.open_below(place.folder, above, b"linked")
    folders.close()


@pytest.mark.parametrize(
    ("source", "below", "rest"),
    [
        (b"/usr/lib", b"/usr/lib/x", b"lib/x"),
        (b"/usr", b"/usr/x", b"usr/x"),
        (b"a", b"a/x", b"a/x"),
        (b"../a", b"../a/x", b"a/x"),
    ],
)
def test_the_way_from_the_top_folder_is_known(source: bytes, below: bytes, rest: bytes) -> None:
    folders = SourceFolders()
    assert folders.locate(source).folder.below_top(below) == rest
    folders.close()
