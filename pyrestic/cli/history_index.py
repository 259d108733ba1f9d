"""Where the index of histories lies: in the cache of pyrestic, one file for each repository."""

import contextlib
from collections.abc import Iterator

from pyrestic.cli.options import Settings
from pyrestic.cli.session import Session, code_folder
from pyrestic.localfs.historyindex import HistoryIndex, index_path


@contextlib.contextmanager
def opened_index(settings: Settings, session: Session) -> Iterator[HistoryIndex | None]:
    """Yield the index of a repository for the time of a with block; None with --no-cache or without a place for it."""
    folder = code_folder(settings)
    if not folder:
        yield None
        return
    index = HistoryIndex(index_path(folder, session.repository.config.id))
    try:
        yield index
    finally:
        index.close()
