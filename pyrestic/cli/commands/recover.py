"""pyrestic recover: make a snapshot of all unreferenced folders."""

import time

from pyrestic.cli.command import App, define
from pyrestic.cli.session import opened
from pyrestic.ids import ID, short
from pyrestic.localfs.identity import current_identity
from pyrestic.operations.recover import Maker, find_roots, save_recovered
from pyrestic.repository.locking import LockMode


@define("recover", "Make a snapshot of unreferenced folders.", any_arguments=True)
def command(app: App) -> None:
    """Find them, and save the snapshot if there are any."""
    terminal = app.terminal
    with opened(app.settings, terminal, LockMode.EXCLUSIVE) as session:
        roots = find_roots(session.repository, terminal, session.ensure_locked)
        _say(app, "")
        _say(app, f"found {len(roots)} unreferenced roots")
        saved = None
        if roots:
            maker = Maker(*current_identity())
            saved = save_recovered(session.repository, roots, maker, time.time_ns(), session.ensure_locked)
            _say(app, f"saved new snapshot {short(saved)}")
        else:
            terminal.note("no snapshot to write.")
    if app.settings.json:
        terminal.print_json(_summary(roots, saved))


def _say(app: App, text: str) -> None:
    """Print a message even with --quiet."""
    if not app.settings.json:
        app.terminal.print(text)


def _summary(roots: list[ID], saved: ID | None) -> dict[str, object]:
    return {
        "message_type": "summary",
        "roots": [root.hex() for root in roots],
        "snapshot_id": saved.hex() if saved is not None else None,
    }
