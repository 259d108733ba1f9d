"""What a mount needs, and whether this machine has it."""

import os

LIBRARY_USERS = ("pyrestic.mount.filesystem", "pyrestic.mount.server")
"""Modules that cannot be imported without the system's libfuse."""


def why_no_library() -> str:
    """Return why libfuse cannot be used here, "" if it can."""
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        return f"no FUSE library: {error}"
    return ""


def why_no_mount() -> str:
    """Return why nothing can be mounted here, "" if it can."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    return why_no_library()


def importable(modules: list[str]) -> list[str]:
    """Return the modules that can be imported here: an ordinary user may not be able to install libfuse."""
    return [name for name in modules if name not in LIBRARY_USERS] if why_no_library() else modules
