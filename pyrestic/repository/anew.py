"""One opened repository for several operations, each of which starts without knowledge of blobs."""

import copy

from pyrestic.backend.base import Backend
from pyrestic.repository.direct_read import find_near_reader
from pyrestic.repository.repository import Repository


def begin_anew(repository: Repository, backend: Backend, *, keep_index: bool = False) -> Repository:
    """Return the same repository for one operation: no saver is running, and no index is loaded.

    `backend` is the backend to use: the repository's own or a wrapper around it. With `keep_index` both share one
    index. End it with `end_saving`, because the backend still belongs to the repository.
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
