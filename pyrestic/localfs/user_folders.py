"""Locations of pyrestic's files for a user with the given variables: caches, state, settings.

Each function returns a path, "" for none. Opening a folder checks whether its content can be trusted, see
pyrestic.backend.private_folder.
"""

import os
from collections.abc import Mapping


def find_own_folder(environment: Mapping[str, str]) -> str:
    """Return the folder of caches, except for the cache shared with restic."""
    home = environment.get("HOME", "")
    base = environment.get("XDG_CACHE_HOME", "") or (os.path.join(home, ".cache") if home else "")
    return os.path.join(base, "pyrestic") if base.startswith("/") else ""


def find_state_folder(environment: Mapping[str, str]) -> str:
    """Return the folder of state files."""
    return _find(environment, "XDG_STATE_HOME", ".local/state")


def find_config_folder(environment: Mapping[str, str]) -> str:
    """Return the folder of settings."""
    return _find(environment, "XDG_CONFIG_HOME", ".config")


def find_written_folders(environment: Mapping[str, str]) -> list[str]:
    """Return the folders that pyrestic writes to in a run; backing them up would change every snapshot of a home."""
    return [folder for folder in (find_own_folder(environment), find_state_folder(environment)) if folder]


def _find(environment: Mapping[str, str], variable: str, default: str) -> str:
    base = environment.get(variable, "")
    if not base.startswith("/"):
        home = environment.get("HOME", "")
        base = os.path.join(home, default) if home.startswith("/") else ""
    return os.path.join(base, "pyrestic") if base else ""
