"""pyrestic unlock: remove locks."""

import click

from pyrestic.cli.command import App, define
from pyrestic.cli.leftovers import tell_leftovers
from pyrestic.cli.session import opened
from pyrestic.repository.lock_files import remove_all as remove_all_locks
from pyrestic.repository.lock_files import remove_stale
from pyrestic.repository.locking import LockMode


@define("unlock", "Remove locks whose process is gone.", any_arguments=True)
@click.option("--remove-all", is_flag=True, help="remove all locks, even those in use")
def command(app: App, *, remove_all: bool) -> None:
    """Remove stale locks, or all."""
    with opened(app.settings, app.terminal, LockMode.NONE) as session:
        count = (remove_all_locks if remove_all else remove_stale)(session.repository, report=app.terminal)
    if count:
        app.terminal.note(f"successfully removed {count} locks")
    tell_leftovers(app)
