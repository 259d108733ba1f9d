"""Many small files read in one call: the same that Python reads, and whatever is unusual is left to it."""

import ctypes
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.engine_types import FileRecords
from pyrestic.format.node import Node
from pyrestic.localfs.batch_nodes import make_nodes
from pyrestic.localfs.metadata import attribute_target, set_attributes
from pyrestic.native.file_reader import _FUNCTIONS, ManyReader, ManyReaderMaker, load_code
from tests.support.engines import reader_code
from tests.support.nodes import node_of
from tests.support.users import ordinary_user

pytest.importorskip("numba")

LIMIT = 5000
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def maker() -> ManyReaderMaker:
    return reader_code()


@pytest.fixture(scope="module")
def reader(maker: ManyReaderMaker) -> ManyReader:
    return maker.make(64, LIMIT, 64 << 10)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files may have attributes and moments of any kind."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def content(reader: ManyReader, records: FileRecords) -> list[bytes | None]:
    """What was read of each file, None where nothing was."""
    places = zip(records.starts, records.lengths, strict=True)
    return [bytes(reader.buffer[start : start + length]) if length >= 0 else None for start, length in places]


def no_attributes(_number: int, _node: Node) -> None:
    raise AssertionError("there are none")


def read(reader: ManyReader, paths: Sequence[bytes], folder: Path | str = "/") -> FileRecords:
    """Read files by their ways from a folder; absolute ones start at the root."""
    descriptor = os.open(folder, os.O_PATH)
    try:
        return reader.read([descriptor] * len(paths), [path.removeprefix(b"/") for path in paths])
    finally:
        os.close(descriptor)


def nodes_of(paths: Sequence[bytes], records: FileRecords, *, with_atime: bool = False) -> list[Node | None]:
    def add_attributes(number: int, node: Node) -> None:
        set_attributes(node, paths[number], attribute_target(root, paths[number][1:]), None)

    root = os.open("/", os.O_PATH)
    try:
        names = list(map(os.path.basename, paths))
        return make_nodes(names, records, with_atime=with_atime, add_attributes=add_attributes)
    finally:
        os.close(root)


@pytest.mark.parametrize("with_atime", [False, True])
def test_nodes_and_content_are_those_that_python_finds(reader: ManyReader, folder: Path, *, with_atime: bool) -> None:
    moments = [0, 1, -1, 1_700_000_000 * SECOND + 120, 1_700_000_000 * SECOND, -(60 * 365 * 86_400) * SECOND + 5]
    contents = [b"", b"x", b"\0\n\xff", bytes(LIMIT - 1), b"y" * LIMIT, b"words"]
    names = [b"plain", b'quo"te', b"back\\slash", b"wrong \xff byte", "ünï".encode(), b"new\nline"]
    paths = [os.path.join(bytes(folder), name) for name in names]
    for path, data, moment in zip(paths, contents, moments, strict=True):
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, ns=(moment + 7, moment))
    os.link(paths[0], os.path.join(bytes(folder), b"link"))
    os.chmod(paths[1], 0o4751)
    os.chmod(paths[2], 0o2600)
    if os.geteuid() == 0:
        os.chown(paths[3], 123_456, 4_000_000_000)
    records = read(reader, paths)
    assert content(reader, records) == contents
    assert nodes_of(paths, records, with_atime=with_atime) == [node_of(path, with_atime=with_atime) for path in paths]


def test_device_numbers_may_be_left_out_of_files_with_one_link(reader: ManyReader, folder: Path) -> None:
    one, two = folder / "one", folder / "two"
    one.write_text("1")
    two.write_text("2")
    (folder / "two again").hardlink_to(two)
    paths = [bytes(one), bytes(two)]
    records = read(reader, paths)
    nodes = make_nodes([b"one", b"two"], records, device_ids_for_links_alone=True, add_attributes=no_attributes)
    assert [node and node.device_id for node in nodes] == [0, two.stat().st_dev]


def test_attributes_are_those_of_the_file(reader: ManyReader, folder: Path) -> None:
    plain, rich = bytes(folder / "plain"), bytes(folder / "rich")
    for path in (plain, rich):
        Path(os.fsdecode(path)).write_text("content")
    try:
        os.setxattr(rich, "user.colour", b"blue")
    except OSError:
        pytest.skip("the file system keeps no attributes")
    records = read(reader, [rich, plain])
    assert records.attributes[0] > 0
    assert records.attributes[1] == 0
    assert nodes_of([rich, plain], records) == [node_of(path, with_atime=False) for path in (rich, plain)]


def test_what_is_no_usual_file_is_left_to_python_and_its_neighbours_are_read(reader: ManyReader, folder: Path) -> None:
    usual = folder / "usual"
    usual.write_text("usual")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(usual)
    os.mkfifo(folder / "pipe")
    (folder / "long").write_bytes(bytes(LIMIT + 1))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(folder / "socket"))
    unusual = [folder / name for name in ("folder", "link", "pipe", "long", "socket", "missing", "usual/below")]
    unusual += [Path("/dev/null"), Path("/proc/self/status")]  # The second is longer than it says, as if it had grown.
    paths = [bytes(path) for one in unusual for path in (one, usual)]
    before = len(os.listdir("/proc/self/fd"))
    records = read(reader, paths)
    assert content(reader, records) == [None, b"usual"] * len(unusual)
    assert [node is None for node in nodes_of(paths, records)] == [True, False] * len(unusual)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_shorter_than_it_says_is_left_to_python(reader: ManyReader) -> None:
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not path.exists():
        pytest.skip("there is no such file here")
    assert content(reader, read(reader, [bytes(path)])) == [None]


def test_files_beyond_the_buffer_are_left_to_python(maker: ManyReaderMaker, folder: Path) -> None:
    paths = [bytes(folder / str(number)) for number in range(5)]
    for number, path in enumerate(paths):
        Path(os.fsdecode(path)).write_bytes(bytes([number]) * 1000)
    short = maker.make(5, LIMIT, 2500)
    assert read(short, paths).lengths == [1000, 1000, -1, -1, -1]
    # One byte more than the file must fit, to see whether it grew.
    assert read(maker.make(5, LIMIT, 2000), paths).lengths == [1000, -1, -1, -1, -1]


def test_paths_of_any_length_are_as_good_as_for_python(reader: ManyReader, folder: Path) -> None:
    here = os.getcwd()
    os.chdir(folder)
    try:
        # As long as a path may be, and longer: folders are made one below the other.
        path = b"."
        while len(path) < 4200:
            os.mkdir(b"d" * 200)
            os.chdir(b"d" * 200)
            path += b"/" + b"d" * 200
            Path("file").write_text("deep")
        os.chdir(folder)
        parts = path.split(b"/")
        longest = b"/".join(parts[:20]) + b"/"
        longest += b"./" * ((4095 - len(longest) - 4) // 2)
        longest += b"/" * (4095 - len(longest) - 4) + b"file"
        records = read(reader, [longest, b"./" + longest, path + b"/file", b""], folder)
        assert content(reader, records) == [b"deep", None, None, None]
    finally:
        os.chdir(here)


@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=200), max_size=8))
def test_any_names_and_contents(reader: ManyReader, files: dict[bytes, bytes]) -> None:
    wanted = {name: data for name, data in files.items() if not {b"/", b"\0"} & {name[n : n + 1] for n in range(40)}}
    wanted.pop(b".", None)
    wanted.pop(b"..", None)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(os.fsencode(folder), name) for name in wanted]
        for path, data in zip(paths, wanted.values(), strict=True):
            with open(path, "wb") as file:
                file.write(data)
        records = read(reader, paths)
        assert content(reader, records) == list(wanted.values())
        assert nodes_of(paths, records) == [node_of(path, with_atime=False) for path in paths]


def test_access_times_stay_where_that_is_allowed_and_files_of_others_are_read(reader: ManyReader) -> None:
    with ordinary_user() as own:
        mine = own / "mine"
        mine.write_text("mine")
        os.utime(mine, ns=(5 * SECOND, 4 * SECOND))
        shut = own / "shut"
        shut.write_text("shut")
        shut.chmod(0)
        # It belongs to somebody else, who lets all read it: there O_NOATIME is refused.
        paths = [bytes(mine), bytes(shut), b"/etc/passwd"]
        records = read(reader, paths)
        root = os.geteuid() == 0
        assert content(reader, records) == [b"mine", b"shut" if root else None, Path("/etc/passwd").read_bytes()]
        assert mine.stat().st_atime_ns == 5 * SECOND
        assert stat.S_IMODE(records.modes[0]) == stat.S_IMODE(mine.stat().st_mode)


@pytest.mark.parametrize("code", [b"", b"\x31\xc0\xc3"])
def test_code_that_does_something_else_is_not_used(code: bytes) -> None:
    assert load_code(code) is None


def test_a_file_that_comes_in_parts_is_left_to_the_usual_way(maker: ManyReaderMaker, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"whole")
    libc = ctypes.CDLL(None)
    kind = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    read_less = kind(lambda descriptor, data, length: int(libc.read(descriptor, ctypes.c_void_p(data), length - 2)))
    table = maker.table.copy()
    table[_FUNCTIONS.index("read")] = ctypes.cast(read_less, ctypes.c_void_p).value or 0
    reader = maker._replace(table=table).make(1, LIMIT, LIMIT)
    assert read(reader, [os.fsencode(tmp_path / "a")]).lengths == [-1]
