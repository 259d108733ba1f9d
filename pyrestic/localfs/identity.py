"""The user and host for keys, locks and snapshots."""

import os
from typing import NamedTuple

from pyrestic.localfs.metadata import user_name

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


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


def read_boot_id() -> str:
    """Return an ID that changes with each start of this machine, "" if the kernel does not say."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
