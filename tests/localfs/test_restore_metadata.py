"""Metadata given back: owner, extended attributes, times, mode; what an ordinary user may not do is counted."""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError
from pyrestic.format.gojson import format_time
from pyrestic.format.node import ExtendedAttribute, Node, mode_to_go
from pyrestic.localfs.restore_metadata import MetadataRestorer, MetadataRules
from tests.support.nodes import node_of
from tests.support.users import ordinary_user

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_PATH)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def restore(path: Path, node: Node, restorer: MetadataRestorer | None = None) -> None:
    with opened(path.parent) as folder:
        (restorer or MetadataRestorer()).apply(folder, bytes(path.name, "utf-8"), node)


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


# What ext4 with 256-byte inodes can hold, 1901-12-13 to 2446-05-10, but for its very ends.
@given(st.integers(-2_147_483_647, 15_032_385_534), st.integers(0, 999_999_999), st.sampled_from([0, 3600, -12_600]))
def test_any_time_comes_back_to_the_nanosecond(
    tmp_path_factory: pytest.TempPathFactory, second: int, fraction: int, offset: int
) -> None:
    path = tmp_path_factory.mktemp("times") / "file"
    path.touch()
    moment = second * 1_000_000_000 + fraction
    node = node_of(path)
    node.mtime = format_time(moment, offset)
    node.atime = format_time(moment // 7, 0)
    restore(path, node)
    assert path.stat().st_mtime_ns == moment
    assert path.stat().st_atime_ns == moment // 7


@pytest.mark.parametrize("mode", [0, 0o7777, 0o4755, 0o2750, 0o1777, 0o644])
def test_modes_come_back_with_special_bits(file: Path, mode: int) -> None:
    node = node_of(file)
    node.mode = mode_to_go(stat.S_IFREG | mode)
    restore(file, node)
    assert stat.S_IMODE(file.stat().st_mode) == mode


@needs_root
def test_set_user_id_bits_and_attributes_survive_the_change_of_owner(file: Path) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    node = node_of(file)
    node.uid, node.gid, node.mode = 12_345, 54_321, 0o755 | 1 << 23
    node.extended_attributes = [ExtendedAttribute("security.capability", capability)]
    restore(file, node)
    status = file.stat()
    assert (status.st_uid, status.st_gid) == (12_345, 54_321)
    assert stat.S_IMODE(status.st_mode) == 0o4755
    assert attributes(file) == {"security.capability": capability}


@needs_root
def test_the_largest_owner_number_means_no_change(file: Path) -> None:
    os.chown(file, 77, 78)
    node = node_of(file)
    node.uid = node.gid = (1 << 32) - 1
    restore(file, node)
    assert (file.stat().st_uid, file.stat().st_gid) == (77, 78)


@needs_root
def test_owners_are_found_by_name_on_request_and_by_number_otherwise(file: Path) -> None:
    user, group = pwd.getpwall()[-1], grp.getgrall()[-1]
    by_name = MetadataRestorer(MetadataRules(ownership_by_name=True))
    node = node_of(file)
    node.uid, node.gid, node.user, node.group = 4001, 4002, user.pw_name, group.gr_name
    restore(file, node, by_name)
    assert (file.stat().st_uid, file.stat().st_gid) == (user.pw_uid, group.gr_gid)
    node.user, node.group = "no such user", ""
    restore(file, node, by_name)
    assert (file.stat().st_uid, file.stat().st_gid) == (4001, 4002)


def test_attributes_are_set_and_unexpected_ones_removed(file: Path) -> None:
    os.setxattr(file, "user.old", b"1")
    os.setxattr(file, "user.both", b"1")
    node = node_of(file)
    node.extended_attributes = [
        ExtendedAttribute("user.both", b"2"),
        ExtendedAttribute("user.empty", b""),
        ExtendedAttribute("user.null", None),
        ExtendedAttribute("user.ä", b"\x00\xff"),
    ]
    restore(file, node)
    assert attributes(file) == {"user.both": b"2", "user.empty": b"", "user.null": b"", "user.ä": b"\x00\xff"}


def test_attributes_that_are_not_selected_stay_untouched(file: Path) -> None:
    os.setxattr(file, "user.keep", b"1")
    os.setxattr(file, "user.go", b"1")
    node = node_of(file)
    node.extended_attributes = [ExtendedAttribute("user.keep", b"2"), ExtendedAttribute("user.new", b"3")]
    restore(file, node, MetadataRestorer(MetadataRules(attributes=lambda name: name != "user.keep")))
    assert attributes(file) == {"user.keep": b"1", "user.new": b"3"}


def test_one_impossible_attribute_does_not_keep_the_rest_back(file: Path) -> None:
    node = node_of(file)
    node.extended_attributes = [
        ExtendedAttribute("user.a\0b", b"1"),
        ExtendedAttribute("user." + "x" * 300, b"1"),
        ExtendedAttribute("user.good", b"1"),
    ]
    node.mtime = node.atime = "2001-01-01T00:00:00Z"
    node.mode = 0o600
    with pytest.raises(OSError, match="impossible name"):
        restore(file, node)
    assert attributes(file) == {"user.good": b"1"}
    assert file.stat().st_mtime == 978_307_200
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_access_lists_come_back_as_they_were(tmp_path: Path, file: Path) -> None:
    access = bytes.fromhex("0200000001000600ffffffff02000700e803000004000400ffffffff10000700ffffffff20000000ffffffff")
    try:
        os.setxattr(file, "system.posix_acl_access", access)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            pytest.skip("the file system has no access lists")
        raise
    node = node_of(file)
    copy = tmp_path / "copy"
    copy.touch()
    restore(copy, node)
    assert attributes(copy) == attributes(file)
    assert copy.stat().st_mode == file.stat().st_mode


def test_a_link_is_changed_itself_and_never_what_it_points_to(tmp_path: Path, file: Path) -> None:
    before = file.stat()
    link = tmp_path / "link"
    link.symlink_to(file)
    node = node_of(link)
    node.mtime = node.atime = "1999-12-31T23:59:59.5Z"
    if os.geteuid() == 0:
        node.uid = node.gid = 4711
        node.extended_attributes = [ExtendedAttribute("trusted.x", b"1")]
    restore(link, node)
    after = file.stat()
    assert (before.st_mtime_ns, before.st_uid, before.st_mode) == (after.st_mtime_ns, after.st_uid, after.st_mode)
    assert attributes(file) == {}
    assert link.lstat().st_mtime_ns == node.mtime_ns
    if os.geteuid() == 0:
        assert link.lstat().st_uid == 4711
        assert attributes(link) == {"trusted.x": b"1"}


@pytest.mark.parametrize("kind", ["file", "dir"])
def test_a_link_in_place_of_a_file_or_folder_is_not_followed(tmp_path: Path, file: Path, kind: str) -> None:
    (tmp_path / "link").symlink_to(file if kind == "file" else tmp_path)
    node = node_of(file if kind == "file" else tmp_path)
    node.mode |= 0o777
    before = stat.S_IMODE(file.stat().st_mode)
    with pytest.raises(OSError, match="symbolic links"):
        restore(tmp_path / "link", node)
    assert stat.S_IMODE(file.stat().st_mode) == before


def test_another_type_than_the_nodes_is_refused(tmp_path: Path, file: Path) -> None:
    with pytest.raises(OSError, match="another type"):
        restore(file, node_of(tmp_path))


def test_folders_and_pipes_get_all_of_it(tmp_path: Path) -> None:
    for name, make in (("folder", os.mkdir), ("pipe", os.mkfifo)):
        path = tmp_path / name
        make(path)
        node = node_of(path)
        node.mtime, node.mode = "2010-10-10T10:10:10.1Z", mode_to_go(stat.S_IFMT(path.stat().st_mode) | 0o1753)
        restore(path, node)
        assert path.stat().st_mtime_ns == node.mtime_ns
        assert stat.S_IMODE(path.stat().st_mode) == 0o1753


def test_a_time_that_is_none_is_damage(file: Path) -> None:
    node = node_of(file)
    node.mtime = "yesterday"
    with pytest.raises(FormatError):
        restore(file, node)


def test_what_an_ordinary_user_may_not_do_is_counted_and_the_rest_done() -> None:
    with ordinary_user() as folder:
        path = folder / "file"
        path.touch()
        restorer = MetadataRestorer()
        node = node_of(path)
        restore(path, node, restorer)
        assert restorer.denied == 0
        node.uid, node.mtime, node.mode = 1, "2010-10-10T10:10:10Z", 0o604
        node.extended_attributes = [ExtendedAttribute("trusted.x", b"1"), ExtendedAttribute("user.x", b"1")]
        restore(path, node, restorer)
        assert restorer.denied == 1
        assert attributes(path) == {"user.x": b"1"}
        assert path.stat().st_mtime_ns == node.mtime_ns
        assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_file_that_may_not_be_read_gets_its_metadata() -> None:
    with ordinary_user() as folder:
        for name, mode in (("file", 0), ("folder", 0o100)):
            path = folder / name
            path.touch() if name == "file" else path.mkdir()
            node = node_of(path)
            node.mtime = "2010-10-10T10:10:10Z"
            node.mode |= 0o700
            path.chmod(mode)
            restore(path, node)
            assert path.stat().st_mtime_ns == node.mtime_ns
            assert path.stat().st_mode == node.st_mode


def test_unknown_generic_attributes_are_told_once(file: Path) -> None:
    told: list[str] = []
    restorer = MetadataRestorer(warn=told.append)
    node = node_of(file)
    node.generic_attributes = {
        "windows.creation_time": msgspec.Raw(b'"x"'),
        "future.thing": msgspec.Raw(b"1"),
    }
    restore(file, node, restorer)
    restore(file, node, restorer)
    assert len(told) == 1
    assert "future.thing" in told[0]
