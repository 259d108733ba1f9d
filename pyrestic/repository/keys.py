"""The keys of a repository: find the one that a password opens, add, remove and list them.

Each key file contains the master key, sealed with a password (restic design document, "Keys, Encryption and MAC").
Trying one takes half a second, so a repository with many keys names the right one by --key-hint.

The writer of a key file chooses its cost. So cheap keys are tried before expensive ones, all of them share one cost
limit, and after a few seconds a message explains the delay.
"""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from pyrestic.backend.base import Backend
from pyrestic.engines import Engines
from pyrestic.errors import (
    BackendError,
    DamageError,
    HashMismatchError,
    NotFoundError,
    PyresticError,
    UnsupportedError,
    UsageError,
    WrongPasswordError,
)
from pyrestic.format import keyfile as key_format
from pyrestic.format.crypto import MasterKey
from pyrestic.format.keyfile import KeyFile, ScryptParams
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, hash_id, parse_id, short
from pyrestic.report import NullReporter, Reporter
from pyrestic.repository.rereading import read_again

MAX_KEYS = 100
"""Maximum number of key files to read."""
BUDGET_WORK_BYTES = 16 << 30
"""Maximum total cost of all key files, in bytes that scrypt fills: about a minute."""
_LEAST = ScryptParams(1 << 14)
PATIENCE_SECONDS = 5.0
"""Delay before a message explains the wait."""


class OpenedKey(msgspec.Struct, frozen=True):
    """A key that a password opened: its ID, the master key, and the stored file.

    `listed` are the IDs of all key files at the time of the search.
    """

    id: ID
    master: MasterKey
    keyfile: KeyFile
    listed: tuple[ID, ...] = ()


class KeyInfo(msgspec.Struct, frozen=True):
    """A key in a listing; `current` is the one that opened this repository."""

    id: ID
    keyfile: KeyFile
    current: bool


def find_key(
    backend: Backend,
    password: str,
    *,
    hint: str = "",
    max_keys: int = MAX_KEYS,
    report: Reporter | None = None,
    engines: Engines | None = None,
    begun: threading.Event | None = None,
    stopped: threading.Event | None = None,
) -> OpenedKey:
    """Return the first key that the password opens, among at most max_keys.

    The key whose ID starts with `hint` is tried first, others in the order of their cost as far as BUDGET_WORK_BYTES
    goes. Key files that cannot be used are skipped and noted; one whose content has another hash than its name is tried
    when all else failed, as what it seals may still be intact. `begun` is set when the first derivation begins. No
    other key is begun with once `stopped` is set.

    Raises WrongPasswordError if there is no such key; DamageError, UnsupportedError or BackendError if no key file
    could be tried at all.
    """
    search = _Search(
        backend,
        password,
        report or NullReporter(),
        engines or Engines.none(),
        begun or threading.Event(),
        stopped or threading.Event(),
    )
    with search.told_if_long():
        return msgspec.structs.replace(search.run(hint, max_keys), listed=search.listed)


def add_key(
    backend: Backend,
    master: MasterKey,
    password: str,
    *,
    hostname: str,
    username: str,
    created: str,
    params: ScryptParams | None = None,
) -> OpenedKey:
    """Store a new key file that opens `master` with the password; return it as read back from the backend.

    `created` is a time as gojson.format_time writes it; without params they are calibrated. If the new key does not
    open, it is removed again and the error is raised.
    """
    params = params or calibrate()
    data = key_format.create(password, master, hostname=hostname, username=username, created=created, params=params)
    identifier = hash_id(data)
    handle = Handle(FileType.KEY, identifier.hex())
    backend.save(handle, data)
    try:
        return _open_again(backend, identifier, password, master)
    except BaseException:
        _remove_quietly(backend, handle)
        raise


def calibrate(target_ms: int = 500, memory_mb: int = 60) -> ScryptParams:
    """Return the parameters that fill at most memory_mb and take about target_ms on this machine, never less than the
    16 MiB that restic takes as its least. Measures for 0.1 seconds.
    """
    n = _LEAST.n
    while ScryptParams(2 * n).memory_bytes <= memory_mb * 1_000_000:
        n *= 2
    started = time.perf_counter()
    key_format.derive("measured", bytes(key_format.SALT_LENGTH), ScryptParams(n))
    taken_ms = max(1.0, 1000 * (time.perf_counter() - started))
    while taken_ms > target_ms and n > _LEAST.n:
        n, taken_ms = n // 2, taken_ms / 2
    return ScryptParams(n, p=max(1, int(target_ms / taken_ms)))


def remove_key(backend: Backend, identifier: ID, *, current: ID) -> None:
    """Remove a key; raise UsageError if it is the one in use, NotFoundError or BackendError."""
    if identifier == current:
        raise UsageError(
            "refusing to remove key currently used to access repository",
            hint="Open the repository with another key to remove this one.",
        )
    backend.remove(Handle(FileType.KEY, identifier.hex()))


def list_keys(backend: Backend, *, current: ID | None = None, report: Reporter | None = None) -> list[KeyInfo]:
    """Return all keys in order of their IDs; those that cannot be read go to report.error."""
    report = report or NullReporter()
    keys = []
    for identifier in sorted(_list_ids(backend)):
        try:
            keys.append(KeyInfo(identifier, key_format.parse(_load(backend, identifier)), identifier == current))
        except PyresticError as error:
            report.error(f"key {identifier.hex()}", error)
    return keys


def find_damaged_keys(backend: Backend, identifiers: Iterable[ID]) -> list[PyresticError]:
    """Return errors of the key files that differ from what was stored."""
    faults: list[PyresticError] = []
    for identifier in sorted(identifiers):
        try:
            _load(backend, identifier)
        except NotFoundError:
            # Removed since it was listed.
            continue
        except PyresticError as error:
            faults.append(error)
    return faults


class _Candidate(NamedTuple):
    """A key file that can be tried."""

    id: ID
    keyfile: KeyFile
    damaged: bool

    @property
    def order(self) -> tuple[bool, int]:
        """Sort key: what is tried first sorts first."""
        return self.damaged, self.keyfile.params.work_bytes


class _Search:
    """Tries one password on key files, one after the other."""

    def __init__(
        self,
        backend: Backend,
        password: str,
        report: Reporter,
        engines: Engines,
        begun: threading.Event,
        stopped: threading.Event,
    ) -> None:
        self._backend = backend
        self._password = password
        self._report = report
        self._engines = engines
        self._begun = begun
        self._stopped = stopped
        self._failure: PyresticError | None = None
        self._tried = self._work_bytes = self._too_costly = 0
        self._current: _Candidate | None = None
        self.listed: tuple[ID, ...] = ()

    @contextlib.contextmanager
    def told_if_long(self) -> Iterator[None]:
        """Report progress if a with block takes long."""
        timer = threading.Timer(PATIENCE_SECONDS, self._tell)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _tell(self) -> None:
        current = self._current
        if current is not None and not self._stopped.is_set():
            n, r, p = current.keyfile.params
            self._report.note(
                f"still deriving keys from the password: {self._tried} key files tried, key {short(current.id)} asks "
                f"for scrypt with N={n}, r={r}, p={p}",
                0,
            )

    def run(self, hint: str, max_keys: int) -> OpenedKey:
        """Return the key, or raise the error that best explains why there is none."""
        names = list(_list_ids(self._backend))
        self.listed = tuple(names)
        hinted = [identifier for identifier in names if hint and identifier.hex().startswith(hint)]
        candidates = []
        if len(hinted) == 1:
            names.remove(hinted[0])
            first = self._read(hinted[0])
            if first is not None and not first.damaged and (key := self._try(first)) is not None:
                return key
            candidates = [first] if first is not None and first.damaged else []
        candidates += filter(None, map(self._read, names[:max_keys]))
        for candidate in sorted(candidates, key=lambda one: one.order):
            key = self._try(candidate) if self._can_afford(candidate) else None
            if key is not None:
                return key
        raise self._explain(len(names), max_keys)

    def _can_afford(self, candidate: _Candidate) -> bool:
        # A single key may exceed the limit: it is its owner's, unless there are others.
        if self._tried and self._work_bytes + candidate.keyfile.params.work_bytes > BUDGET_WORK_BYTES:
            self._too_costly += 1
            return False
        return not self._stopped.is_set()

    def _read(self, identifier: ID) -> _Candidate | None:
        """Return a key file to try, None if it is unusable."""
        damaged = False
        try:
            data = _load(self._backend, identifier)
        except _DamagedKeyError as error:
            self._skip(identifier, error)
            data, damaged = error.data, True
        except BackendError as error:
            self._skip(identifier, error)
            return None
        try:
            return _Candidate(identifier, key_format.parse(data), damaged)
        except (DamageError, UnsupportedError) as error:
            self._skip(identifier, error)
            return None

    def _try(self, candidate: _Candidate) -> OpenedKey | None:
        self._current = candidate
        self._work_bytes += candidate.keyfile.params.work_bytes
        engine = self._engines.scrypt if candidate.keyfile.params.suits_engine else None
        self._begun.set()
        try:
            master = key_format.unwrap(candidate.keyfile, self._password, engine)
        except WrongPasswordError:
            self._tried += 1
            return None
        except (DamageError, UnsupportedError) as error:
            self._skip(candidate.id, error)
            return None
        if candidate.damaged:
            self._report.note(f"key {candidate.id.hex()} is damaged, but it opens; replace it with a new one", 0)
        return OpenedKey(candidate.id, master, candidate.keyfile)

    def _skip(self, identifier: ID, error: PyresticError) -> None:
        self._failure = self._failure or error
        self._report.note(f"key {identifier.hex()} is not used: {error}", 0)

    def _explain(self, count: int, max_keys: int) -> PyresticError:
        if self._tried == 0 and self._failure is not None:
            return self._failure
        if self._too_costly:
            return WrongPasswordError(
                f"wrong password, or its key is one of {self._too_costly} key files that cost too much to try",
                hint="Name the key to be used with --key-hint.",
            )
        if count > max_keys:
            return WrongPasswordError(
                f"wrong password, or its key is not among the first {max_keys} of {count} that were tried",
                hint="Name the key to be used with --key-hint.",
            )
        hint = f"Some key files could not be used; the first: {self._failure}." if self._failure else ""
        return WrongPasswordError("wrong password or no key found", hint=hint)


class _DamagedKeyError(HashMismatchError):
    """A key file with another hash than its name; `data` is its content."""

    def __init__(self, identifier: ID, data: bytes) -> None:
        super().__init__(f"key file {identifier.hex()} is damaged: its hash does not match its name")
        self.data = data


def _load(backend: Backend, identifier: ID) -> bytes:
    """Return the bytes of a key file; raise HashMismatchError if they are wrong each time, BackendError."""
    handle = Handle(FileType.KEY, identifier.hex())

    def read() -> bytes:
        data = backend.load(handle)
        if hash_id(data) != identifier:
            raise _DamagedKeyError(identifier, data)
        return data

    return read_again(backend, handle, read)


def _list_ids(backend: Backend) -> Iterator[ID]:
    return (parse_id(info.name) for info in backend.list(FileType.KEY))


def _open_again(backend: Backend, identifier: ID, password: str, master: MasterKey) -> OpenedKey:
    keyfile = key_format.parse(_load(backend, identifier))
    if key_format.unwrap(keyfile, password) != master:
        raise PyresticError(f"the new key {short(identifier)} contains a different master key; it was removed")
    return OpenedKey(identifier, master, keyfile, (identifier,))


def _remove_quietly(backend: Backend, handle: Handle) -> None:
    try:
        backend.remove(handle)
    except BackendError:
        # The caller must learn what made the key useless.
        pass
