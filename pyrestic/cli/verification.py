"""The verification log of a repository, for the command line."""

from pyrestic.cli.command import App
from pyrestic.cli.session import Session
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.operations.proven import Proven


def open_proven(app: App, session: Session, *, needed: bool = True) -> Proven:
    """Return the log, an empty one for a past state, which says nothing about the present files.

    If the command does not need the log, --quiet suppresses the message that it cannot be written.
    """
    folder = "" if session.past else find_state_folder(app.settings.environment)
    told = needed or app.terminal.verbosity > 0
    return Proven(folder, session.repository.config.id, lambda text: app.terminal.note_once(text, 0) if told else None)


def format_age(seconds: float) -> str:
    """Return an age in words, such as 3 days."""
    for unit, word in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{int(seconds / unit)} {word}"
    return f"{max(0, int(seconds))} seconds"
