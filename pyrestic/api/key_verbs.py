"""Key management of an opened repository; each key opens it with a password."""

import threading
from dataclasses import dataclass
from datetime import datetime

from pyrestic.api.access import RepositoryAccess
from pyrestic.api.arguments import checked
from pyrestic.api.entry import to_datetime
from pyrestic.errors import UsageError
from pyrestic.format import gojson
from pyrestic.operations.change_keys import add_password, change_password, remove_password
from pyrestic.report import Reporter
from pyrestic.repository.keys import list_keys as load_keys
from pyrestic.repository.locking import LockMode


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

    @checked
    def list_keys(self, *, report: Reporter | None = None, cancel: threading.Event | None = None) -> list[Key]:
        """Return all keys; unreadable ones go to the reporter. Raises LockedError, BackendError, CancelledError."""
        with self._working(LockMode.READ, report, cancel) as work:
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
    def add_key(
        self,
        new_password: str,
        *,
        host: str = "",
        user: str = "",
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> str:
        """Add a key that opens the repository with a further password, and return its ID.

        Raises UsageError for an empty password, LockedError, BackendError, CancelledError.
        """
        _refuse_empty(new_password)
        with self._working(LockMode.APPEND, report, cancel) as work:
            return add_password(work.repository, new_password, hostname=host, username=user).hex()

    @checked
    def change_password(
        self,
        new_password: str,
        *,
        host: str = "",
        user: str = "",
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> str:
        """Add a key with another password, remove the current one, and return the new ID; with an exclusive lock.

        Raises as `add_key` does.
        """
        _refuse_empty(new_password)
        with self._working(LockMode.EXCLUSIVE, report, cancel) as work:
            new = change_password(work.repository, new_password, work.ensure_locked, hostname=host, username=user)
            self._repository.key_id = new
        return new.hex()

    @checked
    def remove_key(self, key: str, *, report: Reporter | None = None, cancel: threading.Event | None = None) -> None:
        """Remove a key by its ID or a prefix, except for the current one; with an exclusive lock.

        Raises UsageError, NotFoundError, LockedError, BackendError, CancelledError.
        """
        with self._working(LockMode.EXCLUSIVE, report, cancel) as work:
            remove_password(work.repository, key, work.ensure_locked)


def _refuse_empty(password: str) -> None:
    if not password:
        raise UsageError("an empty password is not allowed")
