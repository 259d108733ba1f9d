"""Migrate beside the real restic: what can be applied, in which words, and what the repository is afterwards."""

from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format.keyfile import ScryptParams
from pyrestic.repository.repository import Repository
from tests.support.both_programs import Beside, parse_json
from tests.support.compared_repositories import Twins
from tests.support.restic import PASSWORD

pytestmark = pytest.mark.restic


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Beside]:
    """A repository with a snapshot for each version."""
    made = {}
    for version in (1, 2):
        folder = tmp_path_factory.mktemp(f"version{version}")
        backend = LocalBackend(str(folder / "repository"))
        Repository.create(
            backend,
            PASSWORD,
            version=version,
            hostname="host",
            username="user",
            created="2024-01-01T00:00:00Z",
            params=ScryptParams(2, 8, 1),
        )
        made[version] = Beside(folder, folder / "repository")
        (folder / "source").mkdir()
        (folder / "source" / "text").write_text("some text\n" * 5000)
        made[version].restic("backup", "-q", folder / "source")
    return made


def without_cache(lines: list[str]) -> list[str]:
    """Restic looks at the repository with an empty cache of its own, ours without any."""
    return [line for line in lines if not line.startswith("using temporary cache")]


@pytest.mark.parametrize(
    ("version", "line"),
    [
        (1, "migrate"),
        (2, "migrate"),
        (2, "migrate -q"),
        (1, "migrate upgrade_repo_v2"),
        (1, "migrate s3_layout upgrade_repo_v2 upgrade_repo_v2"),
        (2, "migrate upgrade_repo_v2"),
        (2, "migrate -f upgrade_repo_v2"),
        (1, "migrate nothing"),
    ],
)
def test_migrations_are_listed_and_applied_alike(
    versions: dict[int, Beside], tmp_path: Path, version: int, line: str
) -> None:
    twins = Twins(versions[version], tmp_path)
    theirs, ours = twins.run(line, ordered=True)
    assert ours.code == theirs.code
    assert ours.lines == without_cache(theirs.lines)
    assert ours.errors[:-1] == theirs.errors[:-1]
    assert (ours.snapshots, ours.blobs, ours.files) == (theirs.snapshots, theirs.blobs, theirs.files)
    configs = [twins.beside.theirs.run("cat", "config", repository=each).json for each in (twins.theirs, twins.ours)]
    assert configs[0] == configs[1]


def test_an_upgraded_repository_is_used_by_both(versions: dict[int, Beside], tmp_path: Path) -> None:
    twins = Twins(versions[1], tmp_path)
    caller = twins.beside.ours
    outcome = caller("migrate", "upgrade_repo_v2", "--json", "--repo", twins.ours, RESTIC_REPOSITORY=None)
    assert parse_json(outcome.out)[-1] == {"message_type": "summary", "applied": ["upgrade_repo_v2"]}
    twins.beside.theirs.run("backup", "-q", tmp_path / "cwd", code=None, repository=twins.ours)
    twins.beside.theirs.run("prune", "--repack-uncompressed", repository=twins.ours)
    twins.check()
    listed = caller("migrate", "--json", "--repo", twins.ours, RESTIC_REPOSITORY=None)
    assert listed.json == {"message_type": "summary", "available": []}


def test_a_damaged_repository_is_not_upgraded(versions: dict[int, Beside], tmp_path: Path) -> None:
    twins = Twins(versions[1], tmp_path)
    for repository in (twins.theirs, twins.ours):
        for pack in (repository / "data").rglob("*"):
            if pack.is_file():
                pack.unlink()
    theirs, ours = twins.run("migrate upgrade_repo_v2", ordered=True)
    assert ours.code == theirs.code == 1
    assert ours.lines == without_cache(theirs.lines)
    config = twins.beside.theirs.run("cat", "config", repository=twins.ours).json
    assert config["version"] == 1
