"""pyrestic ls: the files of a snapshot."""

import os
import posixpath
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import msgspec

from pyrestic.cli.command import App, define
from pyrestic.cli.commands.snapshots import snapshot_json
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import arguments, parsed, switch
from pyrestic.cli.flags import Parsed
from pyrestic.cli.session import opened
from pyrestic.cli.stored_path import find_meant, local_path
from pyrestic.cli.terminal import Terminal, encode_json
from pyrestic.errors import UsageError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import DIRECTORY, FILE, SYMLINK, Node, mode_from_go
from pyrestic.ids import ID
from pyrestic.operations.describe import describe_snapshot
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot, find_snapshot
from pyrestic.repository.trail import check_depth
from pyrestic.repository.tree_walk import Visit, find_entry, find_tree, walk
from pyrestic.units import format_bytes, format_mode

NOT_THERE = "{} is not in the snapshot"
_SORT: dict[str, Callable[[Visit], Any]] = {
    "size": lambda visit: visit.node.size,
    "time": lambda visit: visit.node.mtime_ns,
    "mtime": lambda visit: visit.node.mtime_ns,
    "atime": lambda visit: visit.node.atime_ns,
    "ctime": lambda visit: visit.node.ctime_ns,
    "extension": lambda visit: _extension(visit.location),
}


def _extension(location: bytes) -> bytes:
    name = posixpath.basename(location)
    return name[name.rindex(b".") :] if b"." in name else b""


class Printer(Protocol):
    """An output format for a snapshot's files."""

    def snapshot(self, stored: StoredSnapshot) -> None:
        """Start."""

    def node(self, visit: Visit, *, on_the_way: bool) -> None:
        """Print a node; `on_the_way` marks folders above the requested ones."""

    def leave(self) -> None:
        """Close the innermost open folder."""

    def close(self) -> None:
        """Finish."""


def _parse_sort(text: str) -> str:
    if text != "name" and text not in _SORT:
        raise UsageError(f'invalid sort mode "{text}", must be one of (name|size|time=mtime|atime|ctime|extension)')
    return text


class LsFlags(SnapshotFlags):
    """The flags of ls."""

    long: bool = switch("-l", "--long", help="show mode, owner, size and time")
    human_readable: bool = switch("--human-readable", help="print sizes in KiB, MiB, …")
    ncdu: bool = switch("--ncdu", help="print the format of ncdu -f -")
    recursive: bool = switch("--recursive", help="also list subfolders of the given folders")
    reverse: bool = switch("--reverse", help="reverse the order")
    sort: str = parsed(
        "-s",
        "--sort",
        type=Parsed("mode", _parse_sort),
        default="name",
        help="name, size, time (mtime), atime, ctime or extension",
    )
    arguments: tuple[str, ...] = arguments("ARGUMENTS")


@define("ls", "List the files of a snapshot.", LsFlags, prints=True)
def command(app: App, flags: LsFlags) -> None:
    """Print the files of a snapshot, or of some of its folders."""
    _check(app, flags)
    name, *named = flags.arguments
    wanted = flags.wanted(app.settings.environment)
    look = Overlap(lambda repository: find_snapshot(repository, name, wanted, app.terminal))
    with opened(app.settings, app.terminal, LockMode.READ, load_index=True, overlap=look) as session:
        stored, folder = look.found
        find = partial(find_tree, session.repository, stored.snapshot.tree_id)
        tree = find_meant(session.repository, app.terminal, stored, folder, find)
        folders = [_stored_folder(session.repository, tree, one) for one in named]
        printer = _make_printer(app, flags)
        shown = msgspec.structs.replace(stored.snapshot, tree=tree.hex())
        printer.snapshot(StoredSnapshot(stored.id, shown))
        within, leading = _chooser(folders)
        missing = set(folders) - {b"/"}

        def enter(location: bytes, _: Node) -> bool:
            return (within(location) and flags.recursive) or leading(location)

        for visit in walk(session.repository, tree, enter=enter, leaving=True):
            missing.discard(visit.location)
            if visit.leaving:
                if within(visit.location) or leading(visit.location):
                    printer.leave()
            elif within(visit.location):
                printer.node(visit, on_the_way=False)
            elif leading(visit.location):
                printer.node(visit, on_the_way=True)
        printer.close()
        for location in sorted(missing):
            _tell_missing(app, session.repository, tree, location)


def _stored_folder(repository: Repository, tree: ID, named: str) -> bytes:
    """Return the location that a path means; raise UsageError for a relative one whose local path is not stored."""
    if not named.startswith("/"):
        local = local_path(named)
        try:
            find_entry(repository, tree, local)
        except UsageError as error:
            raise UsageError("All path filters must be absolute, starting with a forward slash '/'") from error
        named = local
    return posixpath.normpath(os.fsencode(named))


def _tell_missing(app: App, repository: Repository, tree: ID, location: bytes) -> None:
    """Report that the snapshot does not contain a requested path, with the closest name."""
    hint = ""
    try:
        find_entry(repository, tree, location)
    except UsageError as error:
        hint = error.hint
    app.terminal.complain(NOT_THERE.format(_shown(location)), *filter(None, [hint]))


def _check(app: App, flags: LsFlags) -> None:
    if not flags.arguments:
        raise UsageError("no snapshot ID specified, specify snapshot ID or use special ID 'latest'")
    if flags.ncdu and app.settings.json:
        raise UsageError("only either '--json' or '--ncdu' can be specified")
    if flags.ncdu and (flags.sort != "name" or flags.reverse):
        raise UsageError(f"--{'sort' if flags.sort != 'name' else 'reverse'} and --ncdu are mutually exclusive")


Test = Callable[[bytes], bool]


def _chooser(folders: list[bytes]) -> tuple[Test, Test]:
    """Return a function that tells whether a location is in one of the folders, and whether it leads to one."""
    if not folders:
        return lambda _: True, lambda _: True

    def below(folder: bytes, location: bytes) -> bool:
        return folder == b"/" or location == folder or location.startswith(folder + b"/")

    return (
        lambda location: any(below(folder, location) for folder in folders),
        lambda location: any(below(location, folder) for folder in folders),
    )


def _make_printer(app: App, flags: LsFlags) -> Printer:
    printer: Printer
    if app.settings.json:
        printer = JsonPrinter(app.terminal)
    elif flags.ncdu:
        return NcduPrinter(app.terminal)
    else:
        printer = TextPrinter(app.terminal, flags.arguments[1:], long=flags.long, human=flags.human_readable)
    if flags.sort != "name" or flags.reverse:
        return SortedPrinter(printer, _SORT.get(flags.sort), reverse=flags.reverse)
    return printer


def _shown(location: bytes) -> str:
    return location.decode("utf-8", "surrogateescape")


class TextPrinter:
    """Paths, or lines like those of ls -l."""

    def __init__(self, terminal: Terminal, folders: tuple[str, ...], *, long: bool, human: bool) -> None:
        self._terminal = terminal
        self._folders = folders
        self._long = long
        self._human = human

    def snapshot(self, stored: StoredSnapshot) -> None:
        """Print the description of the snapshot."""
        self._terminal.note(f"{describe_snapshot(stored)} filtered by [{' '.join(self._folders)}]:")

    def node(self, visit: Visit, *, on_the_way: bool) -> None:
        """Print a line."""
        if not on_the_way:
            self._terminal.print(format_node(visit, human=self._human) if self._long else _shown(visit.location))

    def leave(self) -> None:
        """Print nothing."""

    def close(self) -> None:
        """Print nothing."""


def format_node(visit: Visit, *, human: bool) -> str:
    """Return a line in the form of restic's ls -l."""
    node = visit.node
    size = format_bytes(node.size) if human else f"{node.size:6}"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(node.mtime_ns // 1_000_000_000))
    target = f" -> {_shown(node.raw_linktarget)}" if node.type == SYMLINK else ""
    return f"{format_mode(node.mode)} {node.uid:5} {node.gid:5} {size} {when} {_shown(visit.location)}{target}"


class JsonPrinter:
    """A line of JSON for the snapshot and for every node."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def snapshot(self, stored: StoredSnapshot) -> None:
        """Print the snapshot."""
        self._terminal.print_json({**snapshot_json(stored), "message_type": "snapshot", "struct_type": "snapshot"})

    def node(self, visit: Visit, *, on_the_way: bool) -> None:
        """Print the node."""
        if not on_the_way:
            self._terminal.print_json(node_json(visit))

    def leave(self) -> None:
        """Print nothing."""

    def close(self) -> None:
        """Print nothing."""


def node_json(visit: Visit) -> dict[str, Any]:
    """Return a node in the form of restic's ls --json."""
    node = visit.node
    fields: dict[str, Any] = {
        "name": _shown(node.raw_name),
        "type": node.type,
        "path": _shown(visit.location),
        "uid": node.uid,
        "gid": node.gid,
    }
    if node.type == FILE:
        fields["size"] = node.size
    if node.mode:
        fields["mode"] = node.mode
    fields |= {
        "permissions": format_mode(node.mode),
        "mtime": node.mtime,
        "atime": node.atime,
        "ctime": node.ctime,
    }
    if node.inode:
        fields["inode"] = node.inode
    return {**fields, "message_type": "node", "struct_type": "node"}


class NcduPrinter:
    """The export format of ncdu, version 1.2."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._parts: list[str] = []
        self._depth = 0

    def snapshot(self, stored: StoredSnapshot) -> None:
        """Open the list."""
        document = snapshot_format.encode(snapshot_format.without_unknown(stored.snapshot)).decode()
        self._line = f'[1, 2, {document}, [{{"name":"/"}}'
        self._depth = 1

    def node(self, visit: Visit, *, on_the_way: bool) -> None:  # noqa: ARG002 - ncdu shows the way, too
        """Add a node; a folder opens a list."""
        indent = "  " * self._depth
        text = encode_json(_ncdu_node(visit))
        self._terminal.print(self._line + ",")
        if visit.node.type == DIRECTORY:
            self._terminal.print(indent + "[")
            self._line = indent + "  " + text
            self._depth += 1
        else:
            self._line = indent + text

    def leave(self) -> None:
        """Close the folder's list."""
        self._depth -= 1
        self._terminal.print(self._line)
        self._line = "  " * self._depth + "]"

    def close(self) -> None:
        """Close the list."""
        self._terminal.print(self._line, "]", "]")


def _ncdu_node(visit: Visit) -> dict[str, Any]:
    node = visit.node
    return {
        "name": _shown(node.raw_name),
        "asize": node.size,
        "dsize": -(-node.size // 512) * 512,
        "dev": node.device_id,
        "ino": node.inode,
        "nlink": node.links,
        "notreg": node.type not in (DIRECTORY, FILE),
        "uid": node.uid,
        "gid": node.gid,
        "mode": mode_from_go(node.mode) & 0o7777,
        "mtime": max(0, node.mtime_ns // 1_000_000_000),
    }


class SortedPrinter:
    """Collects nodes, sorts them and passes them on."""

    def __init__(self, printer: Printer, key: Callable[[Visit], Any] | None, *, reverse: bool) -> None:
        self._printer = printer
        self._key = key
        self._reverse = reverse
        self._visits: list[Visit] = []

    def snapshot(self, stored: StoredSnapshot) -> None:
        """Pass the snapshot on."""
        self._printer.snapshot(stored)

    def node(self, visit: Visit, *, on_the_way: bool) -> None:
        """Keep the node."""
        if not on_the_way:
            if visit.node.type == DIRECTORY:
                # All locations are kept until the end.
                check_depth(visit.location, "sorted")
            self._visits.append(visit)

    def leave(self) -> None:
        """Ignore the end of folders."""

    def close(self) -> None:
        """Sort the nodes and pass them on."""
        for visit in self._sorted():
            self._printer.node(visit, on_the_way=False)
        self._printer.close()

    def _sorted(self) -> Iterator[Visit]:
        key = self._key
        if key is not None:
            self._visits.sort(key=lambda visit: (key(visit), visit.location))
        return reversed(self._visits) if self._reverse else iter(self._visits)
