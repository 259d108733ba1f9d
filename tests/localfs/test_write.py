"""Writing below a target: contents, things in the way, links that would lead outside, few descriptors."""

import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import LocalFileError
from pyrestic.format.node import Node
from pyrestic.localfs.target_files import make_node
from pyrestic.localfs.write import TargetWriter
from tests.support import nodes as support
from tests.support.users import ordinary_user


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


@pytest.fixture
def writer(target: Path) -> Iterator[TargetWriter]:
    made = TargetWriter(bytes(target))
    made.open()
    yield made
    made.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def node_of(path: Path, **changes: object) -> Node:
    node = support.node_of(path)
    for name, value in changes.items():
        setattr(node, name, value)
    return node


def test_the_target_is_made_with_its_parents(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    writer = TargetWriter(bytes(path))
    writer.open()
    writer.write_small_file(b"/file", b"content")
    writer.close()
    assert (path / "file").read_bytes() == b"content"


def test_a_target_whose_path_is_too_long_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    # The parents of the first could be made, those of the second are more than Python calls itself.
    for name in ("long" * 50, "x"):
        with pytest.raises(LocalFileError, match=r"(?i)file name too long"):
            TargetWriter(bytes(tmp_path) + f"/{name}".encode() * 5000).open()
        assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(LocalFileError, match="file"):
        TargetWriter(bytes(path)).open()


def test_a_small_file_gets_content_and_metadata_in_one_go(writer: TargetWriter, target: Path) -> None:
    node = node_of(target, type="file", mode=0o640, mtime="1950-01-02T03:04:05.678Z", atime="2300-01-01T00:00:00+02:00")
    writer.make_directory(b"/sub")
    writer.write_small_file(b"/sub/file", b"content", node)
    status = (target / "sub" / "file").stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert (status.st_mtime_ns, status.st_atime_ns) == (node.mtime_ns, node.atime_ns)


@pytest.mark.parametrize("before", [b"", b"short", b"something much longer than that"])
def test_an_existing_file_keeps_its_inode_and_gets_the_content(
    writer: TargetWriter, target: Path, before: bytes
) -> None:
    (target / "file").write_bytes(before)
    inode = (target / "file").stat().st_ino
    writer.write_small_file(b"/file", b"new content")
    assert (target / "file").read_bytes() == b"new content"
    assert (target / "file").stat().st_ino == inode


def test_a_file_with_several_links_is_replaced_not_written_through(
    writer: TargetWriter, target: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (target / "small").hardlink_to(outside)
    (target / "large").hardlink_to(outside)
    writer.write_small_file(b"/small", b"new")
    writer.create_file(b"/large", 3)
    writer.write_at(b"/large", 0, b"new")
    assert outside.read_bytes() == b"precious"
    assert (target / "small").read_bytes() == (target / "large").read_bytes() == b"new"


def test_links_in_the_way_of_files_are_replaced(writer: TargetWriter, target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (target / "link").symlink_to(outside)
    (target / "dangling").symlink_to(tmp_path / "nowhere")
    writer.write_small_file(b"/link", b"new")
    writer.create_file(b"/dangling", 0)
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()
    assert not (target / "link").is_symlink()
    assert not (target / "dangling").is_symlink()


def test_links_in_the_way_of_folders_are_replaced(writer: TargetWriter, target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "a").symlink_to(outside)
    writer.make_directory(b"/a/b")
    writer.write_small_file(b"/a/b/file", b"x")
    assert list(outside.iterdir()) == []
    assert (target / "a" / "b" / "file").read_bytes() == b"x"


def test_nothing_goes_through_a_link_that_was_not_replaced(writer: TargetWriter, target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"precious")
    (target / "a").symlink_to(outside)
    node = node_of(outside / "file", mode=0o777)
    attempts: list[Callable[[], None]] = [
        lambda: writer.write_small_file(b"/a/new", b"x"),
        lambda: writer.create_file(b"/a/new", 1),
        lambda: writer.write_at(b"/a/file", 0, b"x"),
        lambda: writer.create_node(b"/a/pipe", node_of(outside, type="fifo")),
        lambda: writer.link(b"/a/link", b"/a/file"),
        lambda: writer.remove(b"/a/file"),
        lambda: writer.restore_metadata(b"/a/file", node),
    ]
    for attempt in attempts:
        with pytest.raises(LocalFileError):
            attempt()
    assert writer.status(b"/a/file") is None
    assert writer.names(b"/a") == []
    assert writer.open_to_read(b"/a/file") is None
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_bytes() == b"precious"


@pytest.mark.parametrize("location", [b"/..", b"/../x", b"/a/../../x", b"/.", b"/a//b", b"/", b"/a/", b"/a\0b"])
def test_names_that_lead_elsewhere_are_refused(writer: TargetWriter, tmp_path: Path, location: bytes) -> None:
    writer.make_directory(b"/a")
    with pytest.raises(LocalFileError):
        writer.write_small_file(location, b"x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("location", [b"/..", b"/a/../../x", b"/./b"])
def test_folders_that_lead_elsewhere_are_refused(writer: TargetWriter, tmp_path: Path, location: bytes) -> None:
    with pytest.raises(LocalFileError):
        writer.make_directory(location)
    assert not (tmp_path / "x").exists()


def test_pipes_and_devices_in_the_way_are_replaced_without_opening_them(writer: TargetWriter, target: Path) -> None:
    os.mkfifo(target / "pipe")
    writer.write_small_file(b"/pipe", b"x")
    assert (target / "pipe").read_bytes() == b"x"
    os.mkfifo(target / "folder")
    writer.make_directory(b"/folder/sub")
    assert (target / "folder" / "sub").is_dir()


def test_a_full_folder_in_the_way_of_a_file_is_kept(writer: TargetWriter, target: Path) -> None:
    (target / "folder" / "sub").mkdir(parents=True)
    (target / "empty").mkdir()
    with pytest.raises(LocalFileError, match="folder could not be written"):
        writer.write_small_file(b"/folder", b"x")
    assert (target / "folder" / "sub").is_dir()
    writer.write_small_file(b"/empty", b"x")
    assert (target / "empty").is_file()


def test_a_full_folder_may_be_replaced_on_request(target: Path) -> None:
    writer = TargetWriter(bytes(target), replace_folders=True)
    writer.open()
    writer.make_directory(b"/folder/sub")
    writer.write_small_file(b"/folder/sub/old", b"x")
    writer.write_small_file(b"/folder", b"x")
    assert (target / "folder").read_bytes() == b"x"
    writer.make_directory(b"/folder/sub")
    writer.write_small_file(b"/folder/sub/new", b"y")
    assert [path.name for path in (target / "folder" / "sub").iterdir()] == ["new"]
    writer.close()


@pytest.mark.process
def test_a_running_program_is_replaced(writer: TargetWriter, target: Path) -> None:
    program = target / "program"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o700)
    with subprocess.Popen([program, "60"]) as process:
        try:
            writer.write_small_file(b"/program", b"new")
        finally:
            process.kill()
    assert program.read_bytes() == b"new"


def test_a_file_that_may_not_be_written_is_made_writable() -> None:
    with ordinary_user() as folder:
        (folder / "file").write_bytes(b"old content")
        (folder / "file").chmod(0)
        writer = TargetWriter(bytes(folder))
        writer.open()
        writer.write_small_file(b"/file", b"new")
        writer.close()
        assert (folder / "file").read_bytes() == b"new"


def test_large_files_shrink_grow_and_keep_what_is_not_written(writer: TargetWriter, target: Path) -> None:
    (target / "file").write_bytes(b"0123456789")
    writer.create_file(b"/file", 5)
    assert (target / "file").read_bytes() == b"01234"
    writer.create_file(b"/file", 8)
    writer.write_at(b"/file", 6, b"ab")
    writer.write_at(b"/file", 4, b"--")
    writer.close_file(b"/file")
    assert (target / "file").read_bytes() == b"0123--ab"


runs = st.lists(st.tuples(st.sampled_from([b"\0", b"x"]), st.integers(1, 9000)), max_size=6)


@given(runs, st.lists(st.integers(0, 40_000), max_size=4))
def test_sparse_files_have_the_same_content(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    content = b"".join(byte * count for byte, count in parts)
    target = tmp_path_factory.mktemp("sparse")
    (target / "file").write_bytes(b"old" * 20_000)
    writer = TargetWriter(bytes(target))
    writer.open()
    writer.create_file(b"/file", len(content), sparse=True)
    ends = sorted({min(cut, len(content)) for cut in cuts} | {len(content)})
    for start, end in zip([0, *ends], ends, strict=False):
        writer.write_at(b"/file", start, content[start:end], sparse=True)
    writer.close()
    assert (target / "file").read_bytes() == content


def test_zeros_take_no_space_in_sparse_files(writer: TargetWriter, target: Path) -> None:
    writer.create_file(b"/file", 10 << 20, sparse=True)
    writer.write_at(b"/file", 0, bytes(5 << 20), sparse=True)
    writer.write_at(b"/file", 5 << 20, bytes(3 << 20) + b"x" + bytes((2 << 20) - 1), sparse=True)
    status = (target / "file").stat()
    assert status.st_size == 10 << 20
    assert status.st_blocks * 512 <= 64 << 10


def test_many_files_written_by_threads_need_few_descriptors(target: Path) -> None:
    writer = TargetWriter(bytes(target), open_files=4, open_folders=3)
    writer.open()
    before = open_descriptors()
    highest = 0
    locations = [b"/d%d/e/file%d" % (number % 20, number) for number in range(200)]
    for location in locations:
        writer.make_directory(location.rpartition(b"/")[0])
        writer.create_file(location, 4000)

    def write(piece: int) -> None:
        nonlocal highest
        for location in locations:
            writer.write_at(location, piece * 1000, location[-1:] * 1000)
            highest = max(highest, open_descriptors())

    threads = [threading.Thread(target=write, args=(piece,)) for piece in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert highest - before < 24
    assert open_descriptors() < before
    for location in locations:
        assert (target / os.fsdecode(location[1:])).read_bytes() == location[-1:] * 4000


def test_paths_may_be_longer_than_the_system_takes_at_once(writer: TargetWriter, target: Path) -> None:
    location = b""
    for _ in range(60):
        location += b"/" + b"x" * 200
        writer.make_directory(location)
    writer.write_small_file(location + b"/file", b"deep")
    descriptor = writer.open_to_read(location + b"/file")
    assert descriptor is not None
    assert os.read(descriptor, 10) == b"deep"
    os.close(descriptor)
    gone: list[bytes] = []
    writer.remove(b"/" + b"x" * 200, gone.append)
    assert len(gone) == 61
    assert list(target.iterdir()) == []


def test_a_file_that_went_missing_is_named(writer: TargetWriter, target: Path) -> None:
    with pytest.raises(LocalFileError, match=f"{target}/missing could not be written: no such file or directory"):
        writer.write_at(b"/missing", 0, b"x")
    with pytest.raises(LocalFileError, match="could not be given its metadata"):
        writer.restore_metadata(b"/missing", node_of(target))
    with pytest.raises(LocalFileError, match="too long"):
        writer.write_small_file(b"/" + b"x" * 300, b"")


@pytest.mark.process
def test_a_full_disk_is_named_with_advice(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        writer = TargetWriter(bytes(folder))
        writer.open()
        with pytest.raises(LocalFileError, match="one could not be written: no space left") as caught:
            writer.write_small_file(b"/one", bytes(1 << 20))
        assert "space" in caught.value.hint
        writer.create_file(b"/two", 1 << 20)
        with pytest.raises(LocalFileError, match="two could not be written: no space left"):
            writer.write_at(b"/two", 0, b"x" * (1 << 20))
        writer.close()
    finally:
        subprocess.run(["umount", folder], check=True)


def test_hard_links_replace_what_is_there(writer: TargetWriter, target: Path) -> None:
    writer.make_directory(b"/sub")
    writer.write_small_file(b"/first", b"x")
    (target / "sub" / "second").write_bytes(b"other")
    writer.link(b"/sub/second", b"/first")
    writer.link(b"/sub/second", b"/first")
    assert (target / "first").samefile(target / "sub" / "second")


def test_a_hard_link_to_a_symbolic_link_is_no_way_out(writer: TargetWriter, target: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").touch()
    (target / "link").symlink_to(tmp_path / "outside")
    writer.link(b"/copy", b"/link")
    assert (target / "copy").is_symlink()
    assert (tmp_path / "outside").stat().st_nlink == 1


def test_links_and_devices_that_cannot_be_are_refused(writer: TargetWriter, target: Path) -> None:
    with pytest.raises(LocalFileError, match="made"):
        writer.create_node(b"/device", Node(name="device", type="chardev", device=1 << 64))
    with pytest.raises(LocalFileError, match="made"):
        writer.create_node(b"/link", Node(name="link", type="symlink", linktarget="a\0b"))
    assert os.listdir(target) == []


def test_links_pipes_and_devices_are_made_with_their_metadata(writer: TargetWriter, target: Path) -> None:
    when = "2001-02-03T04:05:06.7Z"
    plain = node_of(target, mtime=when, atime=when)
    changes: dict[str, dict[str, object]] = {
        "link": {"type": "symlink", "linktarget": "no/where", "mode": 0o777 | 1 << 27},
        "raw": {"type": "symlink", "linktarget": "?", "linktarget_raw": b"\xff", "mode": 0o777 | 1 << 27},
        "fifo": {"type": "fifo", "mode": 0o641 | 1 << 25},
    }
    if os.geteuid() == 0:
        changes["chr"] = {"type": "chardev", "mode": 0o600 | 1 << 26 | 1 << 21, "device": os.makedev(1, 3)}
        changes["blk"] = {"type": "dev", "mode": 0o660 | 1 << 26, "device": os.makedev(7, 300)}
    for name, fields in changes.items():
        node = node_of(target)
        for field, value in {"mtime": plain.mtime, "atime": plain.atime, **fields}.items():
            setattr(node, field, value)
        (target / name).write_bytes(b"in the way")
        writer.create_node(b"/" + name.encode(), node)
        status = (target / name).lstat()
        assert status.st_mtime_ns == plain.mtime_ns
        assert status.st_mode == node.st_mode
        assert status.st_rdev == node.device
    assert os.readlink(bytes(target / "link")) == b"no/where"
    assert os.readlink(bytes(target / "raw")) == b"\xff"


def test_sockets_are_left_out_and_unknown_types_refused(writer: TargetWriter, target: Path) -> None:
    writer.create_node(b"/sock", node_of(target, type="socket"))
    assert writer.names(b"/") == []
    with pytest.raises(LocalFileError, match="type 'odd'"):
        writer.create_node(b"/odd", node_of(target, type="odd"))


def test_what_is_there_can_be_looked_at(writer: TargetWriter, target: Path) -> None:
    (target / "b").touch()
    (target / "a").symlink_to("b")
    assert writer.names(b"/") == [b"a", b"b"]
    assert writer.names(b"/missing") == []
    link = writer.status(b"/a")
    assert link is not None
    assert stat.S_ISLNK(link.st_mode)
    assert writer.status(b"/b/below") is None
    assert writer.status(b"/") is not None
    assert writer.open_to_read(b"/a") is None
    assert writer.path(b"/b") == bytes(target / "b")


def test_removing_tells_children_first_and_keeps_what_links_point_to(
    writer: TargetWriter, target: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (target / "a" / "b").mkdir(parents=True)
    (target / "a" / "b" / "file").touch()
    (target / "a" / "link").symlink_to(outside)
    expected = [b"/a/b/file", b"/a/b", b"/a/link", b"/a"]
    told: list[bytes] = []
    writer.remove(b"/a", told.append, dry_run=True)
    assert told == expected
    assert (target / "a" / "b" / "file").exists()
    told.clear()
    writer.remove(b"/a", told.append)
    assert told == expected
    assert list(target.iterdir()) == []
    assert (outside / "file").exists()


def test_a_missing_target_can_be_looked_at_and_stays_missing(tmp_path: Path) -> None:
    writer = TargetWriter(bytes(tmp_path / "missing" / "target"))
    writer.open(create=False)
    assert [writer.names(b"/"), writer.names(b"/a"), writer.status(b"/a"), writer.open_to_read(b"/a/b")] == [
        [],
        [],
        None,
        None,
    ]
    writer.close()
    (tmp_path / "file").touch()
    with pytest.raises(LocalFileError, match="could not be made or opened"):
        TargetWriter(bytes(tmp_path / "file")).open(create=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_removing_a_link_or_a_file_removes_just_that(writer: TargetWriter, target: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (target / "link").symlink_to(tmp_path / "outside")
    (target / "file").touch()
    writer.remove(b"/link")
    writer.remove(b"/file")
    assert list(target.iterdir()) == []
    assert (tmp_path / "outside").is_dir()


def test_removing_deep_folders_needs_few_descriptors(writer: TargetWriter, target: Path) -> None:
    location = b""
    for _ in range(300):
        location += b"/d"
        writer.make_directory(location)
    highest = 0

    def told(_: bytes) -> None:
        nonlocal highest
        highest = max(highest, open_descriptors())

    before = open_descriptors()
    writer.remove(b"/d", told)
    assert highest <= before + 4
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("number", [1 << 64, 10**400])
def test_a_device_that_no_system_has_costs_that_entry_alone(tmp_path: Path, number: int) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="no device has the number"):
            make_node(folder, b"null", Node(name="null", type="chardev", device=number))
    finally:
        os.close(folder)
