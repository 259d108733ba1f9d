"""A SQLite cache of facts about trees for the next history lookup.

It answers three questions without loading a tree again: the entry of a name in it, the totals of it and the folders
below, and what another tree lacks. The answers belong to the IDs of trees and so never change. The file is a cache: it
is rebuilt if it is missing, damaged, full or in another format version, and errors only cost time. It contains names,
times, sizes and content IDs in the clear, therefore only its owner may read it.
"""

import contextlib
import hashlib
import os
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec

from pyrestic.backend.private_folder import PrivateFolder, open_private
from pyrestic.errors import UntrustedError
from pyrestic.format.node import Node
from pyrestic.ids import ID, ID_LENGTH

_VERSION: Final = 2
_PAGE_BYTES: Final = 4096
_MAX_BYTES: Final = 256 << 20
_AT_ONCE: Final = 500
_BUSY_SECONDS: Final = 2.0
_KEY_LENGTH: Final = 16
_CHECK_LENGTH: Final = 8
_SUMMARY: Final = struct.Struct(">32sQQq")
_TABLES: Final = """
CREATE TABLE found (name BLOB, tree BLOB, key BLOB, PRIMARY KEY (name, tree)) WITHOUT ROWID;
CREATE TABLE nodes (key BLOB PRIMARY KEY, node BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE folders (tree BLOB PRIMARY KEY, summary BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE steps (pair BLOB PRIMARY KEY, step BLOB NOT NULL) WITHOUT ROWID;
"""
_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Node)
_step_encoder: Final = msgspec.msgpack.Encoder()
_NOT_OURS: Final = (ValueError, TypeError, msgspec.MsgspecError, struct.error)

T = TypeVar("T")


def index_path(folder: str, repository_id: str) -> str:
    """Return the path of a repository's history index in pyrestic's own folder, "" if there is no such folder."""
    return os.path.join(folder, "history", f"{repository_id}.sqlite") if folder else ""


class FolderSummary(NamedTuple):
    """Totals of everything below a folder: a digest, the bytes of all files, their number, the newest time.

    The digest covers names, types, sizes, modification times and contents. `newest_ns` is in nanoseconds since 1970, 0
    for an empty folder.
    """

    digest: bytes
    size: int
    files: int
    newest_ns: int


class Removed(NamedTuple):
    """An entry that a later tree of the same folder lacks; `mtime_ns` is in nanoseconds since 1970."""

    name: bytes
    type: str
    size: int
    mtime_ns: int
    tree: ID | None


class Step(NamedTuple):
    """From one tree of a folder to a later one: what is removed; new subfolders; changed ones, before and after."""

    removed: list[Removed]
    added: list[tuple[bytes, ID]]
    changed: list[tuple[bytes, ID, ID]]


_step_decoder: Final = msgspec.msgpack.Decoder(Step)


class HistoryIndex:
    """The file at a path; its opener must close it. Thread-safe; no method raises anything."""

    def __init__(self, path: str, *, max_bytes: int = _MAX_BYTES) -> None:
        self.path = path
        self._name = os.path.basename(path)
        self._max_pages = max(max_bytes // _PAGE_BYTES, 1)
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        try:
            self._database = self._open()
        except sqlite3.OperationalError:
            # Another process has locked it, or the disk fails: another file would not help.
            return
        except (sqlite3.Error, OSError, UntrustedError, *_NOT_OURS):
            # SQLite's message for a damaged file may contain bytes of it that are not text.
            self._begin_anew()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def find(self, name: bytes, trees: Iterable[ID]) -> dict[ID, Node | None]:
        """Return the known entries of a name in those trees; None means that there is none."""

        def read(database: sqlite3.Connection) -> dict[ID, Node | None]:
            nodes: dict[bytes | None, Node | None] = {None: None}
            found: dict[ID, Node | None] = {}
            for part in _parts(trees):
                query = (
                    "SELECT found.tree, found.key, nodes.node FROM found LEFT JOIN nodes USING (key)"  # noqa: S608
                    f" WHERE found.name = ? AND found.tree IN ({_marks(part)})"
                )
                for tree, key, node in database.execute(query, (name, *part)):
                    if key not in nodes:
                        nodes[key] = _decode(key, node)
                    found[tree] = nodes[key]
            return found

        return self._try(read, {})

    def find_names(self, tree: ID, names: Iterable[bytes]) -> dict[bytes, Node | None]:
        """Return the known entries of those names in a tree; None means that there is none."""

        def read(database: sqlite3.Connection) -> dict[bytes, Node | None]:
            found: dict[bytes, Node | None] = {}
            for part in _parts(names):
                query = (
                    "SELECT found.name, found.key, nodes.node FROM found LEFT JOIN nodes USING (key)"  # noqa: S608
                    f" WHERE found.tree = ? AND found.name IN ({_marks(part)})"
                )
                for name, key, node in database.execute(query, (tree, *part)):
                    found[name] = None if key is None else _decode(key, node)
            return found

        return self._try(read, {})

    def add(self, name: bytes, found: Mapping[ID, Node | None]) -> None:
        """Store the entries of a name in some trees."""
        self._add((name, tree, node) for tree, node in found.items())

    def add_names(self, tree: ID, found: Mapping[bytes, Node | None]) -> None:
        """Store the entries of some names in a tree."""
        self._add((name, tree, node) for name, node in found.items())

    def _add(self, entries: Iterable[tuple[bytes, ID, Node | None]]) -> None:
        def write(database: sqlite3.Connection) -> None:
            nodes: dict[bytes, bytes] = {}
            rows = []
            for name, tree, node in entries:
                key = None
                if node is not None:
                    data = _encoder.encode(node)
                    key = _key(data)
                    nodes[key] = data
                rows.append((name, tree, key))
            with database:
                database.executemany("INSERT OR IGNORE INTO nodes VALUES (?, ?)", nodes.items())
                database.executemany("INSERT OR IGNORE INTO found VALUES (?, ?, ?)", rows)

        self._try(write, None)

    def find_folders(self, trees: Iterable[ID]) -> dict[ID, FolderSummary]:
        """Return the known totals of those folders."""

        def read(database: sqlite3.Connection) -> dict[ID, FolderSummary]:
            found: dict[ID, FolderSummary] = {}
            for part in _parts(trees):
                query = f"SELECT tree, summary FROM folders WHERE tree IN ({_marks(part)})"  # noqa: S608 - marks alone
                found |= {tree: _unpack(tree, summary) for tree, summary in database.execute(query, part)}
            return found

        return self._try(read, {})

    def add_folders(self, summaries: Mapping[ID, FolderSummary]) -> None:
        """Store the totals of some folders."""

        def write(database: sqlite3.Connection) -> None:
            rows = [(tree, _pack(tree, summary)) for tree, summary in summaries.items()]
            with database:
                database.executemany("INSERT OR IGNORE INTO folders VALUES (?, ?)", rows)

        self._try(write, None)

    def find_steps(self, pairs: Iterable[tuple[ID, ID]]) -> dict[tuple[ID, ID], Step]:
        """Return the known steps between pairs of trees."""

        def read(database: sqlite3.Connection) -> dict[tuple[ID, ID], Step]:
            keys = {_pair_key(pair): pair for pair in pairs}
            found: dict[tuple[ID, ID], Step] = {}
            for part in _parts(keys):
                query = f"SELECT pair, step FROM steps WHERE pair IN ({_marks(part)})"  # noqa: S608 - marks alone
                found |= {keys[key]: _unpack_step(key, step) for key, step in database.execute(query, part)}
            return found

        return self._try(read, {})

    def add_steps(self, steps: Mapping[tuple[ID, ID], Step]) -> None:
        """Store the steps between pairs of trees."""

        def write(database: sqlite3.Connection) -> None:
            rows = [(key, _pack_step(key, step)) for key, step in ((_pair_key(pair), steps[pair]) for pair in steps)]
            with database:
                database.executemany("INSERT OR IGNORE INTO steps VALUES (?, ?)", rows)

        self._try(write, None)

    def _try(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Run an operation on the file; rebuild a damaged or full one, and stop using it after other errors."""
        with self._lock:
            if self._database is None:
                return otherwise
            try:
                return work(self._database)
            except sqlite3.OperationalError as error:
                self._close()
                # The second is SQLite's message for missing tables.
                if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_ERROR):
                    self._begin_anew()
            except (sqlite3.Error, *_NOT_OURS):
                self._close()
                self._begin_anew()
            return otherwise

    def _open(self) -> sqlite3.Connection:
        """Open the file and create its tables if it is new; raise sqlite3.Error or OSError if it cannot be used."""
        with self._open_folder() as folder:
            # SQLite gives its journal the mode of the file itself.
            descriptor = folder.open_or_create_file(self._name, os.O_RDWR)
            with open(descriptor, "rb") as file:
                status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise PermissionError("the file is not this user's alone")
            self._refuse_other_journal(folder)
            # SQLite opens by name. Nobody else can change the meaning of this path.
            path = os.path.join(folder.path, self._name)
        database = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            if status.st_size == 0:
                self._make_tables(database)
            version = database.execute("PRAGMA user_version").fetchone()
            if version != (_VERSION,):
                raise sqlite3.DatabaseError("another version")
            database.execute(f"PRAGMA max_page_count = {self._max_pages}")
        except BaseException:
            database.close()
            raise
        return database

    def _make_tables(self, database: sqlite3.Connection) -> None:
        with self._alone():
            if database.execute("PRAGMA user_version").fetchone() == (0,):
                database.executescript(
                    f"PRAGMA page_size = {_PAGE_BYTES}; BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;"
                )

    def _begin_anew(self) -> None:
        """Replace the file with an empty one; processes that have it open keep the old one."""
        try:
            with self._alone(), self._open_folder() as folder:
                folder.remove(f"{self._name}-journal")
                folder.remove(self._name)
            self._database = self._open()
        except (sqlite3.Error, OSError, UntrustedError):
            self._database = None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Prevent other processes from creating or replacing the file meanwhile."""
        with self._open_folder() as folder, folder.locked(f"{self._name}.lock"):
            yield

    def _open_folder(self) -> PrivateFolder:
        return open_private(os.path.dirname(self.path), create=True)

    def _refuse_other_journal(self, folder: PrivateFolder) -> None:
        """Raise UntrustedError if there is a journal that another user could have left."""
        try:
            os.close(folder.open_file(f"{self._name}-journal"))
        except FileNotFoundError:
            pass


def _parts(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    every = list(keys)
    return (every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE))


def _marks(values: list[bytes]) -> str:
    return ",".join("?" * len(values))


def _key(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_KEY_LENGTH]


def _decode(key: bytes, data: object) -> Node:
    """Return a stored node; raise ValueError if it is damaged."""
    if not isinstance(data, bytes) or _key(data) != key:
        raise ValueError("a node is damaged")
    return _decoder.decode(data)


def _pack(tree: ID, summary: FolderSummary) -> bytes:
    packed = _SUMMARY.pack(*summary)
    return packed + hashlib.sha256(tree + packed).digest()[:_CHECK_LENGTH]


def _unpack(tree: ID, data: bytes) -> FolderSummary:
    """Return a stored summary; raise ValueError if it is damaged."""
    packed = bytes(data)[:-_CHECK_LENGTH]
    if len(tree) != ID_LENGTH or hashlib.sha256(tree + packed).digest()[:_CHECK_LENGTH] != data[-_CHECK_LENGTH:]:
        raise ValueError("the summary of a folder is damaged")
    return FolderSummary(*_SUMMARY.unpack(packed))


def _pair_key(pair: tuple[ID, ID]) -> bytes:
    return hashlib.sha256(b"".join(pair)).digest()[:_KEY_LENGTH]


def _pack_step(key: bytes, step: Step) -> bytes:
    packed = _step_encoder.encode(step)
    return packed + hashlib.sha256(key + packed).digest()[:_CHECK_LENGTH]


def _unpack_step(key: bytes, data: bytes) -> Step:
    """Return a stored step; raise ValueError if it is damaged."""
    packed = bytes(data)[:-_CHECK_LENGTH]
    if hashlib.sha256(key + packed).digest()[:_CHECK_LENGTH] != data[-_CHECK_LENGTH:]:
        raise ValueError("a step between two trees is damaged")
    return _step_decoder.decode(packed)
