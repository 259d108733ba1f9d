"""pyrestic repair: repair the index, packs and snapshots."""

from pyrestic.cli.command import App, Group, define
from pyrestic.cli.filters import StrictSnapshotFlags
from pyrestic.cli.flag_fields import Flags, arguments, switch
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.replacing import replace_summary, snapshots_in_order
from pyrestic.cli.session import opened
from pyrestic.cli.terminal import exit_error
from pyrestic.ids import ID
from pyrestic.operations.repair_index import repair_index
from pyrestic.operations.repair_packs import keep_pack, parse_packs, repair_packs
from pyrestic.operations.repair_snapshots import TAG, repair_named
from pyrestic.operations.replace_snapshot import ReplaceOptions
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import StoredSnapshot

_LOSSES = 3
"""Exit code of a repair that finished, but lost data."""


class RepairIndexFlags(Flags):
    """The flags of repair index and of rebuild-index."""

    read_all_packs: bool = switch("--read-all-packs", help="rebuild the index only from the packs")


class _PacksFlags(Flags):
    pack_id: tuple[str, ...] = arguments("PACK_ID")


class _SnapshotsFlags(StrictSnapshotFlags):
    dry_run: bool = switch("-n", "--dry-run", help="only print what would be done")
    forget: bool = switch("--forget", help="remove the damaged snapshots after saving the new ones")
    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("index", "Rebuild the index.", RepairIndexFlags, any_arguments=True)
def index_command(app: App, flags: RepairIndexFlags) -> int | None:
    """Rebuild the index from the packs; 3 if packs are missing or damaged."""
    return run_repair_index(app, flags)


def run_repair_index(app: App, flags: RepairIndexFlags) -> int | None:
    """Repair the index, print the result, and return the exit code."""
    with opened(app.settings, app.terminal, LockMode.EXCLUSIVE) as session:
        found = repair_index(
            session.repository, app.terminal, session.ensure_locked, read_all_packs=flags.read_all_packs
        )
    app.terminal.note("done")
    if app.settings.json:
        app.terminal.print_json(
            {
                "message_type": "summary",
                "invalid_index_files": _hex(found.invalid_index_files),
                "added_packs": _hex(found.added),
                "resized_packs": _hex(found.resized),
                "missing_packs": _hex(found.missing),
                "unreadable_packs": _hex(found.unreadable),
                "kept_packs": _hex(found.kept),
            }
        )
    dropped = len(found.missing) + len(found.unreadable)
    if dropped:
        return _end_with_losses(app, f"{_packs(dropped)} missing or damaged and no longer in the index")
    if found.kept:
        return _end_with_losses(app, f"{_packs(len(found.kept))} damaged; `check --read-data` shows how badly")
    return None


def _packs(count: int) -> str:
    return f"{count} packs are" if count > 1 else "1 pack is"


def _end_with_losses(app: App, what: str) -> int:
    """Report the lost data of the repair, and return its exit code."""
    exit_error(_LOSSES, f"Warning: {what}", as_json=app.settings.json)
    return _LOSSES


def _hex(identifiers: list[ID]) -> list[str]:
    return sorted(identifier.hex() for identifier in identifiers)


@define("packs", "Salvage damaged pack files.", _PacksFlags)
def packs_command(app: App, flags: _PacksFlags) -> int | None:
    """Store intact blobs again and remove the packs; copies of the packs are kept in the working directory.

    Exits with 3 if blobs are lost.
    """
    packs = parse_packs(flags.pack_id)
    terminal = app.terminal
    with opened(app.settings, terminal, LockMode.EXCLUSIVE, load_index=True) as session:
        terminal.note("saving backup copies of pack files to current folder")
        for pack in packs:
            keep_pack(session.repository, pack, "", terminal.complain)
        result = repair_packs(session.repository, packs, terminal, session.ensure_locked)
    terminal.complain(
        "", "Use `restic repair snapshots --forget` to remove the corrupted data blobs from all snapshots"
    )
    if app.settings.json:
        terminal.print_json(
            {
                "message_type": "summary",
                "packs": _hex(packs),
                "salvaged_blobs": len(result.saved),
                "lost_blobs": [{"type": blob.type.word, "id": blob.id.hex()} for blob in sorted(result.lost)],
            }
        )
    result.ensure_all_removed()
    return _end_with_losses(app, f"{len(result.lost)} blobs are lost") if result.lost else None


@define("snapshots", "Rewrite damaged snapshots without the lost data.", _SnapshotsFlags)
def snapshots_command(app: App, flags: _SnapshotsFlags) -> int | None:
    """Repair the damaged snapshots; 3 if they lost data."""
    terminal, wanted, dry_run = app.terminal, flags.wanted(app.settings.environment), flags.dry_run
    options = ReplaceOptions(TAG, dry_run=dry_run, forget=flags.forget)
    mode = LockMode.NONE if dry_run else LockMode.EXCLUSIVE
    with opened(app.settings, terminal, mode, load_index=True, dry_run=dry_run) as session:
        failures = 0

        def choose(names: list[str]) -> list[StoredSnapshot]:
            nonlocal failures
            selected = snapshots_in_order(session.repository, names, wanted, terminal)
            failures = selected.failures
            return selected.snapshots

        result = repair_named(session.repository, flags.snapshot_id, choose, options, terminal, session.ensure_locked)
    if app.settings.json:
        terminal.print_json(
            {**replace_summary(result, dry_run=dry_run), "removed_unreadable": _hex(result.removed_unreadable)}
        )
    if result.losses:
        return _end_with_losses(app, f"{result.losses} files or folders lost what could not be read")
    return end_incomplete(app, failures)


command = Group("repair", "Repair the repository.", index_command, packs_command, snapshots_command)
