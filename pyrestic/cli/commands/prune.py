"""pyrestic prune: remove what no snapshot uses."""

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import switch, text
from pyrestic.cli.prune_run import RepackFlags, make_options, run_prune
from pyrestic.cli.session import opened
from pyrestic.errors import UsageError
from pyrestic.operations.removal import ensure_all_removed
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap, import_machinery


class PruneFlags(RepackFlags):
    """The flags of prune."""

    dry_run: bool = switch("-n", "--dry-run", help="only print what would be done")
    unsafe_recover_no_free_space: str = text(
        "--unsafe-recover-no-free-space",
        value="ID",
        help="UNSAFE: for a full disk on which even --max-repack-size 0 failed; takes the repository ID",
    )


@define("prune", "Remove data that no snapshot uses.", PruneFlags, any_arguments=True)
def command(app: App, flags: PruneFlags) -> None:
    """Print the plan and execute it."""
    options = make_options(flags, recover_space=flags.unsafe_recover_no_free_space)
    settings, dry_run = app.settings, flags.dry_run
    if options.uncompressed and settings.compression == "off":
        raise UsageError("disabled compression and `--repack-uncompressed` are mutually exclusive")
    if settings.no_lock and not dry_run:
        raise UsageError("--no-lock is only applicable in combination with --dry-run for prune command")
    mode = LockMode.NONE if settings.no_lock else LockMode.EXCLUSIVE
    look = Overlap(lambda repository: repository.read_index(app.terminal, anew=True), imports=import_machinery)
    with opened(settings, app.terminal, mode, overlap=look) as session:
        stats, kept = run_prune(app, session, options, dry_run=dry_run, read=look.found)
    if settings.json:
        app.terminal.print_json({"message_type": "summary", "dry_run": dry_run, **stats.fields()})
    ensure_all_removed(kept)
