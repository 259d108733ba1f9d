"""The repositories in `fixtures/`: as the manifest says, and read here as the release that made them reads them."""

import hashlib
import json
import shutil
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Caller
from tests.support.damage import DAMAGES, find_file

FIXTURES = Path(__file__).resolve().parent.parent.parent / "fixtures"
MANIFEST: dict[str, Any] = json.loads((FIXTURES / "manifest.json").read_text())
REPOSITORIES: dict[str, dict[str, Any]] = MANIFEST["repositories"]


def unpack(name: str, folder: Path) -> Path:
    repository = folder / "repository"
    with tarfile.open(FIXTURES / REPOSITORIES[name]["archive"]) as archive:
        for member in archive:
            path = repository / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None
            path.write_bytes(content.read())
    for number in range(256):
        (repository / "data" / f"{number:02x}").mkdir(parents=True, exist_ok=True)
    for folder_name in ("locks", "snapshots", "index", "keys"):
        (repository / folder_name).mkdir(exist_ok=True)
    return repository


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def call(folder: Path, repository: Path, *arguments: str, password: str = MANIFEST["password"]) -> Any:
    return Caller(folder)(*arguments, RESTIC_REPOSITORY=str(repository), RESTIC_PASSWORD=password)


def test_every_archive_is_listed_and_has_its_hash() -> None:
    assert {path.name for path in FIXTURES.glob("*.tar.xz")} == {entry["archive"] for entry in REPOSITORIES.values()}
    for entry in REPOSITORIES.values():
        assert sha256(FIXTURES / entry["archive"]) == entry["sha256"]


@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_repository_is_whole_and_restores_to_what_its_maker_restored(name: str, tmp_path: Path) -> None:
    entry = REPOSITORIES[name]
    repository = unpack(name, tmp_path)
    found = {str(path.relative_to(repository)): sha256(path) for path in repository.rglob("*") if path.is_file()}
    assert found == entry["files"]
    arguments = ["--no-lock"] if name.endswith("-lock") else []
    checked = call(tmp_path, repository, "check", "--read-data", *arguments)
    assert checked.code == 0, checked.err
    listed = call(tmp_path, repository, "snapshots", "--json", *arguments).json
    assert {snapshot["id"]: snapshot["tree"] for snapshot in listed} == {
        identifier: snapshot["tree"] for identifier, snapshot in entry["snapshots"].items()
    }
    for identifier, snapshot in entry["snapshots"].items():
        target = tmp_path / identifier[:8]
        restored = call(tmp_path, repository, "restore", identifier, "--target", str(target), *arguments)
        assert restored.code == 0, restored.err
        files = {
            str(path.relative_to(target)): sha256(path)
            for path in target.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        assert files == snapshot["files"]


def test_a_second_key_opens_the_repository_too(tmp_path: Path) -> None:
    repository = unpack("0.19-v2-keys", tmp_path)
    assert call(tmp_path, repository, "snapshots", password=MANIFEST["second_password"]).code == 0
    assert call(tmp_path, repository, "snapshots", password="neither").code == 12


def test_a_repository_upgraded_from_version_1_holds_both_kinds_of_files(tmp_path: Path) -> None:
    repository = unpack("0.14-v1-upgraded", tmp_path)
    assert call(tmp_path, repository, "cat", "config").json["version"] == 2
    assert len(call(tmp_path, repository, "snapshots", "--json").json) == 2


def test_a_lock_of_another_host_blocks_only_what_needs_to_be_alone_until_unlock(tmp_path: Path) -> None:
    repository = unpack("0.19-v2-lock", tmp_path)
    lock = next((repository / "locks").iterdir())
    holder = call(tmp_path, repository, "cat", "lock", lock.name, "--no-lock").json["hostname"]
    assert call(tmp_path, repository, "snapshots").code == 0
    if holder != socket.gethostname():
        # On the machine of its maker it is known to be dead, and simply goes.
        assert call(tmp_path, repository, "check").code == 11
    assert call(tmp_path, repository, "unlock").code == 0
    assert call(tmp_path, repository, "check").code == 0


@pytest.mark.parametrize("name", ["0.14-v1", "0.19-v2"])
@pytest.mark.parametrize("kind", ["data pack", "tree pack", "index", "snapshot"])
@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_damage_to_what_a_real_release_wrote_is_found(name: str, kind: str, damage: str, tmp_path: Path) -> None:
    repository = unpack(name, tmp_path)
    DAMAGES[damage](find_file(repository, kind))
    outcome = call(tmp_path, repository, "check", "--read-data")
    assert outcome.code == 1
    assert outcome.err
    shutil.rmtree(repository)
