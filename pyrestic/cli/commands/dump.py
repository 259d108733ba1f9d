"""pyrestic dump: a file, or a folder as an archive, to standard output."""

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import arguments, text
from pyrestic.cli.session import Session, opened
from pyrestic.cli.stored_path import find_meant
from pyrestic.errors import LocalFileError, PyresticError, UsageError
from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.ids import parse_id
from pyrestic.operations.dump import dump_file, dump_folder, find_node
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import find_snapshot
from pyrestic.repository.tree_walk import find_tree


class DumpFlags(SnapshotFlags):
    """The flags of dump."""

    archive: str = text("-a", "--archive", value="FORMAT", default="tar", help="tar or zip")
    target: str = text("-t", "--target", value="PATH", help="write to this file")
    arguments: tuple[str, ...] = arguments("ARGUMENTS")


@define("dump", "Write a file of a snapshot, or a folder as an archive, to standard output.", DumpFlags, prints=True)
def command(app: App, flags: DumpFlags) -> None:
    """Write SNAPSHOT's FILE."""
    if len(flags.arguments) != 2:
        raise UsageError("no file and no snapshot ID specified")
    if flags.archive not in ("tar", "zip"):
        raise UsageError(f"unknown archive format {flags.archive!r}")
    name, path = flags.arguments
    wanted = flags.wanted(app.settings.environment)
    with opened(app.settings, app.terminal, LockMode.READ, load_index=True) as session:
        found, folder = find_snapshot(session.repository, name, wanted, app.terminal)
        root = partial(find_tree, session.repository, found.snapshot.tree_id)
        tree = find_meant(session.repository, app.terminal, found, folder, root)
        with _output(flags.target) as output:
            try:
                to_terminal = not flags.target and sys.stdout.isatty()
                find = partial(_find, session, tree)
                thing = find(path) if folder else find_meant(session.repository, app.terminal, found, path, find)
                _dump(session, thing, tree, output, archive=flags.archive, to_terminal=to_terminal)
                output.flush()
            except OSError as error:
                raise LocalFileError(f"cannot dump file: {error.strerror}") from error


def _find(session: Session, tree: bytes, path: str) -> tuple[bytes, Node | None]:
    """Return a location and its node, None for the tree itself; raise UsageError if there is none."""
    location = os.fsencode(path)
    return location, find_node(session.repository, tree, location)


def _dump(
    session: Session,
    thing: tuple[bytes, Node | None],
    tree: bytes,
    output: BinaryIO,
    *,
    archive: str,
    to_terminal: bool,
) -> None:
    location, node = thing
    if node is not None and node.type == FILE:
        dump_file(session.repository, node, output)
        return
    if node is not None and (node.type != DIRECTORY or node.subtree is None):
        raise UsageError(f"{os.fsdecode(location)!r} should be a file, but is a {node.type!r}")
    if to_terminal:
        raise PyresticError("cannot dump file: stdout is the terminal, please redirect output")
    if node is not None and node.subtree is not None:
        tree = parse_id(node.subtree)
    root = b"/" + b"/".join(part for part in location.split(b"/") if part not in (b"", b"."))
    dump_folder(session.repository, tree, root, output, archive)


@contextlib.contextmanager
def _output(target: str) -> Iterator[BinaryIO]:
    if not target:
        yield sys.stdout.buffer
        return
    try:
        file = open(target, "wb")  # noqa: SIM115 - closed below, and errors of opening are ours to word
    except OSError as error:
        raise LocalFileError(f"cannot dump to file {target}: {error.strerror}") from error
    with file:
        yield file
