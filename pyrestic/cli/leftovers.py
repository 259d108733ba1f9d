"""Reports partly written files that killed programs left in a local repository, and removes the old ones."""

import time

from pyrestic.backend.leftovers import Leftover, list_leftovers, remove_leftover
from pyrestic.backend.location import LOCAL
from pyrestic.cli.command import App
from pyrestic.cli.session import find_location
from pyrestic.errors import BackendError
from pyrestic.units import format_bytes


def tell_leftovers(app: App) -> None:
    """Name the partly written files, if the repository is in a local folder."""
    for leftover in _find(app):
        _tell(app, f"{_describe(leftover)}; prune removes it once it is a day old")


def remove_old_leftovers(app: App, *, dry_run: bool) -> None:
    """Remove those that are older than a day, and name all. A file that cannot be removed only wastes space."""
    now = time.time()
    for leftover in _find(app):
        if not leftover.is_old(now):
            _tell(app, f"{_describe(leftover)}; it is less than a day old and stays")
        elif dry_run:
            _tell(app, f"{_describe(leftover)}; would remove it")
        else:
            try:
                remove_leftover(leftover)
            except BackendError as error:
                app.terminal.complain(str(error))
            else:
                _tell(app, f"{_describe(leftover)}; removed it")


def _find(app: App) -> list[Leftover]:
    location = find_location(app.settings)
    if location.scheme != LOCAL:
        return []
    try:
        return list_leftovers(location.address)
    except BackendError as error:
        app.terminal.complain(str(error))
        return []


def _describe(leftover: Leftover) -> str:
    return f"an interrupted run left {leftover.path} ({format_bytes(leftover.length)})"


def _tell(app: App, text: str) -> None:
    """Print to standard error, because this is not part of the results."""
    if app.terminal.verbosity:
        app.terminal.complain(text)
