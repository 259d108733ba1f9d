"""pyrestic unlock: remove locks."""

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, switch
from pyrestic.cli.leftovers import tell_leftovers
from pyrestic.cli.session import opened
from pyrestic.repository.lock_files import remove_all as remove_all_locks
from pyrestic.repository.lock_files import remove_stale
from pyrestic.repository.locking import LockMode


class UnlockFlags(Flags):
    """The flags of unlock."""

    remove_all: bool = switch("--remove-all", help="remove all locks, even those in use")


@define("unlock", "Remove locks whose process is gone.", UnlockFlags, any_arguments=True)
def command(app: App, flags: UnlockFlags) -> None:
    """Remove stale locks, or all."""
    with opened(app.settings, app.terminal, LockMode.NONE) as session:
        count = (remove_all_locks if flags.remove_all else remove_stale)(session.repository, report=app.terminal)
    if count:
        app.terminal.note(f"successfully removed {count} locks")
    tell_leftovers(app)
