"""The exit code of a command that finished, but could not use some of the requested snapshots."""

from pyrestic.cli.command import App
from pyrestic.cli.terminal import exit_error

FAILED = 1
UNUSABLE = "Fatal: {} could not be found or read"


def end_incomplete(app: App, failures: int) -> int | None:
    """Return the exit code, None if nothing failed; explain a nonzero code on standard error."""
    if not failures:
        return None
    snapshots = "1 snapshot" if failures == 1 else f"{failures} snapshots"
    exit_error(FAILED, UNUSABLE.format(snapshots), as_json=app.settings.json)
    return FAILED
