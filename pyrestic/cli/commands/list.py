"""pyrestic list: the IDs of all objects of one type."""

import click

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, arguments
from pyrestic.cli.session import opened
from pyrestic.handle import FileType
from pyrestic.repository.locking import LockMode

_KINDS = {
    "packs": FileType.PACK,
    "index": FileType.INDEX,
    "snapshots": FileType.SNAPSHOT,
    "keys": FileType.KEY,
    "locks": FileType.LOCK,
}


class ListFlags(Flags):
    """The arguments of list."""

    kind: tuple[str, ...] = arguments("KIND")


@define("list", "List the IDs of blobs, packs, index, snapshots, keys or locks.", ListFlags, prints=True)
def command(app: App, flags: ListFlags) -> None:
    """Print one ID per line; for blobs their type, too."""
    kind = flags.kind
    if len(kind) != 1:
        raise click.UsageError(f"accepts 1 arg(s), received {len(kind)}")
    if kind[0] != "blobs" and kind[0] not in _KINDS:
        raise click.UsageError(f'invalid argument "{kind[0]}" for "{click.get_current_context().command_path}"')
    mode = LockMode.NONE if kind[0] == "locks" else LockMode.READ
    with opened(app.settings, app.terminal, mode, load_index=kind[0] == "blobs") as session:
        repository = session.repository
        if kind[0] == "blobs":
            for blob in repository.index.blobs():
                app.terminal.print(f"{blob.type.word} {blob.id.hex()}")
            return
        for identifier in repository.list_ids(_KINDS[kind[0]]):
            app.terminal.print(identifier.hex())
