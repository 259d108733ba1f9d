"""The folders above the snapshots: the names from a template, and the links to the latest snapshots.

Templates are restic's: %i and %I short and long ID, %u user, %h host, %t each tag, %T the time in a Go layout. If a
template ends with %T, the folder also gets a link `latest`.
"""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pyrestic.format.gojson import parse_time
from pyrestic.ids import short
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.go_time import format_layout

DEFAULT_TEMPLATES = ("ids/%i", "snapshots/%T", "hosts/%h/%T", "tags/%t/%T")
DEFAULT_TIME_LAYOUT = "2006-01-02T15:04:05Z07:00"
_VERBS = frozenset("iIuhtT")


@dataclass(slots=True)
class NamespaceEntry:
    """A folder above the snapshots, a snapshot, or a link to a snapshot in the same folder."""

    snapshot: StoredSnapshot | None = None
    link: str = ""
    children: "dict[str, NamespaceEntry]" = field(default_factory=dict)


def make_namespace(
    snapshots: Iterable[StoredSnapshot],
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    time_layout: str = DEFAULT_TIME_LAYOUT,
    *,
    links: bool = True,
) -> NamespaceEntry:
    """Return the root folder for snapshots; if names collide, later ones get a number.

    Without `links`, the link to the latest snapshot is that snapshot under another name.
    """
    places: dict[str, NamespaceEntry] = {}
    _enter(places, "")
    for template in templates:
        # These exist even without snapshots.
        if fixed := _fixed_folder(template):
            _enter(places, _clean(f"/{fixed}"))
    latest: dict[str, int] = {}
    for stored in sorted(snapshots, key=lambda stored: (parse_time(stored.snapshot.time), stored.id)):
        moment = parse_time(stored.snapshot.time)
        for template in templates:
            names, time_name = _names(template, time_layout, stored)
            for name in names:
                folder = f"/{name}" if name else ""
                unique = _unique(places, folder, time_name)
                _enter(places, _clean(folder + unique)).snapshot = stored
                if time_name and moment >= latest.get(folder, moment):
                    latest[folder] = moment
                    link = _enter(places, _clean(f"{folder}/latest"))
                    link.snapshot, link.link = stored, unique if links else ""
    return places[""]


def _clean(path: str) -> str:
    """Return a path with one slash before each part; names such as .. do not lead above the root."""
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return "" if clean == "/" else clean


def _enter(places: dict[str, NamespaceEntry], path: str) -> NamespaceEntry:
    """Return the entry at a path, created with all its parents if it is new."""
    place = places.get(path)
    if place is None:
        place = places[path] = NamespaceEntry()
        if path:
            parent, _, name = path.rpartition("/")
            _enter(places, parent).children[name] = place
    return place


def _unique(places: dict[str, NamespaceEntry], folder: str, name: str) -> str:
    number, unique = 0, name
    while _clean(folder + unique) in places:
        number += 1
        unique = f"{name}-{number}"
    return unique


def _names(template: str, time_layout: str, stored: StoredSnapshot) -> tuple[list[str], str]:
    """Return a snapshot's names from a template, and the time if it ends with that, which is then not part of them."""
    snapshot = stored.snapshot
    time_name = format_layout(time_layout, snapshot.time, _zone_name(snapshot.time))
    simple = {
        "i": short(stored.id),
        "I": stored.id.hex(),
        "u": snapshot.username,
        "h": snapshot.hostname,
    }
    tags = snapshot.tags or []
    names = [""]
    time_waits = in_verb = False
    for character in template:
        if time_waits:
            names = [name + time_name for name in names]
            time_waits = False
        if not in_verb:
            if character == "%":
                in_verb = True
            else:
                names = [name + character for name in names]
            continue
        in_verb = False
        if character == "T":
            time_waits = True
        elif character == "t":
            if not tags:
                return [], ""
            # Only one of several tags is made safe for names; a single one may contain slashes.
            fit = tags if len(tags) == 1 else [_tag_name(tag) for tag in tags]
            names = [name + tag for tag in fit for name in names]
        else:
            names = [name + simple.get(character, character) for name in names]
    return names, time_name if time_waits else ""


def _tag_name(tag: str) -> str:
    return {"": "_", ".": "_", "..": "__"}.get(tag, tag.replace("/", "_"))


def _fixed_folder(template: str) -> str:
    """Return the folders of a template before the first one that depends on the snapshot."""
    position = 0
    while (position := template.find("%", position)) >= 0:
        if template[position + 1 : position + 2] in _VERBS:
            return template[: position + 1].rpartition("/")[0]
        position += 2
    return ""


def _zone_name(time: str) -> str:
    """Return the name of the local zone if the time has its offset, "" otherwise."""
    try:
        when = datetime.fromisoformat(time[:19] + (time[19:].lstrip(".0123456789") or "Z"))
        local = when.astimezone()
    except (ValueError, OverflowError):
        return ""
    return local.tzname() or "" if local.utcoffset() == when.utcoffset() else ""
