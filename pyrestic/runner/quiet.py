"""Tells whether a tick has nothing to do, at the cost of reading two small files.

Every ten minutes a timer starts the program, and nearly always nothing is due, or what is due waits for the charger. So
each run of the runner writes down until when that will be so, and which facts must hold. Little is imported here.
"""

import json
import os
import stat
import time
from collections.abc import Callable, Iterable

from pyrestic.localfs.online import has_default_route
from pyrestic.localfs.power import read_power

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrestic.runner.records import WatchedFile

_MOST_BYTES = 16 << 20
_ABSENT = (-1, -1, -1)
_FILE = "profiles.toml"
_FOLDER = "profiles.d"
BATTERY, OFFLINE, MISSING, UNTIL = "battery", "offline", "missing", "until"
"""The facts: no mains power, no default route, no repository in this folder, a time that has not come."""


def holds(fact: str, argument: str) -> bool:
    """Tell whether a fact holds on this machine."""
    if fact == BATTERY:
        return not read_power().on_mains
    if fact == OFFLINE:
        return not has_default_route()
    if fact == UNTIL:
        return time.time() < float(argument)
    return fact == MISSING and not os.path.exists(os.path.join(argument, "config"))


def is_quiet(state: str, profiles: str, now: float, check: "Callable[[str, str], bool]" = holds) -> bool:
    """Tell whether the state at this path says that nothing has to be done now.

    `profiles` is the folder of the files of profiles: if any of them changed, that is not known. `check` tells whether
    a fact still holds.
    """
    try:
        document = _read(state)
        until, written, watched = document["quiet_until"], document["written"], document["watched"]
        paths = [path for path, *_ in watched]
        expected = [os.path.join(profiles, _FILE), os.path.join(profiles, _FOLDER)]
        # A clock that was set back proves nothing.
        return (
            bool(written <= now < until)
            and paths[:2] == expected
            and all(tuple(facts) == _look(path) for path, *facts in watched)
            and all(check(fact, argument) for fact, argument in document.get("holds", ()))
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _read(path: str) -> "Any":  # noqa: ANN401 - JSON
    """Return the document; raise OSError if others may have written it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        own = status.st_uid == os.geteuid() and stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if not own or status.st_mode & 0o022:
            raise PermissionError(path)
        return json.loads(file.read(_MOST_BYTES) or b"")


def _look(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return _ABSENT
    return status.st_mtime_ns, status.st_size, status.st_ino


def watch_files(files: Iterable[str], folder: str) -> "list[WatchedFile]":
    """Return the files of profiles as they are now, those that could appear included."""
    from pyrestic.runner.records import WatchedFile

    usual = (os.path.join(folder, _FILE), os.path.join(folder, _FOLDER))
    return [WatchedFile(path, *_look(path)) for path in dict.fromkeys((*usual, *files))]
