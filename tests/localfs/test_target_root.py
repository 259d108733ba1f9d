"""A folder that restores are held to, whatever becomes of the paths."""

import os
from pathlib import Path

import pytest

from pyrestic.errors import LocalFileError
from pyrestic.localfs.target_root import TargetRoot


def test_folders_below_are_made_private_and_opened(tmp_path: Path) -> None:
    root = TargetRoot(str(tmp_path))
    for _ in range(2):
        descriptor = root.open(str(tmp_path / "a" / "b"), create=True)
        assert os.path.samestat(os.fstat(descriptor), (tmp_path / "a" / "b").stat())
        os.close(descriptor)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    descriptor = root.open(str(tmp_path), create=False)
    assert os.path.samestat(os.fstat(descriptor), tmp_path.stat())
    os.close(descriptor)
    root.close()


def test_a_missing_folder_that_is_only_looked_at_is_not_made(tmp_path: Path) -> None:
    root = TargetRoot(str(tmp_path))
    descriptor = root.open(str(tmp_path / "missing" / "x"), create=False)
    assert not os.path.isdir(f"/proc/self/fd/{descriptor}")
    os.close(descriptor)
    root.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["link/x", "x/link", "link", "x/link/y", "file/x", "dangling/x"])
@pytest.mark.parametrize("create", [True, False])
def test_no_way_leads_through_a_link_or_a_file(tmp_path: Path, way: str, *, create: bool) -> None:
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    (allowed / "x").mkdir(parents=True)
    outside.mkdir()
    (allowed / "link").symlink_to(outside)
    (allowed / "x" / "link").symlink_to(outside)
    (allowed / "dangling").symlink_to(outside / "new")
    (allowed / "file").write_text("a file")
    root = TargetRoot(str(allowed))
    with pytest.raises(LocalFileError, match="a link"):
        root.open(str(allowed / way), create=create)
    assert list(outside.iterdir()) == []
    root.close()


def test_nothing_leads_out_or_into_what_is_kept_out(tmp_path: Path) -> None:
    repository = tmp_path / "a" / "repository"
    repository.mkdir(parents=True)
    root = TargetRoot(str(tmp_path), [str(repository)])
    for target in (tmp_path.parent, tmp_path / "..", Path("/")):
        with pytest.raises(LocalFileError, match="is not in"):
            root.open(str(target), create=True)
    for target in (repository, repository / "data" / "new", tmp_path, tmp_path / "a"):
        with pytest.raises(LocalFileError, match="is not apart from"):
            root.open(str(target), create=True)
    assert list(repository.iterdir()) == []
    # Under another name it is the same folder.
    repository.rename(tmp_path / "a" / "renamed")
    (tmp_path / "a" / "repository").symlink_to("renamed")
    with pytest.raises(LocalFileError, match="is not apart from"):
        root.open(str(tmp_path / "a" / "renamed" / "x"), create=True)
    os.close(root.open(str(tmp_path / "a" / "new"), create=True))
    root.close()


def test_the_folder_stays_the_one_that_was_opened(tmp_path: Path) -> None:
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    allowed.mkdir()
    outside.mkdir()
    root = TargetRoot(str(allowed))
    allowed.rename(tmp_path / "moved")
    allowed.symlink_to(outside)
    os.close(root.open(str(allowed / "x"), create=True))
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["x"]
    assert list(outside.iterdir()) == []
    root.close()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="missing could not be opened"):
        TargetRoot(str(tmp_path / "missing"))
