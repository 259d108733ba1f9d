"""Key management of an opened repository; each key opens it with a password."""

import time
from dataclasses import dataclass
from datetime import datetime

from pyrestic.api.access import RepositoryAccess, Work
from pyrestic.api.arguments import checked
from pyrestic.api.entry import to_datetime
from pyrestic.errors import UsageError
from pyrestic.format import gojson
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.localfs.identity import current_identity
from pyrestic.localfs.metadata import format_local_time
from pyrestic.repository.keys import add_key, remove_key
from pyrestic.repository.keys import list_keys as load_keys
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import find_id


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a repository; `current` is the one that opened it."""

    id: str
    current: bool
    username: str
    hostname: str
    created: datetime
    """Its creation time in UTC."""


class KeyVerbs(RepositoryAccess):
    """Keys, for OpenRepository."""

    def list_keys(self) -> list[Key]:
        """Return all keys; unreadable ones go to the reporter. Raises LockedError, BackendError."""
        with self._working(LockMode.READ) as work:
            found = load_keys(work.repository.backend, current=work.repository.key_id, report=work.report)
        return [
            Key(
                key.id.hex(),
                key.current,
                key.keyfile.username,
                key.keyfile.hostname,
                to_datetime(gojson.parse_time(key.keyfile.created)),
            )
            for key in found
        ]

    @checked
    def add_key(self, new_password: str, *, host: str = "", user: str = "") -> str:
        """Add a key that opens the repository with a further password, and return its ID.

        Raises UsageError for an empty password, LockedError, BackendError.
        """
        _refuse_empty(new_password)
        with self._working(LockMode.APPEND) as work:
            return _add(work, new_password, host, user).hex()

    @checked
    def change_password(self, new_password: str, *, host: str = "", user: str = "") -> str:
        """Add a key with another password, remove the current one, and return the new ID; with an exclusive lock.

        Raises as `add_key` does.
        """
        _refuse_empty(new_password)
        with self._working(LockMode.EXCLUSIVE) as work:
            new = _add(work, new_password, host, user)
            work.ensure_locked()
            # The new key has been opened once already, so the old one can be removed.
            remove_key(work.repository.backend, work.repository.key_id, current=new)
            self._repository.key_id = new
        return new.hex()

    @checked
    def remove_key(self, key: str) -> None:
        """Remove a key by its ID or a prefix, except for the current one; with an exclusive lock.

        Raises UsageError, NotFoundError, LockedError, BackendError.
        """
        with self._working(LockMode.EXCLUSIVE) as work:
            identifier = find_id(work.repository, FileType.KEY, key)
            work.ensure_locked()
            remove_key(work.repository.backend, identifier, current=work.repository.key_id)


def _refuse_empty(password: str) -> None:
    if not password:
        raise UsageError("an empty password is not allowed")


def _add(work: Work, password: str, host: str, user: str) -> ID:
    who = current_identity()
    key = add_key(
        work.repository.backend,
        work.repository.key,
        password,
        hostname=host or who.hostname,
        username=user or who.username,
        created=format_local_time(time.time_ns()),
    )
    return key.id
