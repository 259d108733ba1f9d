"""Secrets in the key ring of the desktop (Secret Service), one for each profile and kind.

Nobody is asked and nothing is unlocked: a key ring that is locked raises LockedKeyringError at once.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn

from pyrestic.desktop.bus import ABSENT, open_bus, translating
from pyrestic.errors import DesktopError, LockedKeyringError, NoServiceError

_APPLICATION = "pyrestic"
_IS_LOCKED = "org.freedesktop.Secret.Error.IsLocked"


def store_secret(session_bus: str, profile: str, kind: str, secret: str) -> None:
    """Store a secret in the default key ring, in place of an earlier one; raise DesktopError."""
    with _connected(session_bus) as connection:
        from secretstorage import Collection

        label = f"{_APPLICATION}: {kind} of {profile}"
        Collection(connection).create_item(label, _attributes(profile, kind), secret.encode(), replace=True)


def read_secret(session_bus: str, profile: str, kind: str) -> str | None:
    """Return a secret, None if there is none; raise DesktopError."""
    with _connected(session_bus) as connection:
        from secretstorage import Collection, ItemNotFoundException, search_items

        locked = False
        for item in search_items(connection, _attributes(profile, kind)):
            if not item.is_locked():
                secret: bytes = item.get_secret()
                return secret.decode()
            locked = True
        # Some services find nothing in a locked key ring.
        with contextlib.suppress(ItemNotFoundException):
            locked = locked or Collection(connection).is_locked()
        if locked:
            raise LockedKeyringError("the key ring is locked")
    return None


def delete_secret(session_bus: str, profile: str, kind: str) -> bool:
    """Delete a secret and return whether there was one; raise DesktopError."""
    with _connected(session_bus) as connection:
        from secretstorage import search_items

        found = list(search_items(connection, _attributes(profile, kind)))
        for item in found:
            item.delete()
    return bool(found)


def _attributes(profile: str, kind: str) -> dict[str, str]:
    return {"application": _APPLICATION, "profile": profile, "kind": kind}


@contextlib.contextmanager
def _connected(session_bus: str) -> Iterator[Any]:
    """Connect to the bus, and turn what SecretStorage raises into a DesktopError."""
    try:
        import secretstorage
        from jeepney import DBusErrorResponse
    except ImportError as error:
        message = "SecretStorage is not installed"
        raise NoServiceError(message, hint="Install pyrestic with the extra `desktop`.") from error
    with open_bus(session_bus) as bus, translating("the key ring"):
        # It waits for a signal only when it has shown a prompt.
        bus.connection.filter = _refuse_prompt
        try:
            yield bus.connection
        except secretstorage.LockedException as error:
            raise LockedKeyringError("the key ring is locked") from error
        except secretstorage.SecretServiceNotAvailableException as error:
            raise NoServiceError(f"there is no key ring: {error}") from error
        except secretstorage.ItemNotFoundException as error:
            raise DesktopError("there is no default key ring") from error
        except DBusErrorResponse as error:
            if error.name == _IS_LOCKED:
                raise LockedKeyringError("the key ring is locked") from error
            if error.name in ABSENT:
                raise NoServiceError(f"there is no key ring: {error.name}") from error
            raise


def _refuse_prompt(_rule: object) -> NoReturn:
    raise LockedKeyringError("the key ring cannot be used without a person's consent")
