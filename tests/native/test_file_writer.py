"""Many new files written by compiled code: the same as one by one, and nothing that one by one would not do."""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrestic.engine_types import Stamp
from pyrestic.errors import FormatError, LocalFileError
from pyrestic.format.gojson import format_time
from pyrestic.format.node import ExtendedAttribute, Node, mode_to_go
from pyrestic.localfs.new_files import FileToWrite, Outcome
from pyrestic.localfs.restore_metadata import MetadataRestorer, MetadataRules
from pyrestic.localfs.write import TargetWriter
from pyrestic.native import file_writer
from pyrestic.native.file_writer import ManyWriter
from tests.support.engines import GivenEngines, writer_code
from tests.support.users import ordinary_user

pytest.importorskip("numba")

ROOT = os.geteuid() == 0
MANY = 10_000


@pytest.fixture(scope="module")
def many() -> ManyWriter:
    return writer_code()


def opened(target: Path, many: ManyWriter | None, metadata: MetadataRestorer | None = None) -> TargetWriter:
    writer = TargetWriter(bytes(target), metadata, engines=GivenEngines(writer=lambda: many))
    writer.open()
    writer.expect_small_files(MANY)
    return writer


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.fixture
def writer(target: Path, many: ManyWriter) -> Iterator[TargetWriter]:
    made = opened(target, many)
    yield made
    made.close()


def node(**changes: object) -> Node:
    made = Node(name="x", type="file", mode=0o644, mtime="2020-01-02T03:04:05.6Z", atime="2021-01-02T03:04:05Z")
    made.uid, made.gid = os.geteuid(), os.getegid()
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def write(writer: TargetWriter, *files: tuple[bytes, bytes, Node]) -> list[Outcome]:
    """Write files at locations with contents and nodes."""
    data = b"".join(content for _, content, _ in files)
    wanted, start = [], 0
    for location, content, one in files:
        wanted.append(FileToWrite(location, one, start, len(content)))
        start += len(content)
    return writer.write_small_files(wanted, memoryview(data))


def finished(outcomes: Sequence[Outcome]) -> list[bool]:
    """Tell which files the compiled code has finished."""
    return [isinstance(outcome, Stamp) for outcome in outcomes]


def look(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    times = (status.st_atime_ns, status.st_mtime_ns)
    return path.read_bytes(), stat.filemode(status.st_mode), status.st_uid, status.st_gid, times, os.listxattr(path)


names = st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
# What ext4 with 256-byte inodes can hold, 1901-12-13 to 2446-05-10.
moments = st.integers(-2_147_483_647 * 10**9, 15_032_385_534 * 10**9)
owners = st.sampled_from([0, 1, 4711, (1 << 32) - 2, (1 << 32) - 1]) if ROOT else st.just(os.geteuid())
contents = st.binary(max_size=5000)
nodes = st.builds(
    lambda mode, mtime, atime, uid, gid: node(
        mode=mode_to_go(stat.S_IFREG | mode),
        mtime=format_time(mtime, 0),
        atime=format_time(atime, 3600),
        uid=uid,
        gid=gid,
    ),
    st.integers(0, 0o7777),
    moments,
    moments,
    owners,
    owners,
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.dictionaries(names, st.tuples(contents, nodes, st.integers(0, 9)), max_size=30),
    st.sampled_from([0, 0o22, 0o77, 0o777 if ROOT else 0o27]),
)
def test_files_are_what_they_are_one_by_one(
    many: ManyWriter, tmp_path_factory: pytest.TempPathFactory, files: dict[bytes, tuple[bytes, Node, int]], umask: int
) -> None:
    before = os.umask(umask)
    try:
        found = []
        for engine in (many, None):
            target = tmp_path_factory.mktemp("target")
            writer = opened(target, engine)
            for number in range(10):
                writer.make_directory(b"/%d" % number)
            outcomes = write(
                writer, *((b"/%d/%s" % (kept, name), data, one) for name, (data, one, kept) in files.items())
            )
            writer.close()
            assert finished(outcomes) == [engine is not None] * len(files)
            paths = [target / str(kept) / os.fsdecode(name) for name, (_, _, kept) in files.items()]
            stamps = [Stamp(path.stat().st_ino, path.stat().st_ctime_ns) for path in paths]
            assert outcomes == (stamps if engine is not None else [None] * len(files))
            found.append([look(path) for path in paths])
        assert found[0] == found[1]
        assert [one[0] for one in found[0]] == [data for data, _, _ in files.values()]
    finally:
        os.umask(before)


@pytest.mark.parametrize("count", [1, 5, 40])
def test_few_folders_are_open_at_a_time(writer: TargetWriter, target: Path, count: int) -> None:
    for number in range(count):
        writer.make_directory(b"/%d" % number)
    outcomes = write(writer, *((b"/%d/file" % number, b"%d" % number, node()) for number in range(count)))
    assert all(finished(outcomes))
    assert [(target / str(number) / "file").read_text() for number in range(count)] == list(map(str, range(count)))


def test_what_is_in_the_way_is_taken_over_or_replaced_and_links_are_not_followed(
    writer: TargetWriter, target: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (target / "file").write_bytes(b"something longer than the new content")
    (target / "link").symlink_to(outside)
    (target / "dangling").symlink_to(tmp_path / "nowhere")
    (target / "hard").hardlink_to(outside)
    os.mkfifo(target / "pipe")
    (target / "empty").mkdir()
    locations = [b"/new", b"/file", b"/link", b"/dangling", b"/hard", b"/pipe", b"/empty"]
    outcomes = write(writer, *((location, location * 3, node()) for location in locations))
    assert finished(outcomes) == [True] + [False] * 6
    assert outcomes[1:] == [None] * 6
    for location in locations:
        path = target / os.fsdecode(location[1:])
        assert stat.S_ISREG(path.lstat().st_mode)
        assert path.read_bytes() == location * 3
        assert path.stat().st_mtime_ns == node().mtime_ns
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_full_folder_in_the_way_fails_alone(writer: TargetWriter, target: Path) -> None:
    (target / "folder" / "below").mkdir(parents=True)
    outcomes = write(writer, (b"/one", b"1", node()), (b"/folder", b"2", node()), (b"/two", b"3", node()))
    assert finished(outcomes) == [True, False, True]
    assert isinstance(outcomes[1], LocalFileError)
    assert (target / "folder" / "below").is_dir()


def test_nothing_goes_through_a_folder_that_is_a_link(writer: TargetWriter, target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "link").symlink_to(outside)
    outcomes = write(writer, (b"/link/file", b"x", node()), (b"/fine", b"y", node()))
    assert isinstance(outcomes[0], LocalFileError)
    assert outcomes[1] is None or finished(outcomes)[1]
    assert list(outside.iterdir()) == []
    assert (target / "fine").read_bytes() == b"y"


@pytest.mark.parametrize("location", [b"/..", b"/a/../../x", b"/.", b"/a//b", b"/", b"/a/", b"/a/b\0c", b"/a/\0"])
def test_names_that_lead_elsewhere_are_refused(
    writer: TargetWriter, target: Path, tmp_path: Path, location: bytes
) -> None:
    writer.make_directory(b"/a")
    outcomes = write(writer, (b"/a/fine", b"y", node()), (location, b"x", node()))
    assert isinstance(outcomes[1], LocalFileError)
    assert [path.name for path in (target / "a").iterdir()] == ["fine"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["target"]


def test_attributes_and_damaged_times_go_the_usual_way(writer: TargetWriter, target: Path) -> None:
    attributed = node(extended_attributes=[ExtendedAttribute("user.x", b"1")])
    outcomes = write(
        writer, (b"/one", b"1", attributed), (b"/two", b"2", node(mtime="yesterday")), (b"/three", b"3", node())
    )
    assert finished(outcomes) == [False, False, True]
    assert outcomes[0] is None
    assert isinstance(outcomes[1], FormatError)
    assert os.listxattr(target / "one") == ["user.x"]


def test_attributes_that_the_folder_gives_are_taken_away(writer: TargetWriter, target: Path) -> None:
    default = bytes.fromhex("0200000001000600ffffffff02000700e803000004000400ffffffff10000700ffffffff20000000ffffffff")
    try:
        os.setxattr(target, "system.posix_acl_default", default)
    except OSError:
        pytest.skip("the file system has no access lists")
    assert write(writer, (b"/one", b"1", node())) == [None]
    assert os.listxattr(target / "one") == []
    assert (target / "one").read_bytes() == b"1"


@pytest.mark.skipif(not ROOT, reason="only root may give files to others")
def test_owners_are_found_by_name_on_request(target: Path, many: ManyWriter) -> None:
    writer = opened(target, many, MetadataRestorer(MetadataRules(ownership_by_name=True)))
    assert finished(write(writer, (b"/one", b"1", node(uid=4711, gid=4711, user="nobody")))) == [True]
    writer.close()
    assert ((target / "one").stat().st_uid, (target / "one").stat().st_gid) == (65_534, 4711)


def test_what_an_ordinary_user_may_not_give_away_is_counted_and_the_rest_done(many: ManyWriter) -> None:
    with ordinary_user() as folder:
        metadata = MetadataRestorer()
        writer = opened(folder, many, metadata)
        outcomes = write(writer, (b"/mine", b"1", node()), (b"/other", b"2", node(uid=1, mode=mode_to_go(0o100604))))
        writer.close()
        assert finished(outcomes) == [True, True]
        assert metadata.denied == 1
        assert (folder / "other").stat().st_mtime_ns == node().mtime_ns
        assert stat.S_IMODE((folder / "other").stat().st_mode) == 0o604


def test_a_folder_that_may_not_be_written_is_named(many: ManyWriter) -> None:
    with ordinary_user() as folder:
        (folder / "closed").mkdir(mode=0o500)
        writer = opened(folder, many)
        outcomes = write(writer, (b"/closed/one", b"1", node()), (b"/two", b"2", node()))
        writer.close()
        assert finished(outcomes) == [False, True]
        assert "closed/one could not be written: permission denied" in str(outcomes[0])


@pytest.mark.process
def test_a_full_disk_is_named_with_advice(tmp_path: Path, many: ManyWriter) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        writer = opened(folder, many)
        outcomes = write(writer, *((b"/%d" % number, bytes(4000), node()) for number in range(40)))
        writer.close()
        done = [number for number, one in enumerate(finished(outcomes)) if one]
        assert 0 < len(done) < 40
        assert all((folder / str(number)).read_bytes() == bytes(4000) for number in done)
        failed = [outcome for outcome in outcomes if not isinstance(outcome, Stamp)]
        assert all(isinstance(one, LocalFileError) and "no space left" in str(one) and one.hint for one in failed)
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_place_without_room_for_a_trial_has_no_compiled_writer(
    tmp_path: Path, many: ManyWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert file_writer.agrees(many)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert not file_writer.agrees(many)


def test_code_that_does_nothing_is_not_believed() -> None:
    # xor eax, eax; ret: for x86-64, and no code at all for other processors.
    if os.uname().machine == "x86_64":
        assert file_writer.load_code(b"\x31\xc0\xc3") is None
    assert file_writer.load_code(b"") is None


def test_few_files_are_not_worth_looking_for_code(target: Path) -> None:
    asked: list[bool] = []

    def find() -> None:
        asked.append(True)

    writer = TargetWriter(bytes(target), engines=GivenEngines(writer=find))
    writer.expect_small_files(10)
    assert asked == []
    writer.expect_small_files(MANY)
    assert asked == [True]
