"""Names of versions: the file name with the modification time."""

import posixpath
import time
from collections.abc import Iterable
from typing import Final

from pyrestic.format.gojson import SECOND
from pyrestic.vfs.history import History, Version

_MOST_BYTES: Final = 255
"""Maximum length of a name on most file systems."""
_ROOT: Final = b"root"


def name_versions(history: History) -> list[tuple[bytes, Version]]:
    """Return each version with a name such as `notes_2026-03-01_14.30.15.txt`, oldest first.

    Times are in the local zone. If two versions have the same second, the later one gets a number.
    """
    name = posixpath.basename(history.location) or _ROOT
    taken: set[bytes] = set()
    found = []
    for version in reversed(history.versions):
        chosen = dated_name(name, version.state.mtime_ns, taken)
        taken.add(chosen)
        found.append((chosen, version))
    return found


def dated_name(name: bytes, mtime_ns: int, taken: Iterable[bytes] = ()) -> bytes:
    """Return a name with a time in it, and with a number if that is taken."""
    when = time.strftime("%Y-%m-%d_%H.%M.%S", time.localtime(mtime_ns // SECOND))
    stem, extension = posixpath.splitext(name)
    number = 1
    while True:
        rest = f"_{when}{f'_{number}' if number > 1 else ''}".encode() + extension
        chosen = stem[: max(_MOST_BYTES - len(rest), 1)] + rest
        if len(chosen) > _MOST_BYTES:
            # The extension alone is too long to be one.
            stem, extension = name, b""
            continue
        if chosen not in taken:
            return chosen
        number += 1
