"""Opening a repository, for the command line and programs alike: backend with retries, key, cache, compiled code."""

import dataclasses
import importlib.util
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from pyrestic.backend.base import Backend
from pyrestic.backend.location import Access, Location, deadline_seconds, open_backend
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import list_cache_folders, open_cache, remove_cache_folder
from pyrestic.backend.wrap.dryrun import DryRunBackend
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.engines import Engines
from pyrestic.errors import PyresticError
from pyrestic.format.config import Config
from pyrestic.report import Reporter
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.repository import Repository, RepositoryOptions


class Backends(NamedTuple):
    """The backend of a location, and the wrapper that retries."""

    backend: Backend
    retry: RetryBackend


class CacheOptions(msgspec.Struct, frozen=True):
    """The folder of caches, "" for none.

    `look_for_old` counts caches that were not used for a month, and `remove_old` removes them.
    """

    folder: str
    look_for_old: bool = False
    remove_old: bool = False


class CacheUse(msgspec.Struct):
    """The outcome for the cache: whether it is new, how many old ones there are, and why it could not be opened."""

    created: bool = False
    old: int = 0
    failure: PyresticError | None = None


def reach(location: Location, options: Mapping[str, str], access: Access, on_retry: Callable[[str], None]) -> Backends:
    """Return the backend of the location, with limits and retries; nothing is connected yet.

    `on_retry` receives the reason of each retry, and what programs of the backend print. Raises UsageError for an
    invalid option, UnsupportedError for a scheme that is not implemented.
    """
    backend = open_backend(location, options, dataclasses.replace(access, note=on_retry))
    return Backends(
        backend, RetryBackend(backend, on_retry=on_retry, total_seconds=deadline_seconds(location, options))
    )


def find_engines(folder: str, *, keep: bool) -> Engines:
    """Return compiled code, cached in a folder, if this installation can compile.

    Nothing else imports from pyrestic.native, so that a base install works without it. Without `keep` nothing is added
    to the folder; "" means no folder.
    """
    if importlib.util.find_spec("numba") is None:
        return Engines.none()
    from pyrestic.native.engines import CompiledEngines

    return CompiledEngines(folder, keep=keep)


class Opening:
    """The settings to open one repository, and the attempts to do so: a person may type several passwords.

    A past state is opened without a cache, which belongs to the present one.
    """

    def __init__(
        self,
        backend: RetryBackend,
        options: RepositoryOptions,
        cache: CacheOptions,
        engines: Engines,
        report: Reporter,
        *,
        key_hint: str = "",
        dry_run: bool = False,
    ) -> None:
        self._backend = backend
        self._options = options
        self._cache = cache
        self._report = report
        self._key_hint = key_hint
        self._dry_run = dry_run
        self._engines = engines
        self.cache = CacheUse()

    def open(self, password: str, overlap: Overlap[Any]) -> Repository:
        """Open the repository; raise as Repository.open does. Afterwards `cache` has the outcome for the cache."""
        return Repository.open(
            self._backend,
            password,
            key_hint=self._key_hint,
            options=self._options,
            report=self._report,
            wrap=self._wrap,
            overlap=overlap,
            engines=self._engines,
        )

    def _wrap(self, backend: Backend, config: Config) -> Backend:
        wrapped = self._with_cache(backend, config)
        return DryRunBackend(wrapped) if self._dry_run else wrapped

    def _with_cache(self, backend: Backend, config: Config) -> Backend:
        base = self._cache.folder
        if not base or self._backend.read_only:
            return backend
        try:
            cache = open_cache(base, config.id)
            self.cache.created = cache.created
            if self._cache.look_for_old or self._cache.remove_old:
                self._clean(base, config.id)
        except PyresticError as error:
            self.cache.failure = error
            return backend
        return CacheBackend(backend, cache.folder, on_note=lambda message: self._report.note(message, 0))

    def _clean(self, base: str, own: str) -> None:
        old = [info for info in list_cache_folders(base) if info.name != own and info.is_old(time.time())]
        if self._cache.remove_old:
            for info in old:
                remove_cache_folder(info)
        else:
            self.cache.old = len(old)
