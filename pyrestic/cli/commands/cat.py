"""pyrestic cat: one object of the repository, decrypted."""

import sys
from functools import partial

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import default_filter
from pyrestic.cli.flag_fields import Flags, arguments
from pyrestic.cli.session import Session, opened
from pyrestic.cli.stored_path import find_meant
from pyrestic.cli.terminal import indent_json
from pyrestic.errors import PyresticError, UsageError
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import ID, hash_id, parse_id
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import StoredSnapshot, find_snapshot
from pyrestic.repository.tree_walk import find_tree

_KINDS = ("config", "index", "snapshot", "key", "masterkey", "lock", "pack", "blob", "tree")
_FILES = {"snapshot": FileType.SNAPSHOT, "index": FileType.INDEX, "lock": FileType.LOCK}


class CatFlags(Flags):
    """The arguments of cat."""

    arguments: tuple[str, ...] = arguments("ARGUMENTS")


@define(
    "cat",
    "Print masterkey, config, pack ID, blob ID, snapshot ID, index ID, key ID, lock ID or tree SNAPSHOT:DIR.",
    CatFlags,
    prints=True,
)
def command(app: App, flags: CatFlags) -> None:
    """Print the object; JSON is indented, packs and blobs are raw bytes."""
    kind = _check(flags.arguments)
    name = flags.arguments[1] if len(flags.arguments) > 1 else ""
    with opened(app.settings, app.terminal, LockMode.READ, load_index=kind in ("blob", "tree")) as session:
        if kind in ("pack", "blob", "tree"):
            sys.stdout.buffer.write(_bytes(app, session, kind, name))
            sys.stdout.buffer.flush()
        else:
            app.terminal.print(*_text(app, session, kind, name).split("\n"))


def _check(arguments: tuple[str, ...]) -> str:
    if not arguments:
        raise UsageError("type not specified")
    kind = arguments[0]
    if kind not in _KINDS:
        raise UsageError(f'invalid type "{kind}", must be one of [{"|".join(_KINDS)}]')
    if kind not in ("masterkey", "config") and len(arguments) != 2:
        raise UsageError("ID not specified")
    return kind


def _text(app: App, session: Session, kind: str, name: str) -> str:
    document = _document(app, session, kind, name)
    return document.decode("utf-8", "surrogateescape").removesuffix("\n") if kind == "index" else indent_json(document)


def _document(app: App, session: Session, kind: str, name: str) -> bytes:
    repository = session.repository
    if kind == "masterkey":
        return repository.key.to_json()
    if kind == "config":
        return repository.load_config()
    if kind == "key":
        return repository.backend.load(Handle(FileType.KEY, _parse(name).hex()))
    identifier = _find_snapshot(app, session, name)[0].id if kind == "snapshot" else _parse(name)
    return repository.load_unpacked(_FILES[kind], identifier)


def _bytes(app: App, session: Session, kind: str, name: str) -> bytes:
    repository = session.repository
    if kind == "pack":
        identifier = _parse(name)
        data = repository.backend.load(Handle(FileType.PACK, identifier.hex()))
        if hash_id(data) != identifier:
            app.terminal.complain(
                "Warning: hash of data does not match ID, want",
                f"  {name}",
                "got:",
                f"  {hash_id(data).hex()}",
            )
        return data
    if kind == "blob":
        return _blob(session, _parse(name))
    found, folder = _find_snapshot(app, session, name)
    find = partial(find_tree, repository, found.snapshot.tree_id)
    tree = find_meant(repository, app.terminal, found, folder, find)
    return repository.load_blob(BlobHandle(BlobType.TREE, tree))


def _blob(session: Session, identifier: ID) -> bytes:
    for blob_type in BlobType:
        handle = BlobHandle(blob_type, identifier)
        if session.repository.index.has(handle):
            return session.repository.load_blob(handle)
    raise PyresticError("blob not found")


def _find_snapshot(app: App, session: Session, name: str) -> tuple[StoredSnapshot, str]:
    """Return a snapshot and the folder after the colon."""
    wanted = default_filter(app.settings.environment)
    try:
        return find_snapshot(session.repository, name, wanted, app.terminal)
    except UsageError as error:
        raise UsageError(f"could not find snapshot: {error}", hint=error.hint) from error


def _parse(name: str) -> ID:
    try:
        return parse_id(name.lower())
    except PyresticError as error:
        wrong = "invalid ID" if len(name) == 64 else "invalid length for ID"
        raise UsageError(f'unable to parse ID: {wrong}: "{name}"') from error
