"""Rows of docs/differences.md beside the real restic: what it does, and what pyrestic does instead."""

import io
import json
import os
import shutil
import socket
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.both_programs import Beside, make_beside
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program, find_restic

pytestmark = pytest.mark.restic


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    return make_beside(tmp_path_factory.mktemp("differences"))


@pytest.fixture
def beside(original: Beside) -> Any:
    copy = original.copy("a copy")
    yield copy
    shutil.rmtree(copy.repository)


def _packs(beside: Beside) -> list[Path]:
    return sorted(path for path in (beside.repository / "data").rglob("*") if path.is_file())


def _packs_of(beside: Beside, kind: str) -> list[Path]:
    """Return the packs of "data" or "tree" blobs without that of the newest snapshot's own tree."""
    names = beside.restic("list", "index", "--no-lock").text.split()
    packs = [pack for name in names for pack in beside.restic("cat", "index", name, "--no-lock").json["packs"]]
    found = {pack["id"]: {blob["type"] for blob in pack["blobs"]} for pack in packs}
    roots = {pack["id"] for pack in packs if beside.names["t5"] in {blob["id"] for blob in pack["blobs"]}}
    return [path for path in _packs(beside) if found[path.name] == {kind} and path.name not in roots]


def test_a_pack_in_the_wrong_folder_is_missing(beside: Beside) -> None:
    """No command reads it, though restic's check, list and prune count it as there."""
    pack = _packs_of(beside, "data")[0]
    elsewhere = beside.repository / "data" / ("00" if pack.parent.name != "00" else "01")
    pack.rename(elsewhere / pack.name)
    assert beside.restic("check", "--no-lock").code == 0
    ours = beside.pyrestic("check", "--no-lock")
    assert ours.code == 1
    assert f"pack {pack.name}: does not exist" in ours.err
    theirs, ours = beside.restic("list", "packs", "--no-lock"), beside.pyrestic("list", "packs", "--no-lock")
    assert set(theirs.text.split()) - set(ours.out.split()) == {pack.name}
    for run in (beside.restic, beside.pyrestic):
        settings: dict[str, Any] = {"code": 1} if run == beside.restic else {}
        assert run("check", "--no-lock", "--read-data", **settings).code == 1


def test_repair_index_forgets_a_pack_in_the_wrong_folder(beside: Beside) -> None:
    pack = _packs_of(beside, "data")[0]
    elsewhere = beside.repository / "data" / ("00" if pack.parent.name != "00" else "01")
    pack.rename(elsewhere / pack.name)
    beside.restic("repair", "index")
    assert pack.name in _indexed(beside)
    assert beside.pyrestic("repair", "index").code == 3
    assert pack.name not in _indexed(beside)


def _indexed(beside: Beside) -> set[str]:
    """Return the packs that any index file names."""
    names = beside.restic("list", "index", "--no-lock").text.split()
    documents = [beside.restic("cat", "index", name, "--no-lock").json for name in names]
    return {pack["id"] for document in documents for pack in document["packs"]}


def test_check_looks_at_the_other_snapshots_and_counts_a_wrong_name_once(beside: Beside) -> None:
    for line in ("check ffffffff --json", "check {short1} ffffffff --json", "check {short1} --tag=nothing --json"):
        words = line.format(**beside.names).split(" ")
        theirs, ours = beside.restic(*words, code=1), beside.pyrestic(*words)
        assert ours.code == theirs.code == 1
        first, second = theirs.json, json.loads(ours.out)
        assert (first.pop("num_errors"), second.pop("num_errors")) == (2, 1)
        assert first == second
    shown = beside.pyrestic("check", beside.names["short1"], "ffffffff").out
    assert "1 / 1 snapshots" in shown


@pytest.mark.parametrize("damage", ["index file twice", "index file missing", "index file under another name"])
def test_check_and_repair_find_the_same_in_a_broken_index(beside: Beside, damage: str) -> None:
    index = min((beside.repository / "index").iterdir())
    if damage == "index file twice":
        shutil.copy(index, index.with_name("0" * 64))
    elif damage == "index file missing":
        index.unlink()
    else:
        index.rename(index.with_name("0" * 64))
    theirs, ours = (
        beside.restic("check", "--no-lock", "--json", code=1),
        beside.pyrestic("check", "--no-lock", "--json"),
    )
    assert (ours.code, json.loads(ours.out)) == (theirs.code, theirs.json)
    other = beside.copy("another copy")
    try:
        assert beside.restic("repair", "index").text == other.pyrestic("repair", "index").out
        assert _indexed(beside) == _indexed(other) == {pack.name for pack in _packs(beside)}
        for each in (beside, other):
            assert each.restic("check", "--no-lock", "--read-data").code == 0
    finally:
        shutil.rmtree(other.repository)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="has no file that opens and cannot be read")
def test_a_source_of_which_nothing_can_be_read_is_no_snapshot(
    newest: Program, pyrestic: Program, tmp_path: Path
) -> None:
    """Restic stores an empty snapshot if the file opens, and none if it does not."""
    repository = make_quick_repository(tmp_path / "repository")
    found = {}
    for program in (newest, pyrestic):
        done = program.run("backup", "mem", repository=repository, cwd=Path("/proc/self"), code=None)
        found[program.name] = done.code, len(newest.snapshots(repository))
    assert found == {newest.name: (3, 1), pyrestic.name: (1, 1)}
    # Of a source that was named with the folders above it these are left, in both.
    for program in (newest, pyrestic):
        program.run("backup", "/proc/self/mem", repository=repository, code=3)
    assert len(newest.snapshots(repository)) == 3


def test_pipes_sockets_and_devices_are_left_out_of_archives(newest: Program, pyrestic: Program, tmp_path: Path) -> None:
    """Restic makes empty files of those that lie right in the folder that is dumped, and leaves out all below."""
    repository, source = make_quick_repository(tmp_path / "repository"), tmp_path / "source"
    (source / "below").mkdir(parents=True)
    for folder in (source, source / "below"):
        (folder / "file").write_bytes(b"x")
        os.mkfifo(folder / "pipe")
        if os.geteuid() == 0:
            os.mknod(folder / "device", 0o600 | 0o020000, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(source / "below" / "socket"))
        newest.run("backup", source, repository=repository)
    for archive, names in (("tar", _tar_names), ("zip", _zip_names)):
        words = ["dump", f"--archive={archive}", f"latest:{source}", "/"]
        theirs = names(newest.run(*words, repository=repository).stdout)
        ours = names(pyrestic.run(*words, repository=repository).stdout)
        assert set(ours) == {"file", "below", "below/file"}
        assert set(theirs) - set(ours) == {"pipe", "device"} if os.geteuid() == 0 else {"pipe"}


def _tar_names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def _zip_names(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [name.rstrip("/") for name in archive.namelist()]


def test_dates_that_zip_cannot_hold_become_its_first_and_last(
    newest: Program, pyrestic: Program, tmp_path: Path
) -> None:
    repository, source = make_quick_repository(tmp_path / "repository"), tmp_path / "source"
    source.mkdir()
    years = {"1970": 1, "1979": 315_000_000, "1985": 500_000_000, "2120": 4_750_000_000}
    for name, seconds in years.items():
        (source / name).touch()
        os.utime(source / name, (seconds, seconds))
    newest.run("backup", source, repository=repository)
    found = []
    for program in (newest, pyrestic):
        data = program.run("dump", "--archive=zip", f"latest:{source}", "/", repository=repository).stdout
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found.append({info.filename: info.date_time[0] for info in archive.infolist()})
            exact = {info.filename: int.from_bytes(info.extra[5:9], "little") for info in archive.infolist()}
        assert exact["1970"] == 1
    assert found[0] == {"1970": 2098, "1979": 2107, "1985": 1985, "2120": 1992}
    assert found[1] == {"1970": 1980, "1979": 1980, "1985": 1985, "2120": 2107}


@pytest.mark.parametrize("thing", ["file", "link"])
def test_a_dry_run_of_a_deleting_restore_ends_as_the_restore_itself(beside: Beside, tmp_path: Path, thing: str) -> None:
    """Restic's dry run fails to list what stands where a folder goes, and its restore just puts the folder there."""
    codes = []
    for dry in (["--dry-run"], []):
        for run in (beside.restic, beside.pyrestic):
            target = tmp_path / "target"
            target.mkdir()
            if thing == "file":
                (target / "dir").touch()
            else:
                (target / "dir").symlink_to(tmp_path)
            words = [
                "restore",
                f"{beside.names['s3']}:{beside.names['source']}",
                "--delete",
                *dry,
                f"--target={target}",
            ]
            settings: dict[str, Any] = {"code": None} if run == beside.restic else {}
            codes.append(run(*words, "--no-lock", **settings).code)
            shutil.rmtree(target)
    assert codes == [1, 0, 0, 0]


@pytest.mark.parametrize("damage", ["missing", "damaged", "truncated"])
@pytest.mark.parametrize("kind", ["data", "tree"])
def test_a_restore_tells_each_error_once(beside: Beside, tmp_path: Path, kind: str, damage: str) -> None:
    """Restic goes through the trees twice and tells of most twice; of an unknown blob it tells with no file's name."""
    for pack in _packs_of(beside, kind):
        if damage == "missing":
            pack.unlink()
            continue
        pack.chmod(0o600)
        content = pack.read_bytes()
        pack.write_bytes(content[:20] if damage == "truncated" else bytes(len(content)))
    words = ["restore", "latest", "--json", "--no-lock", "--no-cache"]
    theirs = beside.restic(*words, f"--target={tmp_path}/theirs", code=1)
    ours = beside.pyrestic(*words, f"--target={tmp_path}/ours")
    assert ours.code == 1
    first, second = _errors(theirs.stderr.decode()), _errors(ours.err)
    assert len(second) == len(set(second)) > 0
    assert len(first) > len(second)
    assert set(second) <= set(first)


def _errors(text: str) -> list[str]:
    """Return the items of the errors that a restore told."""
    messages = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [message["item"] for message in messages if message["message_type"] == "error"]


def test_stats_of_all_snapshots_go_from_the_oldest_to_the_newest(
    newest: Program, pyrestic: Program, tmp_path: Path
) -> None:
    """The first path of a content counts as its file; restic goes by chance unless the snapshots are named."""
    repository, source = make_quick_repository(tmp_path / "repository"), tmp_path / "source"
    source.mkdir()
    for number, files in enumerate(({"x": "A"}, {"x": "B", "y": "A"}), 1):
        for name, content in files.items():
            (source / name).write_text(content)
        newest.run("backup", "-q", f"--time=2024-01-0{number} 12:00:00", source, repository=repository)
    ids = [snapshot["id"] for snapshot in newest.snapshots(repository)]
    counts = []
    for names in (ids, ids[::-1]):
        theirs, ours = (
            program.run("stats", "--json", "--mode=blobs-per-file", *names, repository=repository).json
            for program in (newest, pyrestic)
        )
        assert ours == theirs
        counts.append(ours["total_file_count"])
    assert counts == [1, 2]
    every = pyrestic.run("stats", "--json", "--mode=blobs-per-file", repository=repository).json
    assert every["total_file_count"] == counts[0]


def test_features_asks_for_no_password(beside: Beside, tmp_path: Path) -> None:
    for run, asked in ((beside.restic, True), (beside.pyrestic, False)):
        mark = tmp_path / f"asked {asked}"
        assert run("features", f"--password-command=touch '{mark}'", RESTIC_PASSWORD="").code == 0
        assert mark.exists() == asked


def test_a_snapshot_that_is_named_twice_is_treated_once(beside: Beside) -> None:
    words = ["repair", "snapshots", "--dry-run", "--no-lock", beside.names["short5"], "latest"]
    theirs, ours = beside.restic(*words).text, beside.pyrestic(*words).out
    assert (theirs.count(f"snapshot {beside.names['short5']}"), ours.count(f"snapshot {beside.names['short5']}")) == (
        2,
        1,
    )


@pytest.mark.parametrize("home", ["{file}", "{file}/below", ""])
def test_where_no_cache_can_be_made_its_line_is_all_that_is_told(beside: Beside, tmp_path: Path, home: str) -> None:
    file = tmp_path / "file"
    file.write_text("this is no folder\n")
    unkept: dict[str, Any] = {"HOME": home.format(file=file), "XDG_CACHE_HOME": "", "XDG_STATE_HOME": ""}
    line = "unable to open cache: "
    for words in (["snapshots"], ["restore", "latest", "--target", str(tmp_path / "target")], ["backup", str(file)]):
        theirs = beside.restic("-q", *words, code=1, **unkept)
        assert theirs.stderr.decode().startswith(line)
        ours = beside.pyrestic("-q", *words, **unkept)
        assert ours.code == 0
        (told,) = ours.err.splitlines()
        assert told.startswith(line)
    theirs = beside.restic("-q", "check", "--read-data", **unkept)
    ours = beside.pyrestic("-q", "check", "--read-data", **unkept)
    assert (ours.code, ours.out, ours.err) == (theirs.code, theirs.text, theirs.stderr.decode())
    # Earlier releases of restic go on as well.
    earlier = find_restic("0.18", tmp_path).run("-q", "snapshots", repository=beside.repository, **unkept)
    assert earlier.stderr.decode().startswith(line)
