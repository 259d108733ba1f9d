"""Repair beside the real restic: the same damage gives the same words, index, packs and snapshots."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.both_programs import Beside, make_beside, parse_json, remove_pack_of
from tests.support.compared_repositories import Ending, Twins, blobs_of, files_of
from tests.support.damage import flip, truncate
from tests.support.quick_repository import make_quick_repository

pytestmark = pytest.mark.restic


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """A repository with five snapshots."""
    return make_beside(tmp_path_factory.mktemp("repair"))


@pytest.fixture
def twins(beside: Beside, tmp_path: Path) -> Twins:
    return Twins(beside, tmp_path)


def both(twins: Twins, damage: Callable[[Path], object]) -> None:
    """Do the same damage to both copies."""
    for repository in (twins.theirs, twins.ours):
        for path in repository.rglob("*"):
            path.chmod(0o700)
        damage(repository)


def packs(repository: Path) -> list[Path]:
    """Return the packs of a repository, the smallest first."""
    found = [path for path in (repository / "data").rglob("*") if path.is_file()]
    return sorted(found, key=lambda path: (path.stat().st_size, path.name))


def index_files(repository: Path) -> list[Path]:
    return sorted((repository / "index").iterdir())


def nothing(repository: Path) -> None:
    """Leave it whole."""


def lose_index(repository: Path) -> None:
    for path in index_files(repository):
        path.unlink()


def damage_index(repository: Path) -> None:
    flip(index_files(repository)[0])
    truncate(index_files(repository)[1])


def forget_one_index(repository: Path) -> None:
    index_files(repository)[0].unlink()


def lose_pack(repository: Path) -> None:
    packs(repository)[-1].unlink()
    packs(repository)[0].unlink()


def truncate_pack(repository: Path) -> None:
    truncate(packs(repository)[-1])


def strange_packs(repository: Path) -> None:
    """A pack without a header that can be read, and an empty one, which no index names."""
    for name, data in (("ab" * 32, b"x" * 1000), ("cd" * 32, b"")):
        path = repository / "data" / name[:2] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


INDEX_DAMAGES = [nothing, lose_index, damage_index, forget_one_index, lose_pack, truncate_pack, strange_packs]


@pytest.mark.parametrize("damage", INDEX_DAMAGES)
def test_the_index_is_repaired_alike(twins: Twins, damage: Callable[[Path], None]) -> None:
    both(twins, damage)
    flags = " -v" if damage is strange_packs else ""
    # A cache would have the index as it was, if a test before made it.
    theirs, ours = twins.run(f"--no-cache repair index{flags}")
    losses = damage in (lose_pack, truncate_pack, strange_packs)
    assert theirs.code == 0
    assert ours.lines == theirs.lines
    errors = without_warning(ours, losses=losses)
    assert [line for line in words(errors) if "is left out of the index" not in line] == words(theirs.errors)
    assert ours.blobs == theirs.blobs
    assert ours.files == theirs.files


def without_warning(ours: Ending, *, losses: bool) -> list[str]:
    """Return errors without the line in which ours says why it ends with 3 where restic's ends with 0."""
    assert ours.code == (3 if losses else 0)
    assert sum(line.startswith("Warning: ") for line in ours.errors) == losses
    return [line for line in ours.errors if not line.startswith("Warning: ")]


def words(errors: list[str]) -> list[str]:
    """Return errors without the reason why an index file cannot be read, which each program has its own words for."""
    return [line.partition(": ")[0] if "invalid index" in line else line for line in errors]


@pytest.mark.parametrize("line", ["repair index --read-all-packs", "rebuild-index --read-all-packs=true any word"])
def test_an_index_from_nothing_but_packs(twins: Twins, line: str) -> None:
    both(twins, damage_index)
    theirs, ours = twins.run(line)
    assert (ours.code, ours.lines, ours.errors) == (theirs.code, theirs.lines, theirs.errors)
    assert (ours.blobs, ours.files) == (theirs.blobs, theirs.files)
    assert ours.blobs == blobs_of(twins.beside.repository)
    twins.check()


def test_a_pack_named_by_two_index_files_is_named_by_one_afterwards(twins: Twins) -> None:
    both(twins, lambda repository: twins.beside.theirs.run("repair", "index", repository=repository))
    both(
        twins,
        lambda repository: shutil.copytree(twins.beside.repository / "index", repository / "index", dirs_exist_ok=True),
    )
    theirs, ours = twins.run("repair index -q")
    assert (ours.code, ours.lines, ours.errors, ours.files) == (theirs.code, [], [], theirs.files)
    assert "no errors were found" in twins.beside.theirs.run("check", "--no-lock", repository=twins.ours).text


def pack_of(repository: Path, place: int) -> str:
    return packs(repository)[place].name


@pytest.mark.parametrize("damage", [nothing, flip, truncate])
def test_packs_are_salvaged_alike(twins: Twins, damage: Callable[[Path], None]) -> None:
    name, small = pack_of(twins.ours, -1), pack_of(twins.ours, 0)
    both(twins, lambda repository: damage(packs(repository)[-1]))
    damaged = packs(twins.ours)[-1].read_bytes() if damage is not truncate else None
    theirs, ours = twins.run(f"repair packs {name} {small} {name}")
    assert theirs.code == 0
    assert ours.lines == theirs.lines
    assert lost(without_warning(ours, losses=damage is not nothing)) == lost(theirs.errors)
    assert (ours.blobs, ours.files) == (theirs.blobs, theirs.files)
    for program in ("ours", "theirs"):
        kept = twins.folder / f"cwd {program}" / f"pack-{name}"
        assert damaged is None or kept.read_bytes() == damaged
    # The copies that are kept are not written over.
    theirs, ours = twins.run(f"repair packs {small}")
    assert ours.code == theirs.code == 1


def lost(errors: list[str]) -> list[str]:
    return [line.partition(": ")[0] for line in errors]


def test_packs_that_no_index_names_are_salvaged_too(twins: Twins) -> None:
    name = pack_of(twins.ours, -1)
    both(twins, lose_index)
    theirs, ours = twins.run(f"repair packs {name} -q")
    assert (ours.code, ours.lines, ours.errors) == (theirs.code, theirs.lines, theirs.errors)
    assert (ours.blobs, ours.files) == (theirs.blobs, theirs.files)


@pytest.mark.parametrize(
    "line",
    ["repair packs", "repair packs abc", "repair packs {s1}", "repair packs " + "xy" * 32, "repair", "repair nothing"],
)
def test_what_cannot_be_repaired_is_refused_alike(twins: Twins, line: str) -> None:
    theirs, ours = twins.run(line)
    assert ours.code == theirs.code
    assert ours.files == theirs.files
    if "repair packs" in line:
        assert ours.lines == theirs.lines


def test_json_ends_with_what_was_repaired(beside: Beside, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(beside.repository, repository)
    lost_pack = packs(repository)[-1].name
    packs(repository)[-1].unlink()
    small = packs(repository)[0].name
    beside.ours.cwd = tmp_path
    (index,) = parse_json(beside.ours("repair", "index", "--json", "--repo", repository, RESTIC_REPOSITORY=None).out)
    assert index["missing_packs"] == [lost_pack]
    assert (index["added_packs"], index["unreadable_packs"], index["message_type"]) == ([], [], "summary")
    (salvaged,) = parse_json(
        beside.ours("repair", "packs", small, "--json", "--repo", repository, RESTIC_REPOSITORY=None).out
    )
    assert (salvaged["packs"], salvaged["lost_blobs"]) == ([small], [])
    assert salvaged["salvaged_blobs"] > 0
    beside.ours.cwd = beside.ours.folder


def test_an_empty_repository_needs_no_repair(tmp_path: Path) -> None:
    folder = tmp_path / "twins"
    folder.mkdir()
    twins = Twins(Beside(tmp_path, make_quick_repository(tmp_path / "repository")), folder)
    for line in ("repair index", "repair snapshots"):
        theirs, ours = twins.run(line, ordered=True)
        assert (ours.code, ours.lines, ours.errors) == (theirs.code, theirs.lines, theirs.errors)
    assert files_of(twins.ours) == {"data": 0, "snapshots": 0, "index": 0}


@pytest.fixture(scope="module")
def damaged(beside: Beside) -> dict[str, Beside]:
    """The repository with a pack of content, one of trees, and the root of a snapshot gone."""
    made = {}
    for name, blob, kind in (("content", "big.bin", "blob"), ("tree", "sub", "tree"), ("root", "t3", "tree")):
        made[name] = other = beside.copy(f"without {name}")
        if kind == "blob" or name == "tree":
            listing = beside.restic("ls", "--json", beside.names["s1"]).messages
            node = next(one for one in listing if one.get("name") == blob)
            tree = node.get("subtree") or find_content(beside, beside.names["t1"], blob)
        else:
            tree = beside.names[blob]
        remove_pack_of(other, kind, tree)
        other.restic("repair", "index", "-q")
    return made


def find_content(beside: Beside, tree: str, name: str) -> str:
    """Return a blob of the file with a name, somewhere below a tree."""
    for node in beside.restic("cat", "blob", tree).json["nodes"]:
        if node["name"] == name:
            return str((node.get("content") or [node.get("subtree")])[0])
        if node["type"] == "dir" and (found := find_content(beside, node["subtree"], name)):
            return found
    return ""


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("content", ""),
        ("content", "-n --forget"),
        ("tree", "--forget"),
        ("tree", "--host one {short3} -v"),
        ("root", "--forget"),
        ("root", "--dry-run --tag c"),
    ],
)
def test_snapshots_are_repaired_alike(damaged: dict[str, Beside], tmp_path: Path, kind: str, flags: str) -> None:
    twins = Twins(damaged[kind], tmp_path)
    line = f"repair snapshots {flags}".rstrip()
    theirs, ours = twins.run(line)
    assert theirs.code == 0
    assert ours.lines == theirs.lines
    # In a dry run restic looks for packs that it did not store.
    assert without_warning(ours, losses=True) == [line for line in theirs.errors if not line.startswith("Load(")]
    assert ours.snapshots == theirs.snapshots
    assert (ours.blobs, ours.files["snapshots"]) == (theirs.blobs, theirs.files["snapshots"])
    if flags == "--forget":
        twins.check()


def test_snapshots_that_are_whole_stay(twins: Twins) -> None:
    for line in ("repair snapshots", "repair snapshots -n"):
        theirs, ours = twins.run(line)
        assert (ours.code, ours.lines, ours.snapshots, ours.files) == (
            theirs.code,
            theirs.lines,
            theirs.snapshots,
            theirs.files,
        )


def test_json_ends_with_the_snapshots_that_were_replaced(damaged: dict[str, Beside], tmp_path: Path) -> None:
    twins = Twins(damaged["root"], tmp_path)
    names = twins.beside.names
    words = ("repair", "snapshots", "--forget", "--json", "--repo", twins.ours)
    (dry,) = parse_json(twins.beside.ours(*words, "--dry-run", RESTIC_REPOSITORY=None).out)
    assert dry["dry_run"]
    (summary,) = parse_json(twins.beside.ours(*words, RESTIC_REPOSITORY=None).out)
    assert names["s3"] in summary["emptied"]
    assert dry["emptied"] == summary["emptied"]
    left = {path.name for path in (twins.ours / "snapshots").iterdir()}
    assert left == {names[f"s{n}"] for n in range(1, 6)} - set(summary["emptied"]) - {
        one["old"] for one in summary["replaced"]
    } | {one["new"] for one in summary["replaced"]}
