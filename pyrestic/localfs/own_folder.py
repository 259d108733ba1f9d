"""Where pyrestic keeps what it can make again; apart from the cache that it shares with restic."""

import os
from collections.abc import Mapping


def find_own_folder(environment: Mapping[str, str]) -> str:
    """Return the folder in the cache of the user whose variables these are, "" for none."""
    home = environment.get("HOME", "")
    base = environment.get("XDG_CACHE_HOME", "") or (os.path.join(home, ".cache") if home else "")
    return os.path.join(base, "pyrestic") if base.startswith("/") else ""
