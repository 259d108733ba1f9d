"""Repositories with something to prune: packs used, partly used and unused, and one that no index names."""

import random
import re
import shutil
from pathlib import Path

from pyrestic.backend.local import LocalBackend
from pyrestic.handle import FileType
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import load_snapshots
from tests.support.repositories import QUICK
from tests.support.restic import PASSWORD, Program

_CLOCK = re.compile(r"^\[\d+:\d\d\]", re.MULTILINE)


def make_wasteful_repository(folder: Path, restic: Program, *, version: int = 2, backups: int = 5) -> Path:
    """Let the real restic make several backups of a changing folder and forget some; return the repository."""
    repository, source = folder / "repository", folder / "source"
    Repository.create(
        LocalBackend(str(repository)),
        PASSWORD,
        version=version,
        hostname="host",
        username="user",
        created="2024-01-01T00:00:00Z",
        params=QUICK,
    ).close()
    source.mkdir()
    dice = random.Random(77)
    names = []
    for number in range(backups):
        for each in range(10 if number == 0 else 4):
            name = f"large {each if number == 0 else dice.randrange(10)}"
            (source / name).write_bytes(dice.randbytes(dice.randrange(1 << 18, 3 << 20)))
        for _ in range(40):
            path = source / f"folder {dice.randrange(6)}" / f"small {dice.randrange(60)}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{dice.random()} is not much\n" * dice.randrange(1, 400))
        flags = ["--compression", "off"] if number == 2 and version == 2 else []
        restic.run("backup", "--pack-size", "4", "--quiet", *flags, "--tag", f"{number}", source, repository=repository)
        names.append(f"{number}")
    gone = [one["id"] for one in restic.snapshots(repository) if one["tags"][0] in names[:-1:2]]
    restic.run("forget", "--quiet", *gone, repository=repository)
    orphan = repository / "data" / "ab" / ("ab" * 32)
    orphan.write_bytes(bytes(4321))
    shutil.rmtree(source)
    return repository


def without_clock(text: str) -> str:
    """Return what a program printed without the seconds it took."""
    return _CLOCK.sub("[]", text)


def packs(repository: Path) -> set[str]:
    """Return the names of the packs that are stored whole."""
    return {path.name for path in (repository / "data").glob("??/*") if len(path.name) == 64}


def stored_bytes(repository: Path) -> int:
    """Return how long all packs are together."""
    return sum(path.stat().st_size for path in (repository / "data").glob("??/*"))


def used_blobs(repository: Path) -> set[str]:
    """Return the blobs that the snapshots of a repository use; every one of them is loaded and so verified."""
    from pyrestic.operations.used_blobs import find_used_blobs
    from pyrestic.repository.blob_table import BlobTable

    opened = Repository.open(LocalBackend(str(repository)), PASSWORD)
    opened.load_index(NullReporter())
    table = BlobTable(opened.index)
    roots = [stored.snapshot.tree_id for stored in load_snapshots(opened, NullReporter())]
    assert len(list(opened.list_ids(FileType.SNAPSHOT))) == len(roots)
    used, missing = find_used_blobs(opened, table, roots, NullReporter())
    assert not missing
    handles = {table.handle(blob) for blob in used.nonzero()[0].tolist()}
    for handle in handles:
        opened.load_blob(handle)
    opened.close()
    return {str(handle) + handle.id.hex() for handle in handles}
