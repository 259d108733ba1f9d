"""One opened repository for several pieces of work, each of which begins with nothing known of blobs."""

import copy

from pyrestic.backend.base import Backend
from pyrestic.repository.direct_read import find_near_reader
from pyrestic.repository.repository import Repository


def begin_anew(repository: Repository, backend: Backend, *, keep_index: bool = False) -> Repository:
    """Return the same repository for one piece of work: nothing is being saved, and no index loaded.

    `backend` is what it works on, that of the repository or one around it. With `keep_index` both have one index. What
    ends it is `end_saving`, as the backend stays that of the repository.
    """
    other = copy.copy(repository)
    for name in ("index", "loader", "index_writer"):
        other.__dict__.pop(name, None)
    if keep_index:
        other.__dict__["index"] = repository.index
    other.backend = backend
    other.near = find_near_reader(backend)
    other.index_files = list(repository.index_files) if keep_index else []
    other._saver = None
    return other
