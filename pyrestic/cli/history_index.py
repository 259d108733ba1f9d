"""The location of history indexes: in pyrestic's cache, one file per repository."""

import contextlib
from collections.abc import Iterator

from pyrestic.cli.options import Settings
from pyrestic.cli.session import Session
from pyrestic.localfs.tree_facts import HistoryIndex, index_path
from pyrestic.localfs.user_folders import find_own_folder


@contextlib.contextmanager
def opened_index(settings: Settings, session: Session) -> Iterator[HistoryIndex | None]:
    """Yield the index of a repository; None with --no-cache or without a cache folder."""
    path = "" if settings.no_cache else index_path(find_own_folder(settings.environment), session.repository.config.id)
    if not path:
        yield None
        return
    index = HistoryIndex(path)
    try:
        yield index
    finally:
        index.close()
