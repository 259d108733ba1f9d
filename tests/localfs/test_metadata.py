"""Nodes of this machine's files; tests/compat compares them with the real restic's byte for byte."""

import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.errors import LocalFileError
from pyrestic.format.node import ExtendedAttribute
from pyrestic.format.tree import encode_tree
from pyrestic.localfs import metadata
from pyrestic.localfs.metadata import group_name, local_offset_seconds, node_from_stat, user_name
from tests.support.nodes import node_of


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    forget_zone()


def forget_zone() -> None:
    time.tzset()
    metadata._offset_of_quarter.cache_clear()
    metadata._second.cache_clear()


def set_zone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TZ", name)
    forget_zone()


def test_zone_offsets_change_at_the_very_second(zone: pytest.MonkeyPatch) -> None:
    set_zone(zone, "Europe/Berlin")
    spring, autumn = 1_711_846_800, 1_729_990_800
    assert [local_offset_seconds(spring - 1), local_offset_seconds(spring)] == [3600, 7200]
    assert [local_offset_seconds(autumn - 1), local_offset_seconds(autumn)] == [7200, 3600]
    assert local_offset_seconds(-3_000_000_000) == 3208


def test_moments_no_calendar_reaches_have_the_offset_of_their_season(zone: pytest.MonkeyPatch) -> None:
    set_zone(zone, "Europe/Berlin")
    assert local_offset_seconds(1 << 62) in (3600, 7200)
    assert local_offset_seconds(-(1 << 62)) == 3208


def test_a_file_has_size_links_and_no_content_yet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    path.chmod(0o4640)
    node = node_of(path)
    status = path.stat()
    assert (node.name, node.type, node.size, node.links, node.content) == ("file", "file", 5, 1, [])
    assert node.mode == 0o640 | 1 << 23
    assert (node.inode, node.device_id) == (status.st_ino, status.st_dev)
    assert (node.user, node.group) == (user_name(status.st_uid), group_name(status.st_gid))


def test_access_times_are_kept_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, ns=(1, 2))
    assert (node_of(path).mtime_ns, node_of(path).atime_ns) == (2, 2)
    assert node_of(path, with_atime=True).atime_ns == 1


def test_folders_pipes_and_sockets_have_neither_size_nor_links(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path, kind in ((tmp_path, "dir"), (tmp_path / "fifo", "fifo"), (tmp_path / "socket", "socket")):
            node = node_of(path)
            assert (node.type, node.size, node.links, node.content) == (kind, 0, 0, None)


def test_links_keep_any_target(tmp_path: Path) -> None:
    for number, target in enumerate((b"plain", "ü<&>".encode(), b"\xff/x")):
        path = tmp_path / str(number)
        os.symlink(target, bytes(path))
        node = node_of(path)
        assert node.raw_linktarget == target
        assert (node.links, node.size) == (1, 0)
        assert (node.linktarget_raw is None) == (target != b"\xff/x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make devices")
def test_devices_keep_their_number(tmp_path: Path) -> None:
    os.mknod(tmp_path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    node = node_of(tmp_path / "null")
    assert (node.type, node.device, node.links) == ("chardev", os.makedev(1, 3), 1)


def test_attributes_stand_in_the_order_of_the_kernel(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert node_of(path).extended_attributes is None
    for name, value in (("user.b", b"\xff\0"), ("user.a", b"")):
        os.setxattr(path, name, value)
    expected = [ExtendedAttribute(name, os.getxattr(path, name)) for name in os.listxattr(path)]
    assert node_of(path).extended_attributes == expected


def test_undecodable_attribute_names_are_encoded_as_go_does(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.setxattr(bytes(path), b"user.\xff\xc3\xa9", b"1")
    document = encode_tree([node_of(path)])
    assert rb'"extended_attributes":[{"name":"user.\ufffd' + "é".encode() + b'","value":"MQ=="}]' in document


def test_what_cannot_be_read_of_a_file_is_reported_and_the_node_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    status = path.lstat()
    path.unlink()
    found: list[tuple[bytes, LocalFileError]] = []
    node = node_of(path, status=status, report=lambda path, error: found.append((path, error)))
    assert node.inode == status.st_ino
    assert found[0][0] == bytes(path)
    assert "extended attributes" in str(found[0][1])


def test_unknown_owners_have_no_name() -> None:
    assert user_name(3_999_999_999) == group_name(3_999_999_999) == ""


@pytest.mark.slow
def test_a_node_costs_little(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    status, raw = path.lstat(), bytes(path)
    folder = os.open(tmp_path, os.O_PATH)
    started = time.perf_counter()
    for _ in range(2000):
        node_from_stat(raw, b"file", status, folder=folder)
    taken = time.perf_counter() - started
    os.close(folder)
    # About 6 µs on the machine this was written on; the bound leaves room for slow and busy ones.
    assert taken / 2000 < 100e-6
