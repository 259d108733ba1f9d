"""The user and host for keys, locks and snapshots."""

import os
from typing import NamedTuple

from pyrestic.localfs.metadata import user_name


class Identity(NamedTuple):
    """Host and user in restic's form."""

    hostname: str
    username: str
    uid: int
    gid: int


def current_identity() -> Identity:
    """Return this machine's name and the current user."""
    uid = os.getuid()
    return Identity(os.uname().nodename, user_name(uid), uid, os.getgid())
