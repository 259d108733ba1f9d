"""The plan of a restore beside what the restore then does, and what is said of things that are missing."""

import contextlib
import json
import os
import pty
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.errors import LocalFileError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobHandle, BlobType, FileType
from pyrestic.localfs.free_space import Spaces
from pyrestic.localfs.write import TargetWriter
from pyrestic.operations.cost import Prices
from pyrestic.operations.existing import Overwrite
from pyrestic.operations.preflight import RestorePlan, make_restore_plan
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.operations.restore_progress import RestoreProgress
from pyrestic.operations.restore_tree import TreeRestorer
from pyrestic.report import NullReporter
from pyrestic.repository.pack_lengths import StoredLengths, indexed_lengths
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, find_snapshot
from pyrestic.repository.tree_walk import KeptTrees, find_tree
from tests.support.backends import Call, RecordingBackend
from tests.support.cli import PASSWORD, Caller
from tests.support.restic import ROOT

pytestmark = pytest.mark.process

MIB = 1 << 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository of two snapshots with several packs each, and the folder they were made of."""
    folder = tmp_path_factory.mktemp("preflight")
    call = Caller(folder)
    call.create()
    source = folder / "source"
    (source / "small").mkdir(parents=True)
    dice = random.Random(3)
    for number in range(60):
        (source / "small" / f"{number}").write_bytes(dice.randbytes(3000))
    for number in range(3):
        (source / f"large {number}").write_bytes(dice.randbytes(5 * MIB))
    os.link(source / "large 0", source / "link")
    (source / "symbolic").symlink_to("link")
    assert call("backup", "--pack-size", "4", source).code == 0
    (source / "large 0").write_bytes(dice.randbytes(5 * MIB))
    assert call("backup", "--pack-size", "4", source).code == 0
    return call


def load_calls(backend: RecordingBackend) -> list[Call]:
    return [call for call in backend.calls if call.method == "load" and call.type is FileType.PACK]


def open_recorded(repository: Path) -> tuple[Repository, RecordingBackend]:
    backend = RecordingBackend(LocalBackend(str(repository)))
    opened = Repository.open(backend, PASSWORD)
    opened.load_index(NullReporter())
    return opened, backend


def plan_and_restore(
    call: Caller, target: Path, overwrite: Overwrite = Overwrite.ALWAYS
) -> tuple[RestorePlan, RestoreProgress, RecordingBackend]:
    repository, backend = open_recorded(call.repository)
    found, folder = find_snapshot(repository, f"latest:{call.folder}/source", SnapshotFilter(), NullReporter())
    tree = find_tree(repository, found.snapshot.tree_id, folder)
    trees = KeptTrees(repository)
    writer = TargetWriter(bytes(target))
    made = make_restore_plan(repository, tree, writer, overwrite, load=trees.load)
    backend.calls.clear()
    progress = RestoreProgress("restore", "B", total=0)
    TreeRestorer(
        repository, writer, RestoreOptions(overwrite=overwrite), NullReporter(), progress, load=trees.load
    ).restore(tree)
    return made, progress, backend


def test_the_plan_says_what_the_restore_then_does(made: Caller, tmp_path: Path) -> None:
    plan, progress, backend = plan_and_restore(made, tmp_path / "target")
    # Trees that the plan has read are not read again, so all calls are for content.
    calls = load_calls(backend)
    assert (plan.requests, plan.bytes_to_fetch) == (len(calls), sum(call.length for call in calls))
    assert plan.packs == len({call.name for call in calls}) > 1
    assert (plan.files, plan.others) == (63, 3)
    assert plan.files + plan.others == progress.total_files == progress.files_restored
    assert (
        plan.bytes_to_write
        == plan.space_bytes
        == progress.done
        == sum(
            path.lstat().st_size
            for path in (tmp_path / "target").rglob("*")
            if path.is_file() and not path.is_symlink()
        )
        - 5 * MIB
    )
    assert plan.whole
    assert plan.fits
    assert plan.usage.class_b == plan.requests


@pytest.mark.parametrize("overwrite", list(Overwrite))
def test_files_that_are_there_are_not_counted_and_nothing_is_fetched_for_them(
    made: Caller, tmp_path: Path, overwrite: Overwrite
) -> None:
    target = tmp_path / "target"
    shutil.copytree(made.folder / "source", target, symlinks=True)
    (target / "large 1").unlink()
    (target / "large 2").write_bytes(b"shorter")
    os.utime(target / "large 2", (1, 1))
    plan, progress, backend = plan_and_restore(made, target, overwrite)
    written = 1 if overwrite is Overwrite.NEVER else 2
    assert (plan.files, plan.bytes_to_write) == (written, written * 5 * MIB)
    assert (plan.files_there, plan.bytes_there) == (63 - written, progress.bytes_skipped)
    assert plan.space_bytes == written * 5 * MIB - (7 if written == 2 else 0)
    calls = load_calls(backend)
    assert (plan.requests, plan.bytes_to_fetch) == (len(calls), sum(call.length for call in calls))


def content_of(repository: Repository, source: Path, name: str) -> list[str]:
    """Return the blobs of a file in the latest snapshot."""
    found, folder = find_snapshot(repository, f"latest:{source}", SnapshotFilter(), NullReporter())
    tree = find_tree(repository, found.snapshot.tree_id, folder)
    return next(node.content or [] for node in repository.load_tree(tree) if node.name == name)


def find_pack(call: Caller, source: Path, name: str) -> Path:
    """Return the pack of a file's first blob."""
    repository, _ = open_recorded(call.repository)
    blob = bytes.fromhex(content_of(repository, source, name)[0])
    place = repository.index.find(BlobHandle(BlobType.DATA, blob))
    assert place is not None
    path = call.repository / "data" / place.pack.hex()[:2] / place.pack.hex()
    path.chmod(0o600)
    return path


def damaged(made: Caller, folder: Path) -> Caller:
    """Return a caller on a copy of the repository."""
    shutil.copytree(made.repository, folder / "repository")
    call = Caller(folder)
    call.environment["XDG_CACHE_HOME"] = str(folder / "no cache of the whole one")
    return call


def test_a_missing_pack_is_named_with_its_files_before_anything_is_written(made: Caller, tmp_path: Path) -> None:
    call = damaged(made, tmp_path)
    source = made.folder / "source"
    pack = find_pack(call, source, "large 1")
    pack.unlink()
    line = ("restore", f"latest:{source}", "--target", tmp_path / "target", "--json")
    planned = call(*line, "--dry-run")
    assert planned.code == 1
    assert not (tmp_path / "target").exists()
    message = json.loads(planned.out.splitlines()[0])
    assert [wrong["id"] for wrong in message["wrong_packs"]] == [pack.name]
    assert message["wrong_packs"][0]["length"] is None
    lost = {one["item"] for one in message["lost"]}
    assert 0 < len(lost) == message["lost_count"] < 63
    # The real run gives back all the others, and fails.
    outcome = call(*line)
    assert outcome.code == 1
    again = json.loads(outcome.out.splitlines()[0])
    assert again | {"space_free": 0} == message | {"space_free": 0}
    for path in source.rglob("*"):
        back = tmp_path / "target" / path.relative_to(source)
        if path.is_file() and not path.is_symlink() and path.name != "link":
            assert (f"/{path.relative_to(source)}" in lost) != (
                back.exists() and back.read_bytes() == path.read_bytes()
            )
    text = call(*line[:-1], "--dry-run")
    assert f"pack {pack.name} is missing" in text.err
    assert all(f"{item} cannot be restored" in text.err for item in sorted(lost)[:1])
    assert text.code == 1


def test_a_short_pack_is_named_and_files_before_the_cut_are_not_lost(made: Caller, tmp_path: Path) -> None:
    call = damaged(made, tmp_path)
    pack = find_pack(call, made.folder / "source", "large 1")
    whole = pack.stat().st_size
    os.truncate(pack, whole - 30)
    line = ("restore", "latest", "--target", tmp_path / "target", "--json")
    message = json.loads(call(*line, "--dry-run").out.splitlines()[0])
    assert message["wrong_packs"] == [{"id": pack.name, "length": whole - 30, "expected": whole}]
    # These bytes belong to the header, so every blob is there.
    assert message["lost"] == []
    os.truncate(pack, 100)
    message = json.loads(call(*line, "--dry-run").out.splitlines()[0])
    lost = {one["item"] for one in message["lost"]}
    outcome = call(*line)
    assert outcome.code == 1
    failed = {json.loads(error)["item"] for error in outcome.err.splitlines() if '"message_type":"error"' in error}
    assert failed == lost != set()


def test_a_blob_that_no_index_names_is_told_with_its_file(made: Caller, tmp_path: Path) -> None:
    call = damaged(made, tmp_path)
    source = made.folder / "source"
    repository, _ = open_recorded(call.repository)
    content = content_of(repository, source, "large 0")
    for index in (call.repository / "index").iterdir():
        if content[0] in call("cat", "index", index.name).out:
            rest = json.loads(call("cat", "index", index.name).out)
            for pack in rest["packs"]:
                pack["blobs"] = [blob for blob in pack["blobs"] if blob["id"] != content[0]]
            repository.save_unpacked(FileType.INDEX, json.dumps(rest).encode())
            index.unlink()
    outcome = call("restore", f"latest:{source}", "--target", tmp_path / "target", "--json", "--dry-run")
    assert outcome.code == 1
    message = json.loads(outcome.out.splitlines()[0])
    assert [one["item"] for one in message["lost"]] == ["/large 0"]
    assert content[0][:8] in message["lost"][0]["message"]
    assert not (tmp_path / "target").exists()


def store_huge_file(repository: Path, size: int) -> None:
    """Store a snapshot of one file that is one blob, over and over, at least as long as size in bytes."""
    opened = Repository.open(LocalBackend(str(repository)), PASSWORD)
    blob = opened.saver.save(BlobType.DATA, bytes(16 * MIB)).id.hex()
    count = size // (16 * MIB) + 1
    node = Node(name="huge", type="file", content=[blob] * count, size=count * 16 * MIB)
    tree = opened.saver.save(BlobType.TREE, encode_tree([node])).id
    opened.flush()
    snapshot = Snapshot(time="2030-01-01T00:00:00Z", tree=tree.hex(), hostname="huge", paths=["/"])
    opened.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    opened.close()


def test_too_little_room_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    target = tmp_path / "not there" / "target"
    free = Spaces(bytes(target)).target.free_bytes
    assert free is not None
    store_huge_file(call.repository, free + (1 << 30))
    outcome = call("restore", "latest", "--target", target)
    assert outcome.code == 1
    assert "has room for" in outcome.err
    assert "--ignore-free-space" in outcome.err
    assert not target.parent.exists()
    planned = call("restore", "latest", "--target", target, "--dry-run", "--json")
    assert planned.code == 1
    message = json.loads(planned.out.splitlines()[0])
    assert message["space_needed"] > message["space_free"]
    assert call("restore", "latest", "--target", target, "--dry-run", "--ignore-free-space").code == 0
    # With holes it takes next to nothing.
    assert call("restore", "latest", "--target", target, "--dry-run", "--sparse").code == 0


def test_the_plan_goes_where_scripts_do_not_look(made: Caller, tmp_path: Path) -> None:
    line = ("restore", "latest", "--target", tmp_path / "target", "--include", "large 0")
    dry, plain, verbose, quiet = (call_with(made, line, flag) for flag in ("--dry-run", "", "-v", "--quiet"))
    assert "to fetch" not in plain[0] + plain[1] + quiet[0] + quiet[1] + verbose[0] + dry[0]
    assert "to restore: 1 files (5.000 MiB)" in dry[1]
    assert "to fetch: 5.0" in dry[1]
    assert "1 files (5.000 MiB) are there; to fetch: 0 B of 0 packs" in verbose[1]
    assert "free on the target" in verbose[1]


def test_on_a_terminal_the_plan_is_a_line_before_the_restore(made: Caller, tmp_path: Path) -> None:
    main_end, program_end = pty.openpty()
    command = [sys.executable, "-m", "pyrestic", "restore", "latest", "--target", str(tmp_path / "target")]
    process = subprocess.Popen(
        command, env=made.environment | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=program_end
    )
    os.close(program_end)
    shown = b""
    # A terminal that nobody writes to any more fails.
    with contextlib.suppress(OSError):
        while part := os.read(main_end, 4096):
            shown += part
    os.close(main_end)
    assert process.wait() == 0
    text = shown.decode()
    assert text.index("restoring snapshot") < text.index("to restore: 63 files") < text.index("Summary: Restored")
    assert "free on the target" in text


def call_with(call: Caller, line: tuple[object, ...], flag: str) -> tuple[str, str]:
    words = [str(word) for word in line] + ([flag] if flag else [])
    outcome = call(*words)
    assert outcome.code == 0, outcome.err
    return outcome.out, outcome.err


def test_a_target_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalFileError, match="is no folder"):
        Spaces(bytes(tmp_path / "file" / "below"))


def test_packs_are_asked_for_in_the_way_that_costs_less(made: Caller) -> None:
    repository, backend = open_recorded(made.repository)
    packs = sorted(repository.index.packs())
    sizes = {path.name: path.stat().st_size for path in (made.repository / "data").glob("??/*")}
    expected = {pack: sizes[pack.hex()] for pack in packs}
    assert indexed_lengths(repository.index) == expected
    backend.calls.clear()
    few = StoredLengths(repository, 10.0)
    assert few.find(packs[:2]) == {pack: expected[pack] for pack in packs[:2]}
    assert few.find([*packs[:2], bytes(32)]) == {**{pack: expected[pack] for pack in packs[:2]}, bytes(32): None}
    assert (backend.count("stat"), backend.count("list"), few.asked) == (3, 0, 3)
    many = StoredLengths(repository, 2.0)
    assert many.find(packs) == expected
    assert many.find([bytes(32)]) == {bytes(32): None}
    assert (backend.count("stat"), backend.count("list"), many.listed_calls) == (3, 1, 1)


def test_free_prices_do_not_lead_to_a_listing(made: Caller, tmp_path: Path) -> None:
    repository, backend = open_recorded(made.repository)
    found, _ = find_snapshot(repository, "latest", SnapshotFilter(), NullReporter())
    backend.calls.clear()
    prices = Prices(class_b_per_10000=0, class_c_per_1000=0)
    writer = TargetWriter(bytes(tmp_path / "target"))
    plan = make_restore_plan(repository, found.snapshot.tree_id, writer, Overwrite.ALWAYS, prices=prices)
    assert (backend.count("list"), backend.count("stat")) == (0, plan.packs)
    assert plan.asked.class_b == plan.packs


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_planned(made: Caller, tmp_path: Path) -> None:
    call = damaged(made, tmp_path)
    source = made.folder / "source"
    repository, _ = open_recorded(call.repository)
    found, folder = find_snapshot(repository, f"latest:{source}/small", SnapshotFilter(), NullReporter())
    small = find_tree(repository, found.snapshot.tree_id, folder)
    for place in repository.index.find_all(BlobHandle(BlobType.TREE, small)):
        pack = call.repository / "data" / place.pack.hex()[:2] / place.pack.hex()
        data = bytearray(pack.read_bytes())
        data[place.offset + 20] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)
    outcome = call("restore", f"latest:{source}", "--target", tmp_path / "target", "--dry-run", "--json", "--no-cache")
    assert outcome.code == 1
    message = json.loads(outcome.out.splitlines()[0])
    assert [one["item"] for one in message["lost"]] == ["/small"]
    assert message["files"] == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB of its own, at `target/home`."""
    folder = tmp_path / "target" / "home"
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def source_with_home(call: Caller, source: Path, mebibytes: int) -> None:
    """Back up a folder with 20 MiB beside its `home`, and so much in it."""
    (source / "home" / "me").mkdir(parents=True)
    (source / "large").write_bytes(random.Random(1).randbytes(20 * MIB))
    (source / "home" / "me" / "file").write_bytes(random.Random(2).randbytes(mebibytes * MIB))
    assert call("backup", source).code == 0


def test_room_is_asked_of_each_file_system_that_is_written_to(tmp_path: Path, small_disk: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    source = tmp_path / "source"
    source_with_home(call, source, 3)
    target = small_disk.parent
    outcome = call("restore", f"latest:{source}", "--target", target, "--json")
    assert outcome.code == 0, outcome.err
    message = json.loads(outcome.out.splitlines()[0])
    assert message["space_needed"] == 23 * MIB
    own, home = message["file_systems"]
    assert (own["path"], own["space_needed"]) == (str(target), 20 * MIB)
    assert home == {"path": str(small_disk), "space_needed": 3 * MIB, "space_free": 4 * MIB}
    assert (small_disk / "me" / "file").stat().st_size == 3 * MIB


def test_a_file_system_below_the_target_that_is_too_small_is_named(tmp_path: Path, small_disk: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    source = tmp_path / "source"
    source_with_home(call, source, 5)
    outcome = call("restore", f"latest:{source}", "--target", small_disk.parent)
    assert outcome.code == 1
    assert f"{small_disk} has room for 4.000 MiB, and 5.000 MiB are needed" in outcome.err
    assert os.listdir(small_disk) == []


def test_a_large_file_system_below_a_full_target_may_be_filled(tmp_path: Path, small_disk: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    source = tmp_path / "source"
    source_with_home(call, source, 1)
    below = small_disk / "target" / "home"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(below)], check=True)
    try:
        (source / "home" / "me" / "more").write_bytes(random.Random(3).randbytes(10 * MIB))
        (source / "large").unlink()
        assert call("backup", source).code == 0
        outcome = call("restore", f"latest:{source}", "--target", below.parent)
        assert outcome.code == 0, outcome.err
    finally:
        subprocess.run(["umount", str(below)], check=True)


def test_what_gives_rights_is_counted_and_left_out_on_request(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    source = tmp_path / "source"
    (source / "shared").mkdir(parents=True)
    (source / "shared").chmod(0o2775)
    for name, mode in (("suid", 0o4755), ("sgid", 0o2755), ("plain", 0o644), ("capable", 0o755)):
        (source / name).write_text(name)
        (source / name).chmod(mode)
    root = os.geteuid() == 0
    if root:
        os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        # cap_net_raw+ep, as setcap writes it.
        os.setxattr(
            source / "capable", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000")
        )
    assert call("backup", source).code == 0
    for flags in ((), ("--no-privileged",)):
        target = tmp_path / f"target{len(flags)}"
        outcome = call("restore", f"latest:{source}", "--target", target, "--json", *flags)
        assert outcome.code == 0, outcome.err
        message = json.loads(outcome.out.splitlines()[0])
        found = (message["devices"], message["set_id_files"], message["capability_files"])
        assert found == ((1, 2, 1) if root else (0, 2, 0))
        modes = [stat.S_IMODE((target / name).stat().st_mode) for name in ("suid", "sgid", "plain", "shared")]
        assert modes == ([0o755, 0o755, 0o644, 0o2775] if flags else [0o4755, 0o2755, 0o644, 0o2775])
        assert (target / "null").exists() == (root and not flags)
        assert ("security.capability" in os.listxattr(target / "capable")) == (root and not flags)
    # What has them from before loses them.
    outcome = call("restore", f"latest:{source}", "--target", tmp_path / "target0", "--no-privileged", "-v")
    assert outcome.code == 0, outcome.err
    assert stat.S_IMODE((tmp_path / "target0" / "suid").stat().st_mode) == 0o755
    assert "security.capability" not in os.listxattr(tmp_path / "target0" / "capable")
    shown = call("restore", f"latest:{source}", "--target", tmp_path / "target2", "--no-privileged", "--dry-run", "-v")
    assert "without the privileges of" in shown.err
    assert "2 files with set-user-ID or set-group-ID bits" in shown.err
