"""Prune beside the real restic: the same plans, the same words, and repositories that it calls clean afterwards."""

import random
import re
import shutil
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType
from pyrestic.repository.repository import Repository
from tests.compat.test_fixtures import MANIFEST, REPOSITORIES, unpack
from tests.support.prunable import make_wasteful_repository, packs, stored_bytes, used_blobs, without_clock
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program

pytestmark = pytest.mark.restic

PLANS = [
    "",
    "--max-unused 0",
    "--max-unused 0%",
    "--max-unused 2.5%",
    "--max-unused 30%",
    "--max-unused 99.9%",
    "--max-unused 1M",
    "--max-unused 3000k",
    "--max-unused 1g",
    "--max-unused unlimited",
    "--max-repack-size 0",
    "--max-repack-size 6M --max-unused 0",
    "--max-repack-size 12m",
    "--repack-cacheable-only",
    "--repack-cacheable-only --max-unused 0",
    "--repack-small",
    "--repack-smaller-than 1M",
    "--repack-smaller-than 5M --max-unused unlimited",
    "--repack-uncompressed",
    "--repack-uncompressed --max-unused unlimited --max-repack-size 100G",
    "--pack-size 64 --repack-smaller-than 40M",
]
REFUSED = [
    "--max-unused 100%",
    "--max-unused=-1%",
    "--max-unused x%",
    "--max-unused=",
    "--max-unused 5Q",
    "--max-repack-size x",
    "--max-repack-size=-5",
    "--repack-smaller-than 0",
    "--repack-smaller-than much",
    "--repack-smaller-than 1G",
    "--unsafe-recover-no-free-space abc",
    "--repack-uncompressed --compression off",
    "--no-lock",
    "-o local.connections=1",
    "--frob",
    "--quiet --verbose",
]


@pytest.fixture(scope="module", params=[1, 2])
def wasteful(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.restic import NEWEST, find_restic

    folder = tmp_path_factory.mktemp("wasteful")
    return make_wasteful_repository(folder, find_restic(NEWEST, folder), version=request.param)


def numbers(text: str) -> list[str]:
    """Return the lines that tell numbers; which packs are meant differs where several are equally good."""
    return re.findall(r"^.*\d.*(?:blobs|packs|size|compressed|unreferenced).*$", without_clock(text), re.MULTILINE)


def counts(lines: list[str]) -> list[str]:
    """Return the numbers of blobs without their lengths."""
    return [line.partition(" / ")[0] for line in lines if " blobs" in line]


@pytest.mark.parametrize("flags", PLANS)
def test_a_plan_has_the_same_numbers(flags: str, wasteful: Path, pyrestic: Program, newest: Program) -> None:
    arguments = ["prune", "--dry-run", "-v", *flags.split()]
    before = packs(wasteful)
    theirs = newest.run(*arguments, repository=wasteful, code=None)
    ours = pyrestic.run(*arguments, repository=wasteful, code=None)
    assert (ours.code, without_clock(ours.text)) == (theirs.code, without_clock(theirs.text))
    assert packs(wasteful) == before


@pytest.mark.parametrize("flags", REFUSED)
def test_what_makes_no_sense_is_refused_with_the_same_words(
    flags: str, wasteful: Path, pyrestic: Program, newest: Program
) -> None:
    before = packs(wasteful)
    theirs = newest.run("prune", *flags.split(), repository=wasteful, code=None)
    ours = pyrestic.run("prune", *flags.split(), repository=wasteful, code=None)
    assert ours.code == theirs.code == 1
    assert last_line(ours.stderr) == last_line(theirs.stderr)
    assert packs(wasteful) == before


def last_line(stderr: bytes) -> str:
    return stderr.decode().strip().splitlines()[-1].removeprefix("Fatal: ")


@pytest.mark.parametrize(
    "flags",
    [
        "-v",
        "--max-unused 0",
        "--max-unused unlimited -q",
        "--max-repack-size 6M -v -v",
        "--repack-cacheable-only -v",
        "--repack-smaller-than 5M -v --no-cache",
        "--max-unused 30% anything",
    ],
)
def test_a_prune_leaves_what_the_real_one_leaves(
    flags: str, wasteful: Path, pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    mine, real = tmp_path / "mine", tmp_path / "real"
    shutil.copytree(wasteful, mine)
    shutil.copytree(wasteful, real)
    used = used_blobs(wasteful)
    theirs = newest.run("prune", *flags.split(), repository=real)
    ours = pyrestic.run("prune", *flags.split(), repository=mine)
    assert ours.stderr == theirs.stderr == b""
    if "-v -v" not in flags:
        assert without_clock(ours.text) == without_clock(theirs.text)
    newest.run("check", "--read-data", repository=mine)
    assert used_blobs(mine) == used
    assert newest.snapshots(mine) == newest.snapshots(wasteful)
    assert blobs(newest, mine) == blobs(newest, real)
    assert abs(stored_bytes(mine) - stored_bytes(real)) < stored_bytes(real) / 20
    arguments = ["prune", "-n", *flags.replace("-q", "-v").split()]
    again, theirs_again = (numbers(program.run(*arguments, repository=mine).text) for program in (pyrestic, newest))
    if "--max-repack-size" in flags:
        # Which of the packs that waste alike still come below the limit depends on the order in which they are listed.
        repack = next(number for number, line in enumerate(again) if line.startswith("to repack"))
        for lines in (again, theirs_again):
            length = re.search(r"/ ([\d.]+) (B|KiB|MiB)$", lines[repack])
            assert length is not None
            assert length[2] != "MiB" or float(length[1]) <= 6
        assert repack >= 4
        assert again[:repack] == theirs_again[:repack]
        # Without the limit all of them are taken, and every number has to be the same.
        arguments = ["prune", "-n", "-v"]
        again, theirs_again = (numbers(program.run(*arguments, repository=mine).text) for program in (pyrestic, newest))
    assert again == theirs_again
    if "--max-unused 0" in flags:
        assert blobs(newest, mine) == {name[1:5] + " " + name[-64:] for name in used}


def blobs(restic: Program, repository: Path) -> set[str]:
    return set(restic.run("list", "blobs", repository=repository).text.splitlines())


def test_uncompressed_blobs_are_compressed_on_request(
    wasteful: Path, pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    mine, real = tmp_path / "mine", tmp_path / "real"
    shutil.copytree(wasteful, mine)
    shutil.copytree(wasteful, real)
    flags = ["--repack-uncompressed", "--max-unused", "unlimited"]
    theirs = newest.run("prune", *flags, repository=real, code=None)
    ours = pyrestic.run("prune", *flags, repository=mine, code=None)
    assert ours.code == theirs.code
    newest.run("check", "--read-data", repository=mine)
    if ours.code == 0:
        assert "not yet compressed" not in pyrestic.run("prune", "-n", repository=mine).text
        assert stored_bytes(mine) < stored_bytes(wasteful)
    else:
        assert last_line(ours.stderr) == last_line(theirs.stderr)


def test_a_full_disk_is_recovered_without_writing_first(
    wasteful: Path, pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(wasteful, mine)
    used = used_blobs(mine)
    identifier = newest.run("cat", "config", repository=mine).json["id"]
    pyrestic.run("prune", "--unsafe-recover-no-free-space", identifier, repository=mine)
    assert stored_bytes(mine) < stored_bytes(wasteful)
    assert packs(mine) < packs(wasteful)
    newest.run("check", "--read-data", repository=mine)
    assert used_blobs(mine) == used


def test_doubled_blobs_are_put_together(wasteful: Path, pyrestic: Program, newest: Program, tmp_path: Path) -> None:
    """An interrupted prune leaves blobs twice: in new packs and in old ones whose index files are still there."""
    mine = tmp_path / "mine"
    shutil.copytree(wasteful, mine)
    used = used_blobs(mine)
    pyrestic.run("prune", "--max-unused", "0", repository=mine)
    for kind in ("index", "data"):
        shutil.copytree(wasteful / kind, mine / kind, dirs_exist_ok=True)
    planned = pyrestic.run("prune", "-n", "-v", "--max-unused", "0", repository=mine).text
    theirs = newest.run("prune", "-n", "-v", "--max-unused", "0", repository=mine).text
    assert "duplicates: " in planned
    assert counts(numbers(planned))[:4] == counts(numbers(theirs))[:4]
    pyrestic.run("prune", "--max-unused", "0", repository=mine)
    newest.run("check", "--read-data", repository=mine)
    assert used_blobs(mine) == used
    listed = newest.run("list", "blobs", repository=mine).text.splitlines()
    assert len(listed) == len(set(listed)) == len(used)


@pytest.mark.parametrize("name", ["0.14-v1", "0.14-v1-upgraded", "0.14-v2", "0.19-v2-off"])
def test_repositories_of_older_releases_are_pruned(
    name: str, pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    repository, real = unpack(name, tmp_path), tmp_path / "real"
    shutil.copytree(repository, real)
    assert name in REPOSITORIES
    secret = {"RESTIC_PASSWORD": MANIFEST["password"]}
    arguments = ["forget", "--prune", "--keep-last", "1", "--group-by", "", "--max-unused", "0"]
    theirs = newest.run(*arguments, repository=real, code=0, stdin=None, cwd=None, **secret)
    ours = pyrestic.run(*arguments, repository=repository, code=0, stdin=None, cwd=None, **secret)
    assert without_clock(ours.text) == without_clock(theirs.text)
    newest.run("check", "--read-data", repository=repository, code=0, stdin=None, cwd=None, **secret)
    listed = [
        set(newest.run("list", "blobs", repository=each, code=0, stdin=None, cwd=None, **secret).text.split())
        for each in (repository, real)
    ]
    assert listed[0] == listed[1]


def test_a_copy_in_a_missing_pack_does_not_count(pyrestic: Program, newest: Program, tmp_path: Path) -> None:
    """Restic 0.19.1 takes it for a copy that stays, does not write the other one anew, and so loses the blob."""
    repository = make_quick_repository(tmp_path / "repository")
    dice = random.Random(1)
    twice = dice.randbytes(100_000)
    lost = save(repository, [twice, dice.randbytes(90_000)], [])
    save(repository, [twice, dice.randbytes(80_000), dice.randbytes(80_000)], [0, 1])
    (repository / "data" / lost[:2] / lost).unlink()
    used = used_blobs(repository)
    ours = pyrestic.run("prune", "--max-unused", "0", repository=repository)
    assert f"will forget missing pack file {lost}" in ours.stderr.decode()
    newest.run("check", "--read-data", repository=repository)
    assert used_blobs(repository) == used


def save(folder: Path, contents: list[bytes], used: list[int]) -> str:
    """Save blobs in a pack, and a snapshot of a file of the used ones if there are any; return the first's pack."""
    repository = Repository.open(LocalBackend(str(folder)), PASSWORD)
    saver = repository.saver
    blobs = [saver.save(BlobType.DATA, content, duplicate=True).id for content in contents]
    content = [blobs[number].hex() for number in used]
    tree = saver.save(BlobType.TREE, encode_tree([Node(name="f", type="file", mode=0o644, content=content)])).id
    repository.flush()
    if used:
        snapshot = Snapshot(time="2024-01-01T00:00:00Z", tree=tree.hex(), paths=["/"], hostname="h")
        repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    place = repository.index.find((BlobType.DATA, blobs[0]))
    assert place is not None
    repository.close()
    return place.pack.hex()
