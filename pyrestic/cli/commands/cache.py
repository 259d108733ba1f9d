"""pyrestic cache: list the cache folders, and remove old ones."""

import time

from pyrestic.backend.wrap.cache_folder import (
    CacheFolderInfo,
    find_default_base,
    list_cache_folders,
    remove_cache_folder,
)
from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, parsed, switch
from pyrestic.cli.flags import NATURAL
from pyrestic.cli.streams import keep_going
from pyrestic.cli.table import format_table
from pyrestic.errors import BackendError, UntrustedError, UsageError
from pyrestic.units import format_bytes

_DAY_SECONDS = 24 * 60 * 60


class CacheFlags(Flags):
    """The flags of cache."""

    cleanup: bool = switch("--cleanup", help="remove old cache folders")
    max_age: int = parsed(
        "--max-age", type=NATURAL, default=30, help="age in days at which a folder is old (default 30)"
    )
    no_size: bool = switch("--no-size", help="do not compute sizes")


@define("cache", "List or clean cache folders.", CacheFlags, prints=True, uses_repository=False)
def command(app: App, flags: CacheFlags) -> None:
    """Print the folders, or remove the old ones."""
    settings = app.settings
    if settings.no_cache:
        raise UsageError("Refusing to do anything, the cache is disabled")
    base = settings.cache_dir or find_default_base(settings.environment)
    cleanup = flags.cleanup or settings.cleanup_cache
    now = time.time()
    try:
        folders = list_cache_folders(base)
    except UntrustedError as error:
        sentence = f"the cache folder {base} is left alone: {error}"
        if cleanup:
            # The requested action was not done.
            raise UntrustedError(sentence) from error
        _tell_left_alone(app, sentence)
        return
    max_age_seconds = float(flags.max_age * _DAY_SECONDS)
    if cleanup:
        keep_going(without_output=True)
        _clean(app, [folder for folder in folders if folder.is_old(now, max_age_seconds)])
        return
    folders.sort(key=lambda folder: folder.used_at_seconds)
    if settings.json:
        app.terminal.print_json([_document(folder, now, max_age_seconds, no_size=flags.no_size) for folder in folders])
        return
    if not folders:
        app.terminal.print(f"no cache dirs found, basedir is {base}")
        return
    columns = ["Repo ID", "Last Used", "Old", *([] if flags.no_size else ["Size"])]
    rows = [_row(folder, now, max_age_seconds, no_size=flags.no_size) for folder in folders]
    for line in format_table(columns, rows):
        app.terminal.print(line)
    app.terminal.print(f"{len(folders)} cache dirs in {base}")


def _tell_left_alone(app: App, sentence: str) -> None:
    """Explain why no folders are listed; as in other commands, an unused cache is no error."""
    if not app.settings.json:
        app.terminal.print(sentence)
        return
    app.terminal.complain(sentence)
    app.terminal.print_json([])


def _clean(app: App, old: list[CacheFolderInfo]) -> None:
    if not old:
        app.terminal.note("no old cache dirs found")
        return
    app.terminal.note(f"remove {len(old)} old cache directories")
    for folder in old:
        try:
            remove_cache_folder(folder)
        except BackendError as error:
            app.terminal.complain(f"unable to remove {folder.path}: {error}")


def _days(folder: CacheFolderInfo, now: float) -> int:
    return max(0, int((now - folder.used_at_seconds) / _DAY_SECONDS))


def _row(folder: CacheFolderInfo, now: float, max_age_seconds: float, *, no_size: bool) -> list[str]:
    name = folder.name if folder.name.startswith("restic-check-cache-") else folder.name[:10]
    row = [name, f"{_days(folder, now)} days ago", "yes" if folder.is_old(now, max_age_seconds) else ""]
    return row if no_size else [*row, f"{format_bytes(folder.length()):>11}"]


def _document(folder: CacheFolderInfo, now: float, max_age_seconds: float, *, no_size: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "name": folder.name,
        "path": folder.path,
        "days_unused": _days(folder, now),
        "old": folder.is_old(now, max_age_seconds),
    }
    return document if no_size else document | {"size": folder.length()}
