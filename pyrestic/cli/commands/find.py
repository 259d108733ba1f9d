"""pyrestic find: files by patterns, and the uses of blobs, trees and packs."""

from typing import Any

import msgspec

from pyrestic.cli.command import App, define
from pyrestic.cli.commands.ls import format_node
from pyrestic.cli.commands.snapshots import show_time
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import Flags, arguments, switch, text, texts
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.session import Session, opened
from pyrestic.cli.terminal import Terminal, encode_json
from pyrestic.errors import DamageError, FormatError, UsageError
from pyrestic.format.node import Node
from pyrestic.format.printable import is_printable
from pyrestic.handle import BlobType
from pyrestic.ids import ID, ID_LENGTH, parse_id, short
from pyrestic.operations.find import (
    BlobSearch,
    FailedTree,
    Match,
    NodeSearch,
    PatternSearch,
    TimeRange,
    Use,
    find,
    find_pack_blobs,
    locate,
)
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.snapshots import select_snapshots
from pyrestic.repository.timespec import parse_moment
from pyrestic.repository.tree_walk import Visit
from pyrestic.units import format_mode

UNREAD = "{} trees could not be read, so the results may be incomplete"
_TYPE_NAMES = {BlobType.DATA: "data", BlobType.TREE: "tree"}
_OBJECTS = {BlobType.DATA: "blob", BlobType.TREE: "tree"}


class _KindFlags(Flags):
    """The flags for finding the uses of objects."""

    TITLE = "Find uses of objects"
    blob: bool = switch("--blob", help="the patterns are IDs of blobs")
    pack: bool = switch("--pack", help="the patterns are IDs of packs")
    show_pack_id: bool = switch("--show-pack-id", help="also print the pack of each blob or tree")
    tree: bool = switch("--tree", help="the patterns are IDs of trees")


class FindFlags(_KindFlags, SnapshotFlags):
    """The flags of find."""

    human_readable: bool = switch("--human-readable", help="print sizes in KiB, MiB, …")
    ignore_case: bool = switch("-i", "--ignore-case", help="ignore case")
    long: bool = switch("-l", "--long", help="show mode, owner, size and time")
    newest: str = text("-N", "--newest", value="TIME", help="modified at or before TIME")
    oldest: str = text("-O", "--oldest", value="TIME", help="modified at or after TIME")
    reverse: bool = switch("-R", "--reverse", help="oldest snapshot first")
    snapshot: tuple[str, ...] = texts("-s", "--snapshot", value="SNAPSHOT", help="search only this snapshot")
    patterns: tuple[str, ...] = arguments("PATTERNS")


@define(
    "find", "Find files by patterns, or the uses of blobs, trees or packs, in all snapshots.", FindFlags, prints=True
)
def command(app: App, flags: FindFlags) -> int | None:
    """Print the matches, newest snapshot first."""
    if not flags.patterns:
        raise UsageError("wrong number of arguments")
    period = _make_period(flags.oldest, flags.newest)
    if flags.blob + flags.tree + flags.pack > 1:
        raise UsageError("cannot have several ID types")
    wanted = flags.wanted(app.settings.environment)
    look = Overlap(lambda repository: select_snapshots(repository, list(flags.snapshot), wanted, app.terminal))
    with opened(app.settings, app.terminal, LockMode.READ, load_index=True, overlap=look) as session:
        search = _make_search(app, session, flags, period)
        reverse = not flags.reverse
        snapshots = sorted(look.found.snapshots, key=lambda stored: stored.snapshot.time_ns, reverse=reverse)
        printer = _JsonPrinter(app.terminal) if app.settings.json else _TextPrinter(app.terminal, flags)
        unread = 0
        for found in find(session.repository, snapshots, search):
            if isinstance(found, Match):
                printer.match(found)
            elif isinstance(found, Use):
                printer.use(found)
            else:
                printer.unreadable(found)
                unread += 1
        printer.close()
        if flags.show_pack_id and isinstance(search, BlobSearch):
            _show_packs(app, session, search)
    if unread:
        raise DamageError(UNREAD.format(unread))
    return end_incomplete(app, look.found.failures)


def _make_period(oldest: str, newest: str) -> TimeRange:
    period = TimeRange(parse_moment(oldest) if oldest else None, parse_moment(newest) if newest else None)
    if period.oldest_ns is not None and period.newest_ns is not None and period.oldest_ns > period.newest_ns:
        raise UsageError("--oldest must specify a time before --newest")
    return period


def _make_search(app: App, session: Session, flags: FindFlags, period: TimeRange) -> NodeSearch:
    if not (flags.blob or flags.tree or flags.pack):
        return PatternSearch(flags.patterns, period, ignore_case=flags.ignore_case)
    names = [pattern.lower() for pattern in flags.patterns] if flags.ignore_case else list(flags.patterns)
    if flags.pack:
        return find_pack_blobs(session.repository, names, app.terminal)
    return BlobSearch(names if flags.blob else None, names if flags.tree else None)


def _shown(location: bytes) -> str:
    return location.decode("utf-8", "surrogateescape")


class _TextPrinter:
    """Paths below a line that names the snapshot."""

    def __init__(self, terminal: Terminal, flags: FindFlags) -> None:
        self._terminal = terminal
        self._long = flags.long
        self._human = flags.human_readable
        self._snapshot: ID | None = None

    def match(self, found: Match) -> None:
        if found.stored.id != self._snapshot:
            if self._snapshot is not None:
                self._terminal.note("")
            self._snapshot = found.stored.id
            self._terminal.note(
                f"Found matching entries in snapshot {short(found.stored.id)} from {show_time(found.stored)}"
            )
        visit = Visit(found.location, found.node)
        self._terminal.print(format_node(visit, human=self._human) if self._long else _shown(found.location))

    def use(self, found: Use) -> None:
        say = self._terminal.print
        say(f"Found {_OBJECTS[found.type]} {found.id.hex()}")
        if found.parent is not None:
            say(f" ... in file {_shown(found.location)}")
            say(f"     (tree {found.parent.hex()})")
        else:
            say(f" ... path {_shown(found.location)}")
        say(f" ... in snapshot {short(found.stored.id)} ({show_time(found.stored)})")

    def unreadable(self, found: FailedTree) -> None:
        for line in _describe(found):
            self._terminal.print(line)

    def close(self) -> None:
        """Print nothing."""


def _describe(found: FailedTree) -> tuple[str, str]:
    return (
        f"Unable to load tree {found.tree.hex()}",
        f" ... which belongs to snapshot {found.stored.id.hex()}",
    )


class _JsonPrinter:
    """One list, in one line: of snapshots with their matches, or of uses."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._snapshot: ID | None = None
        self._hits = 0
        self._begun = False

    def match(self, found: Match) -> None:
        if found.stored.id != self._snapshot:
            self._end_snapshot(",")
            self._terminal.write_json('{"matches":[' if self._begun else '[{"matches":[')
            self._begun = True
            self._snapshot = found.stored.id
            self._hits = 0
        self._add(_match_json(found))

    def use(self, found: Use) -> None:
        if not self._begun:
            self._terminal.write_json("[")
            self._begun = True
        fields = {"object_type": _OBJECTS[found.type], "id": found.id.hex(), "path": _shown(found.location)}
        if found.parent is not None:
            fields["parent_tree"] = found.parent.hex()
        self._add({**fields, "snapshot": found.stored.id.hex(), "time": found.stored.snapshot.time})

    def unreadable(self, found: FailedTree) -> None:
        for line in _describe(found):
            self._terminal.complain(line)

    def close(self) -> None:
        self._end_snapshot("")
        self._terminal.print("]" if self._begun else "[]")

    def _add(self, value: dict[str, Any]) -> None:
        self._terminal.write_json(("," if self._hits else "") + encode_json(value))
        self._hits += 1

    def _end_snapshot(self, separator: str) -> None:
        if self._snapshot is not None:
            self._terminal.write_json(f'],"hits":{self._hits},"snapshot":"{self._snapshot.hex()}"}}{separator}')


_HIDDEN = ("name", "extended_attributes", "generic_attributes", "device", "content", "subtree", "linktarget_raw")


def _match_json(found: Match) -> dict[str, Any]:
    """Return a node in the form of restic's find --json."""
    node = found.node
    fields = {name: value for name, value in _fields(node).items() if name not in _HIDDEN}
    if node.linktarget_raw is not None:
        fields["linktarget"] = _shown(node.raw_linktarget)
    return {"path": _shown(found.location), "permissions": format_mode(node.mode), **fields}


def _fields(node: Node) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(node)
    return fields


def _show_packs(app: App, session: Session, search: BlobSearch) -> None:
    for blob_type, names in ((BlobType.DATA, search.data), (BlobType.TREE, search.trees)):
        for name in names or ():
            for line in _describe_place(session, blob_type, name):
                app.terminal.print(line)


def _reason(name: str) -> str:
    """Return why an ID is invalid, in the words of Go's library."""
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) != 2 * ID_LENGTH:
        return f'invalid length for ID: "{name}"'
    wrong = next((byte for byte in raw if byte not in b"0123456789abcdefABCDEF"), 0)
    shown = f" '{chr(wrong)}'" if is_printable(wrong) else ""
    return f"invalid ID: encoding/hex: invalid byte: U+{wrong:04X}{shown}"


def _describe_place(session: Session, blob_type: BlobType, name: str) -> list[str]:
    try:
        identifier = parse_id(name.lower())
    except FormatError:
        return [f"Note: cannot find pack for object '{name}', unable to parse ID: {_reason(name)}"]
    place = locate(session.repository, blob_type, identifier)
    kind = _TYPE_NAMES[blob_type]
    if place is None:
        return [f"Object {kind} with type {short(identifier)} not found in the index"]
    lengths = f"offset {place.offset}, length {place.length}, uncompressed length {place.plain_length or 0}"
    return [
        f"Object belongs to pack {place.pack.hex()}",
        f" ... Pack {short(place.pack)}: <Blob ({kind}) {short(place.id)}, {lengths}>",
    ]
