"""pyrestic list: the IDs of everything of one kind."""

import click

from pyrestic.cli.command import App, define
from pyrestic.cli.session import LockMode, opened
from pyrestic.errors import UsageError
from pyrestic.handle import FileType

_KINDS = {
    "packs": FileType.PACK,
    "index": FileType.INDEX,
    "snapshots": FileType.SNAPSHOT,
    "keys": FileType.KEY,
    "locks": FileType.LOCK,
}


@define("list", "List the IDs of blobs, packs, index, snapshots, keys or locks.")
@click.argument("kind", nargs=-1)
def command(app: App, kind: tuple[str, ...]) -> None:
    """Print an ID per line; for blobs their type, too."""
    if len(kind) != 1:
        raise UsageError("type not specified: give one of blobs, packs, index, snapshots, keys, locks")
    if kind[0] != "blobs" and kind[0] not in _KINDS:
        raise UsageError(f"invalid type {kind[0]!r}")
    mode = LockMode.NONE if kind[0] == "locks" else LockMode.READ
    with opened(app.settings, app.terminal, mode, load_index=kind[0] == "blobs") as session:
        repository = session.repository
        if kind[0] == "blobs":
            for blob in repository.index.blobs():
                app.terminal.print(f"{blob.type.word} {blob.id.hex()}")
            return
        for identifier in repository.list_ids(_KINDS[kind[0]]):
            app.terminal.print(identifier.hex())
