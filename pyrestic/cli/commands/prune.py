"""pyrestic prune: remove what no snapshot uses."""

from typing import Any

import click

from pyrestic.cli.command import App, define
from pyrestic.cli.prune_run import make_options, prune_flags, run_prune
from pyrestic.cli.session import opened
from pyrestic.errors import UsageError
from pyrestic.operations.removal import ensure_all_removed
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap, import_machinery


@define("prune", "Remove data that no snapshot uses.", any_arguments=True)
@click.option("-n", "--dry-run", is_flag=True, help="only print what would be done")
@prune_flags
@click.option(
    "--unsafe-recover-no-free-space",
    default="",
    help="UNSAFE: for a full disk on which even --max-repack-size 0 failed; takes the repository ID",
)
def command(app: App, unsafe_recover_no_free_space: str, *, dry_run: bool, **flags: Any) -> None:  # noqa: ANN401
    """Print the plan and execute it."""
    options = make_options({**flags, "unsafe_recover_no_free_space": unsafe_recover_no_free_space})
    settings = app.settings
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
