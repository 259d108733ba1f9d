"""A repository whose password costs no time to check, for tests that run a program many times."""

from pathlib import Path

from pyrestic.backend.local import LocalBackend
from pyrestic.format.keyfile import ScryptParams
from pyrestic.repository.keys import add_key
from pyrestic.repository.repository import Repository
from tests.support.restic import PASSWORD


def make_quick_repository(folder: Path) -> Path:
    """Make an empty repository that every restic opens, with the weakest key that is one; return its folder."""
    backend = LocalBackend(str(folder))
    backend.create()
    Repository.create(
        backend,
        PASSWORD,
        hostname="host",
        username="user",
        created="2024-01-01T00:00:00Z",
        params=ScryptParams(2, 8, 1),
    )
    return folder


def remove_empty_folders(repository: Path) -> None:
    """Remove the folders for packs that have none: 256 of them make every copy and every listing expensive."""
    for path in (repository / "data").iterdir():
        if not any(path.iterdir()):
            path.rmdir()


def make_quick(folder: Path, password: str) -> None:
    """Replace all keys of a repository by the weakest key that is one, with the password of the other tests."""
    backend = LocalBackend(str(folder))
    repository = Repository.open(backend, password)
    for key in (folder / "keys").iterdir():
        key.unlink()
    add_key(
        backend,
        repository.key,
        PASSWORD,
        hostname="host",
        username="user",
        created="2024-01-01T00:00:00Z",
        params=ScryptParams(2, 8, 1),
    )
