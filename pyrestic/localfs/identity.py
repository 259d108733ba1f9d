"""Who runs the program, and where: what keys, locks and snapshots say of their maker."""

import os
from typing import NamedTuple

from pyrestic.localfs.metadata import user_name


class Identity(NamedTuple):
    """Host and user as restic writes them."""

    hostname: str
    username: str
    uid: int
    gid: int


def current_identity() -> Identity:
    """Return this machine's name and the user who runs the program."""
    uid = os.getuid()
    return Identity(os.uname().nodename, user_name(uid), uid, os.getgid())
