"""Opens and creates repositories from a program; no environment variable is read unless it is passed."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from pyrestic.api.arguments import checked
from pyrestic.api.reporting import LogReporter
from pyrestic.api.repository import OpenRepository
from pyrestic.backend.http_settings import HttpSettings, read_proxies
from pyrestic.backend.location import Access, parse_location
from pyrestic.backend.wrap.cache_folder import find_default_base
from pyrestic.engines import Engines
from pyrestic.errors import UntrustedError, UsageError
from pyrestic.format.compress import Compression
from pyrestic.localfs.identity import current_identity
from pyrestic.localfs.metadata import format_local_time
from pyrestic.localfs.password import read_file, run_command
from pyrestic.localfs.user_folders import find_own_folder
from pyrestic.report import Reporter
from pyrestic.repository.opening import Backends, CacheOptions, Opening, find_engines, reach
from pyrestic.repository.overlap import Overlap, import_machinery
from pyrestic.repository.repository import Repository, RepositoryOptions

CompressionMode: TypeAlias = Literal["auto", "off", "fastest", "better", "max"]
"""The compression mode."""


class _Request(NamedTuple):
    """The settings for opening or creating a repository."""

    place: Backends
    password: str
    options: RepositoryOptions
    report: Reporter
    environment: Mapping[str, str]


@checked
def open_repository(
    location: str | os.PathLike[str],
    *,
    password: str | None = None,
    password_file: str | os.PathLike[str] | None = None,
    password_command: str | None = None,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cacert: Sequence[str] = (),
    compression: CompressionMode = "auto",
    lock: bool = True,
    retry_lock_seconds: float = 0.0,
    report: Reporter | None = None,
) -> OpenRepository:
    """Open a repository, best in a with statement, with the password by value, from a file or from a command.

    `location` is a folder or a command line location, such as b2:BUCKET:PATH. `environment` has the variables of its
    backend (B2_ACCOUNT_ID, B2_ACCOUNT_KEY, https_proxy …), and HOME or XDG_CACHE_HOME for the cache shared with the
    command line: pass os.environ to use the same values. `options` are those of -o. Without `cache_dir` and such a
    variable there is no cache. With `lock`, a shared lock is held until the repository is closed; otherwise only during
    writes, and a prune by others may remove data that is being read.

    Raises PyresticError: NoRepositoryError, WrongPasswordError, LockedError, BackendError and their subclasses.
    """
    secret = _find_password(password, password_file, password_command)
    request = _prepare(location, secret, environment, options, cacert, compression, report)
    place = request.place
    base = _find_cache(request.environment) if cache_dir is None else os.fspath(cache_dir)
    opening = Opening(place.retry, request.options, CacheOptions(base), _find_engines(request), request.report)
    try:
        repository = opening.open(request.password, Overlap(imports=import_machinery))
    except BaseException:
        place.retry.close()
        raise
    failure = opening.cache.failure
    if failure is not None:
        request.report.note(f"unable to open cache: {failure}", 2 if isinstance(failure, UntrustedError) else 0)
    return _finish(repository, request, base, lock=lock, retry_lock_seconds=retry_lock_seconds)


@checked
def create_repository(
    location: str | os.PathLike[str],
    *,
    password: str | None = None,
    password_file: str | os.PathLike[str] | None = None,
    password_command: str | None = None,
    version: int = 2,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    cacert: Sequence[str] = (),
    compression: CompressionMode = "auto",
    lock: bool = True,
    report: Reporter | None = None,
) -> OpenRepository:
    """Create a repository and return it opened; arguments are those of open_repository, `version` is 1 or 2.

    Raises UsageError if a repository exists, BackendError.
    """
    secret = _find_password(password, password_file, password_command)
    request = _prepare(location, secret, environment, options, cacert, compression, report)
    who = current_identity()
    try:
        repository = Repository.create(
            request.place.retry,
            request.password,
            version=version,
            hostname=who.hostname,
            username=who.username,
            created=format_local_time(time.time_ns()),
            options=request.options,
            engines=_find_engines(request),
        )
    except BaseException:
        request.place.retry.close()
        raise
    return _finish(repository, request, "", lock=lock, retry_lock_seconds=0.0)


def _find_engines(request: _Request) -> Engines:
    return find_engines(find_own_folder(request.environment), keep=True)


def _prepare(
    location: str | os.PathLike[str],
    password: str,
    environment: Mapping[str, str] | None,
    options: Mapping[str, str] | None,
    cacert: Sequence[str],
    compression: str,
    report: Reporter | None,
) -> _Request:
    variables = environment or {}
    reporter = LogReporter() if report is None else report
    if compression not in {mode.value for mode in Compression}:
        raise UsageError(f"{compression!r} is not a compression mode")
    access = Access(variables, HttpSettings(ca_files=tuple(cacert), proxies=read_proxies(variables)))
    place = reach(parse_location(os.fspath(location)), options or {}, access, lambda message: reporter.note(message, 0))
    return _Request(place, password, RepositoryOptions(Compression(compression)), reporter, variables)


def _find_password(
    password: str | None, password_file: str | os.PathLike[str] | None, password_command: str | None
) -> str:
    if sum(each is not None for each in (password, password_file, password_command)) != 1:
        raise UsageError("pass one of password, password_file and password_command")
    if password is not None:
        return password
    if password_file is not None:
        secret, source = read_file(os.fspath(password_file)), "the password file"
    else:
        secret, source = run_command(password_command or ""), "the password command"
    if not secret:
        raise UsageError(f"{source} gives an empty password", hint='For a repository without one pass password="".')
    return secret


def _find_cache(environment: Mapping[str, str]) -> str:
    try:
        return find_default_base(environment)
    except UsageError:
        return ""


def _finish(
    repository: Repository, request: _Request, cache_base: str, *, lock: bool, retry_lock_seconds: float
) -> OpenRepository:
    opened = None
    try:
        opened = OpenRepository(
            repository,
            request.report,
            environment=request.environment,
            cache_folder=cache_base,
            lock=lock,
            retry_lock_seconds=retry_lock_seconds,
            past=request.place.retry.read_only,
        )
        opened._take_lock()
        return opened
    except BaseException:
        (opened or repository).close()
        raise
