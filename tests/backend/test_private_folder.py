"""Folders in which nobody else can write: which ones are, and what is done with files in them."""

import os
import stat
from pathlib import Path

import pytest

from pyrestic.backend import private_folder
from pyrestic.backend.private_folder import distrust, open_private
from pyrestic.errors import UntrustedError
from tests.support.users import ORDINARY, ordinary_user

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to others")


def test_a_folder_is_made_with_all_above_it_for_this_user_alone(tmp_path: Path) -> None:
    with open_private(str(tmp_path / "a" / "b"), create=True) as folder:
        folder.replace("name", (b"con", b"tent"))
        assert folder.read("name", 100) == b"content"
        assert folder.read("name", 3) == b"con"
        assert os.listdir(folder.descriptor) == ["name"]
    for path, mode in ((tmp_path / "a", 0o700), (tmp_path / "a" / "b", 0o700), (tmp_path / "a" / "b" / "name", 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    with pytest.raises(FileNotFoundError):
        open_private(str(tmp_path / "other"))


@pytest.mark.parametrize("level", ["a", "a/b"])
def test_a_level_where_others_may_write_is_refused(tmp_path: Path, level: str) -> None:
    open_private(str(tmp_path / "a" / "b"), create=True).close()
    (tmp_path / level).chmod(0o757)
    error = distrust(str(tmp_path / "a" / "b"))
    assert error is not None
    assert str(error) == f"nothing is stored in {tmp_path / level}: other users may write to it"
    with pytest.raises(UntrustedError):
        open_private(str(tmp_path / "a" / "b" / "c"), create=True)
    assert not (tmp_path / "a" / "b" / "c").exists()


def test_a_level_like_tmp_is_fine_on_the_way_and_not_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    open_private(str(tmp_path / "shared" / "own"), create=True).close()
    assert distrust(str(tmp_path / "shared" / "own")) is None
    assert distrust(str(tmp_path / "shared")) is not None


@needs_root
@pytest.mark.parametrize("level", ["a", "a/b"])
def test_a_level_of_another_user_is_refused(tmp_path: Path, level: str) -> None:
    open_private(str(tmp_path / "a" / "b"), create=True).close()
    os.chown(tmp_path / level, ORDINARY, ORDINARY)
    with pytest.raises(UntrustedError, match="it belongs to another user"):
        open_private(str(tmp_path / "a" / "b"))


@needs_root
def test_a_user_may_use_folders_of_his_own_below_those_of_root() -> None:
    with ordinary_user() as folder:
        open_private(str(folder / "own"), create=True).close()
        assert distrust(str(folder / "own")) is None


def test_links_are_followed_under_the_same_rules(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to("../" + tmp_path.name + "/real")
    (tmp_path / "absolute").symlink_to(tmp_path / "link")
    (tmp_path / "bad").symlink_to("open")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("link", "absolute"):
        with open_private(str(tmp_path / name)) as folder:
            assert folder.path == str(tmp_path / "real")
    assert distrust(str(tmp_path / "bad")) is not None
    with pytest.raises(OSError, match="symbolic links"):
        open_private(str(tmp_path / "loop"))


@needs_root
def test_a_link_of_another_user_in_a_folder_like_tmp_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "real").mkdir()
    (shared / "cache").symlink_to(tmp_path / "real")
    assert distrust(str(shared / "cache")) is None
    os.lchown(shared / "cache", ORDINARY, ORDINARY)
    assert distrust(str(shared / "cache")) is not None


def test_a_group_that_may_write_has_to_be_this_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder").chmod(0o775)
    for own in (True, False):
        monkeypatch.setattr(private_folder, "_has_own_group", lambda *_, own=own: own)
        assert (distrust(str(tmp_path / "folder")) is None) == own


def test_files_that_others_could_have_put_there_are_not_opened(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    with open_private(str(tmp_path / "own"), create=True) as folder:
        own = tmp_path / "own"
        (own / "link").symlink_to(outside)
        (own / "hard").hardlink_to(outside)
        os.mkfifo(own / "pipe")
        (own / "open").write_bytes(b"x")
        (own / "open").chmod(0o666)
        (own / "folder").mkdir()
        for name in ("link", "hard", "pipe", "open", "folder"):
            with pytest.raises((UntrustedError, IsADirectoryError)):
                folder.read(name, 10)
            with pytest.raises((UntrustedError, OSError)):
                folder.open_or_create_file(name, os.O_RDWR)
        # What takes their names goes to new files.
        for name in ("link", "hard", "pipe", "open"):
            folder.replace(name, (b"new",))
            assert folder.read(name, 10) == b"new"
    assert outside.read_bytes() == b"precious"


@needs_root
def test_a_file_of_another_user_is_not_opened(tmp_path: Path) -> None:
    with open_private(str(tmp_path / "own"), create=True) as folder:
        folder.replace("name", (b"content",))
        os.chown(tmp_path / "own" / "name", ORDINARY, ORDINARY)
        with pytest.raises(UntrustedError):
            folder.read("name", 10)


def test_what_is_replaced_stays_when_writing_fails(tmp_path: Path) -> None:
    def broken() -> "list[bytes]":
        raise OSError(28, "No space left on device")

    with open_private(str(tmp_path / "own"), create=True) as folder:
        folder.replace("name", (b"old",))
        with pytest.raises(OSError, match="No space"):
            folder.replace("name", (part for _ in range(2) for part in (b"new", *broken())))
        assert folder.read("name", 10) == b"old"
        assert os.listdir(folder.descriptor) == ["name"]
