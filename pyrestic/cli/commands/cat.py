"""pyrestic cat: one object of the repository, as it is stored, decrypted."""

import json
import sys

import click

from pyrestic.cli.command import App, define
from pyrestic.cli.session import LockMode, Session, opened
from pyrestic.errors import PyresticError, UsageError
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import ID, hash_id, parse_id
from pyrestic.repository.snapshots import SnapshotFilter, find_id, find_snapshot
from pyrestic.repository.trees import find_tree

_KINDS = ("masterkey", "config", "pack", "blob", "snapshot", "index", "key", "lock", "tree")
_FILES = {"snapshot": FileType.SNAPSHOT, "index": FileType.INDEX, "lock": FileType.LOCK}


@define(
    "cat", "Print masterkey, config, pack ID, blob ID, snapshot ID, index ID, key ID, lock ID or tree SNAPSHOT:DIR."
)
@click.argument("arguments", nargs=-1)
def command(app: App, arguments: tuple[str, ...]) -> None:
    """Print the object; JSON is indented, packs and blobs come as bytes."""
    kind = _check(arguments)
    name = arguments[1] if len(arguments) > 1 else ""
    with opened(app.settings, app.terminal, LockMode.READ, load_index=kind in ("blob", "tree")) as session:
        if kind in ("pack", "blob", "tree"):
            sys.stdout.buffer.write(_bytes(app, session, kind, name))
            sys.stdout.buffer.flush()
        else:
            document = _document(session, kind, name)
            app.terminal.print(json.dumps(json.loads(document), indent=2, ensure_ascii=False))


def _check(arguments: tuple[str, ...]) -> str:
    if not arguments:
        raise UsageError("type not specified")
    kind = arguments[0]
    if kind not in _KINDS:
        raise UsageError(f"invalid type {kind!r}, must be one of {', '.join(_KINDS)}")
    if kind not in ("masterkey", "config") and len(arguments) != 2:
        raise UsageError("ID not specified")
    return kind


def _document(session: Session, kind: str, name: str) -> bytes:
    repository = session.repository
    if kind == "masterkey":
        return repository.key.to_json()
    if kind == "config":
        return repository.load_config()
    if kind == "key":
        identifier = find_id(repository, FileType.KEY, name)
        return repository.backend.load(Handle(FileType.KEY, identifier.hex()))
    identifier = find_id(repository, FileType.SNAPSHOT, name) if kind == "snapshot" else _parse(name)
    return repository.load_unpacked(_FILES[kind], identifier)


def _bytes(app: App, session: Session, kind: str, name: str) -> bytes:
    repository = session.repository
    if kind == "pack":
        identifier = _parse(name)
        data = repository.backend.load(Handle(FileType.PACK, identifier.hex()))
        if hash_id(data) != identifier:
            app.terminal.complain(
                f"Warning: hash of data does not match ID, want\n  {name}\ngot:\n  {hash_id(data).hex()}"
            )
        return data
    if kind == "blob":
        return _blob(session, _parse(name))
    found, folder = find_snapshot(repository, _without_latest(name), SnapshotFilter(), app.terminal)
    tree = find_tree(repository, found.snapshot.tree_id, folder)
    return repository.load_blob(BlobHandle(BlobType.TREE, tree))


def _blob(session: Session, identifier: ID) -> bytes:
    for blob_type in BlobType:
        handle = BlobHandle(blob_type, identifier)
        if session.repository.index.has(handle):
            return session.repository.load_blob(handle)
    raise PyresticError("blob not found")


def _without_latest(name: str) -> str:
    if name.partition(":")[0] == "latest":
        raise UsageError("cat tree takes the ID of a snapshot, not latest")
    return name


def _parse(name: str) -> ID:
    try:
        return parse_id(name)
    except PyresticError as error:
        raise UsageError(f"unable to parse ID: {error}") from error
