"""Descriptions of snapshots in messages."""

import time

from pyrestic.format.gojson import parse_time
from pyrestic.repository.snapshots import StoredSnapshot


def describe_snapshot(stored: StoredSnapshot) -> str:
    """Return the description of a snapshot, in restic's words, and whether it is partial."""
    snapshot = stored.snapshot
    partial = " (partial, ended early)" if snapshot.is_partial else ""
    return (
        f"snapshot {stored.id.hex()[:8]} of [{' '.join(snapshot.paths)}] at {go_time(snapshot.time)} "
        f"by {snapshot.username}@{snapshot.hostname}{partial}"
    )


def go_time(text: str) -> str:
    """Return an RFC 3339 time in the form Go prints by default."""
    date, _, rest = text.partition("T")
    if rest.endswith("Z"):
        return f"{date} {rest[:-1]} +0000 UTC"
    clock, offset = rest[:-6], rest[-6:].replace(":", "")
    here = time.localtime(parse_time(text) // 1_000_000_000)
    # Go names the zone only if it is the local one.
    zone = here.tm_zone if time.strftime("%z", here) == offset else offset
    return f"{date} {clock} {offset} {zone}"
