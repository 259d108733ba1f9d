"""The stat(2) attributes of the files and folders in a mounted repository."""

import hashlib
import os
import stat
from typing import Any, Final

from pyrestic.format.gojson import parse_time
from pyrestic.format.node import DIRECTORY, SYMLINK, Node
from pyrestic.vfs.view import Entry

BLOCK_BYTES: Final = 512
"""The unit of block counts, whatever the kernel uses."""


def make_attributes(path: str, entry: Entry, *, owner_is_root: bool) -> dict[str, Any]:
    """Return the attributes of the entry at a path, times in nanoseconds; raise FormatError for an invalid time."""
    attributes = _place_attributes(entry) if entry.node is None else _node_attributes(entry.node)
    attributes["st_ino"] = inode_of(path, entry.node)
    if owner_is_root:
        attributes["st_uid"] = attributes["st_gid"] = 0
    return attributes


def inode_of(path: str, node: Node | None) -> int:
    """Return a stable number that is equal for all names of one file."""
    if node is not None and node.type != DIRECTORY and node.links > 1:
        text = f"{node.device_id} {node.inode}".encode()
    else:
        text = os.fsencode(path)
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) | 1


def _place_attributes(entry: Entry) -> dict[str, Any]:
    """Return the attributes of a folder above the snapshots, a link there, or the root of a snapshot."""
    attributes: dict[str, Any] = {"st_uid": os.getuid(), "st_gid": os.getgid()}
    stored = entry.snapshot
    if entry.place is not None and entry.place.link:
        stored = entry.place.snapshot
        attributes |= {"st_mode": stat.S_IFLNK | 0o777, "st_nlink": 1, "st_size": len(os.fsencode(entry.place.link))}
    else:
        attributes |= {"st_mode": stat.S_IFDIR | 0o555, "st_nlink": 2}
    if stored is not None:
        attributes |= dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), parse_time(stored.snapshot.time))
    return attributes


def _node_attributes(node: Node) -> dict[str, Any]:
    return {
        "st_mode": node.st_mode,
        "st_nlink": 2 if node.type == DIRECTORY else max(1, node.links),
        "st_size": len(node.raw_linktarget) if node.type == SYMLINK else node.size,
        "st_blocks": -(-node.size // BLOCK_BYTES),
        "st_rdev": node.device,
        "st_uid": node.uid,
        "st_gid": node.gid,
        "st_atime": node.atime_ns,
        "st_mtime": node.mtime_ns,
        "st_ctime": node.ctime_ns,
    }
