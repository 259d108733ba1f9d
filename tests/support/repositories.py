"""Repositories in memory, with keys that are derived in no time."""

from pyrestic.backend.base import Backend
from pyrestic.backend.layout import FOLDERS
from pyrestic.backend.local import LocalBackend
from pyrestic.backend.mem import MemoryBackend
from pyrestic.engines import Engines
from pyrestic.format.keyfile import ScryptParams
from pyrestic.repository.repository import Repository, RepositoryOptions

PASSWORD = "a test password"
QUICK = ScryptParams(2, 8, 1)


class SparseLocalBackend(LocalBackend):
    """Leaves out the 256 folders of packs, as other tools do: to make, list and remove them takes most of a test."""

    def create(self) -> None:
        """Create the other folders."""
        self._make_base()
        for folder in FOLDERS.values():
            self._make_folder(folder)


def make_repository(
    backend: Backend | None = None, *, version: int = 2, options: RepositoryOptions | None = None
) -> Repository:
    """Make an empty repository and return it opened."""
    return Repository.create(
        backend or MemoryBackend(),
        PASSWORD,
        version=version,
        hostname="host",
        username="user",
        created="2024-01-01T00:00:00Z",
        params=QUICK,
        options=options,
    )


def open_again(
    repository: Repository,
    backend: Backend | None = None,
    *,
    engines: Engines | None = None,
) -> Repository:
    """Return the same repository opened anew, its index loaded."""
    from pyrestic.report import NullReporter

    again = Repository.open(backend or repository.backend, PASSWORD, engines=engines)
    again.load_index(NullReporter())
    return again
