"""Prevents imports from the current directory."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Only under this condition: the search path is not fixed yet.
    from typing import NoReturn


def leave_current_folder() -> None:
    """Remove the current directory from the search path, unless this package itself is in it.

    `python -m` puts that directory first, and an empty or relative entry of PYTHONPATH refers to it as well. The folder
    of a script, which Python also puts first, has no modules of ours.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    trusted = {entry for entry in entries if os.path.isabs(entry)}
    trusted.add(_parent(_parent(_parent(_absolute(__file__)))))
    doubtful = {_absolute(entry) for entry in entries if not os.path.isabs(entry)}
    if sys.path and not sys.flags.safe_path:
        doubtful.add(_absolute(sys.path[0]))
    sys.path[:] = [
        path
        for path in sys.path
        if _absolute(path) in trusted or (os.path.isabs(path) and _absolute(path) not in doubtful)
    ]


def restart_in_utf8() -> "NoReturn":
    """Start the program again, with the same arguments, with UTF-8 for names whatever the locale.

    A running Python cannot change its encoding of names.
    """
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves again


_parent = os.path.dirname


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        # The current directory was removed.
        return path
