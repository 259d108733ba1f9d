"""From settings to an opened, locked repository and back: the stack of backends, the password, the lock."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyrestic.backend.http_settings import HttpSettings, read_proxies
from pyrestic.backend.location import Access, Location, describe_unknown_options, parse_location
from pyrestic.backend.metering import Sums
from pyrestic.backend.wrap.cache_folder import find_default_base
from pyrestic.backend.wrap.limit import TokenBucket
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.cli import password as passwords
from pyrestic.cli.interrupts import end_for, when_forced, when_interrupted
from pyrestic.cli.local_folders import code_folder, tell_distrusted
from pyrestic.cli.options import Settings
from pyrestic.cli.terminal import Terminal
from pyrestic.engines import Engines
from pyrestic.errors import (
    NoRepositoryError,
    NotFoundError,
    PyresticError,
    UntrustedError,
    UsageError,
    WrongPasswordError,
)
from pyrestic.format.compress import Compression
from pyrestic.localfs.password import read_file
from pyrestic.repository.locking import Ending, LockMode, locked
from pyrestic.repository.locks import Lock
from pyrestic.repository.opening import Backends, CacheOptions, CacheUse, Opening, find_engines, reach
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.repository import (
    CONFIG,
    DEFAULT_PACK_LENGTH,
    MAX_PACK_LENGTH,
    MIN_PACK_LENGTH,
    Repository,
    RepositoryOptions,
)

if TYPE_CHECKING:
    from pyrestic.cli.billing import Bill


_THE_ONE = "repository"
"""Description of a repository if the command has no second one, and of the first one otherwise."""


@dataclass(slots=True)
class Session:
    """An opened repository; `interrupted_before` means that a run on this machine had left its lock."""

    repository: Repository
    lock: Lock | None
    past: bool
    """Whether it is a past state, which is excluded from local records."""
    bill: "Bill | None"
    """What is asked of a billed service."""

    @property
    def interrupted_before(self) -> bool:
        """Whether a killed run on this machine had left its lock here."""
        return self.lock is not None and self.lock.met_interrupted

    def ensure_allowed(self, usage: Sums, what: str) -> None:
        """Raise BudgetError if --budget-month does not allow what a command is about to ask for."""
        if self.bill is not None:
            self.bill.ensure_allowed(usage, what)

    def ensure_locked(self) -> None:
        """Raise LockedError if the lock was lost; call it before anything becomes visible or is removed."""
        if self.lock is not None:
            self.lock.ensure_held()


def find_location(settings: Settings) -> Location:
    """Return the location of the repository; raise UsageError if there is none."""
    if settings.repo and settings.repository_file:
        raise UsageError("Options -r and --repository-file are mutually exclusive, please specify only one")
    text = settings.repo
    if settings.repository_file:
        text = read_file(settings.repository_file)
    if not text:
        raise UsageError(
            "Please specify repository location (-r or --repository-file)",
            hint="You can also set RESTIC_REPOSITORY or RESTIC_REPOSITORY_FILE.",
        )
    return parse_location(text)


def repository_options(settings: Settings) -> RepositoryOptions:
    """Return the write settings; raise UsageError for a pack size that restic rejects."""
    pack_length = settings.pack_size << 20 or DEFAULT_PACK_LENGTH
    if pack_length > MAX_PACK_LENGTH:
        raise UsageError(f"pack size larger than limit of {MAX_PACK_LENGTH >> 20} MiB")
    if pack_length < MIN_PACK_LENGTH:
        raise UsageError(f"pack size smaller than minimum of {MIN_PACK_LENGTH >> 20} MiB")
    return RepositoryOptions(Compression(settings.compression), pack_length, settings.no_extra_verify)


def open_place(settings: Settings, terminal: Terminal) -> Backends:
    """Return the backend of the location, limited and with retries; nothing is connected yet."""
    location = find_location(settings)
    place = reach(location, settings.options, make_access(settings), lambda text: terminal.note(text, 0))
    for sentence in describe_unknown_options(settings.options):
        terminal.note_once(sentence, 0)
    return place


def make_backend(settings: Settings, terminal: Terminal) -> RetryBackend:
    """Return the backend of the location, limited and with retries; nothing is connected yet."""
    return open_place(settings, terminal).retry


@contextlib.contextmanager
def opened_place(settings: Settings, terminal: Terminal) -> Iterator[Backends]:
    """Yield the backend of the repository, without opening it."""
    place = open_place(settings, terminal)
    bill = open_bill(settings, terminal, place.retry)
    try:
        with when_interrupted(place.retry.stop_retrying):
            yield place
    finally:
        place.backend.close()
        if bill is not None:
            bill.close()


def open_bill(settings: Settings, terminal: Terminal, backend: RetryBackend) -> "Bill | None":
    """Return the usage report of this run, None if nothing is billed."""
    if backend.ledger is None:
        return None
    from pyrestic.cli.billing import Bill

    return Bill(settings, terminal, backend.ledger, str(find_location(settings)))


def make_access(settings: Settings) -> Access:
    """Return credentials, HTTP settings and limits for a backend.

    Raises UsageError for a file without certificates, even if the backend does not need it, as restic does.
    """
    if settings.cacert or settings.tls_client_cert:
        from pyrestic.cli.certificates import check_certificates

        check_certificates(settings.cacert, settings.tls_client_cert)
    return Access(
        environment=settings.environment,
        http=HttpSettings(
            ca_files=settings.cacert,
            client_certificate=settings.tls_client_cert,
            insecure_tls=settings.insecure_tls,
            user_agent=settings.http_user_agent,
            stall_seconds=settings.stuck_request_timeout_seconds,
            proxies=read_proxies(settings.environment),
        ),
        upload=TokenBucket(settings.limit_upload * 1024) if settings.limit_upload else None,
        download=TokenBucket(settings.limit_download * 1024) if settings.limit_download else None,
    )


@contextlib.contextmanager
def found_engines(settings: Settings) -> Iterator[Engines]:
    """Yield compiled code for a with block, in which a signal also ends the background compiler."""
    engines = find_engines(code_folder(settings), keep=not settings.no_cache)
    with when_interrupted(engines.stop_compiling), when_forced(engines.stop_compiling):
        yield engines


def open_repository(
    settings: Settings,
    terminal: Terminal,
    backend: RetryBackend,
    engines: Engines,
    *,
    dry_run: bool = False,
    cache_base: str | None = None,
    name: str = _THE_ONE,
    overlap: Overlap[Any] | None = None,
) -> Repository:
    """Open the repository with the password that was given or prompted for; raise PyresticError.

    `cache_base` overrides the location of the cache, "" for none; `name` describes the repository in the prompt.
    """
    options = repository_options(settings)
    base, failure = _choose_cache(settings, cache_base)
    cache = CacheOptions(base, look_for_old=terminal.is_terminal, remove_old=settings.cleanup_cache)
    opening = Opening(backend, options, cache, engines, terminal, key_hint=settings.key_hint, dry_run=dry_run)
    given = passwords.find_password(settings)
    passwords.warn_of_other_writers(settings, terminal)
    if given is None:
        _check_exists(settings, backend)
    tries = passwords.TRIES if given is None and passwords.on_terminal() else 1
    for attempt in range(tries):
        try:
            password = given
            if password is None:
                prompt = f"enter password for {name}: "
                password = passwords.ask(prompt, settings.password_names, name, settings.password_file)
            with terminal.waiting("opening the repository"):
                repository = opening.open(password, overlap or Overlap())
        except NoRepositoryError as error:
            raise _no_repository(settings, error) from error
        except (WrongPasswordError, passwords.EmptyPasswordError) as error:
            if attempt == tries - 1:
                if name != _THE_ONE and not error.hint:
                    # With two of them it is unclear whose password it was.
                    error.hint = passwords.describe_sources(settings.password_names, name)
                raise
            terminal.complain(f"{error}. Try again")
            continue
        if not backend.read_only:
            _tell_cache(terminal, base, opening.cache, failure or opening.cache.failure)
        if terminal.is_terminal:
            config = repository.config
            level = f", compression level {options.compression}" if config.version >= 2 else ""
            terminal.note(f"repository {config.id[:8]} opened (version {config.version}{level})")
        return repository
    raise AssertionError("the last attempt returns or raises")


def _choose_cache(settings: Settings, base: str | None) -> tuple[str, PyresticError | None]:
    """Return the cache folder, "" for none, and the reason why there is none; `base` is as in open_repository."""
    if settings.no_cache:
        return "", None
    try:
        return settings.cache_dir or find_default_base(settings.environment) if base is None else base, None
    except UsageError as error:
        return "", error


def _tell_cache(terminal: Terminal, base: str, cache: CacheUse, failure: PyresticError | None) -> None:
    if cache.created and terminal.is_terminal:
        terminal.note(f"created new cache in {base}")
    if cache.old and terminal.is_terminal:
        terminal.note(f"found {cache.old} old cache directories in {base}, run with --cleanup-cache to remove them")
    # Folders that others could have written to are reported once for all.
    if failure is not None and not isinstance(failure, UntrustedError):
        terminal.note(f"unable to open cache: {failure}", 0)


def _check_exists(settings: Settings, backend: RetryBackend) -> None:
    """Raise NoRepositoryError before the user types a password for nothing."""
    try:
        backend.stat(CONFIG)
    except NotFoundError as error:
        raise _no_repository(settings, error) from error


def _no_repository(settings: Settings, error: PyresticError) -> NoRepositoryError:
    return NoRepositoryError(
        f"repository does not exist: unable to open config file: {_reason(error)}",
        "Is there a repository at the following location?",
        str(find_location(settings)),
    )


def _reason(error: PyresticError) -> PyresticError:
    return error.__cause__ if isinstance(error.__cause__, PyresticError) else error


@contextlib.contextmanager
def opened(
    settings: Settings,
    terminal: Terminal,
    mode: LockMode,
    *,
    load_index: bool = False,
    dry_run: bool = False,
    cache_base: str | None = None,
    name: str = _THE_ONE,
    overlap: Overlap[Any] | None = None,
) -> Iterator[Session]:
    """Open and lock the repository for the time of a with block; raise PyresticError. --no-lock concerns readers.

    `name` is as in open_repository, `overlap` has what is done and read while something is waited for. A lock that is
    lost interrupts the block, and ends the program.
    """
    backend = make_backend(settings, terminal)
    mode = mode.settle(past=backend.read_only, lock_readers=not settings.no_lock)
    tell_distrusted(settings, terminal)
    bill = open_bill(settings, terminal, backend)
    overlap = overlap or Overlap()
    overlap.loads_index, overlap.waits_for_lock = load_index, mode is not LockMode.NONE
    try:
        with when_interrupted(backend.stop_retrying), found_engines(settings) as engines:
            repository = open_repository(
                settings,
                terminal,
                backend,
                engines,
                dry_run=dry_run,
                cache_base=cache_base,
                name=name,
                overlap=overlap,
            )
            # Removals must not depend on a copy.
            overlap.opened(repository, terminal, anew=mode is LockMode.EXCLUSIVE)
            with (
                contextlib.closing(repository),
                _watched(settings, terminal, repository, dry_run=dry_run, past=backend.read_only),
                _locked(settings, terminal, repository, mode, overlap) as held,
            ):
                overlap.use_index(repository)
                yield Session(repository, held, backend.read_only, bill)
    except OSError as error:
        if error.filename is None:
            raise
        raise PyresticError(f"{os.fsdecode(error.filename)}: {error.strerror}") from error
    finally:
        if bill is not None:
            bill.close()


@contextlib.contextmanager
def _watched(
    settings: Settings, terminal: Terminal, repository: Repository, *, dry_run: bool, past: bool
) -> Iterator[None]:
    """Report vanished snapshots, if the block lists them; a past state lacks the later ones."""
    if past:
        yield
        return
    # It is read while the key is derived or a lock waits.
    from pyrestic.cli.snapshot_watch import SnapshotWatch

    watch = SnapshotWatch(settings.environment, terminal, repository)
    repository.snapshot_watches.append(watch.look)
    try:
        yield
    finally:
        watch.close(dry_run=dry_run)


@contextlib.contextmanager
def _locked(
    settings: Settings,
    terminal: Terminal,
    repository: Repository,
    mode: LockMode,
    overlap: Overlap[Any],
) -> Iterator[Lock | None]:
    """Hold the lock during a with block; on a terminal, tell that it is waited for."""
    what = "waiting for the lock and the index" if overlap.reads else "waiting for the lock"
    lock = locked(
        repository,
        terminal,
        mode,
        retry_seconds=settings.retry_lock_seconds,
        overlap=overlap,
        ending=Ending(end_for, when_forced),
    )
    with contextlib.ExitStack() as stack:
        with contextlib.nullcontext() if mode is LockMode.NONE else terminal.waiting(what):
            held = stack.enter_context(lock)
        yield held
