"""Keys: add a password to a repository, change the one in use, remove one."""

import time
from collections.abc import Callable

from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.localfs.identity import current_identity
from pyrestic.localfs.metadata import format_local_time
from pyrestic.repository.keys import add_key, remove_key
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import find_id


def add_password(repository: Repository, password: str, *, hostname: str = "", username: str = "") -> ID:
    """Store a key for a further password and return its ID; raise as `repository.keys.add_key` does.

    Without names, the key has those of this machine and its user.
    """
    who = current_identity()
    key = add_key(
        repository.backend,
        repository.key,
        password,
        hostname=hostname or who.hostname,
        username=username or who.username,
        created=format_local_time(time.time_ns()),
    )
    return key.id


def change_password(
    repository: Repository,
    password: str,
    ensure_locked: Callable[[], None],
    *,
    hostname: str = "",
    username: str = "",
) -> ID:
    """Replace the key in use by one for another password and return its ID; raise as `add_password` does."""
    new = add_password(repository, password, hostname=hostname, username=username)
    ensure_locked()
    # The new key has been opened once already, so the old one can be removed.
    remove_key(repository.backend, repository.key_id, current=new)
    repository.key_id = new
    return new


def remove_password(repository: Repository, prefix: str, ensure_locked: Callable[[], None]) -> ID:
    """Remove the key whose ID has a prefix and return the ID.

    Raises UsageError if there is none, if there are several, or if it is the one in use; NotFoundError or BackendError.
    """
    identifier = find_id(repository, FileType.KEY, prefix)
    ensure_locked()
    remove_key(repository.backend, identifier, current=repository.key_id)
    return identifier
