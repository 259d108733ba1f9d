"""pyrestic import: backups of other programs in, a snapshot for each date out."""

import os

from pyrestic import __version__
from pyrestic.cli.arguments import parse_tags
from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, arguments, optional_text, switch, text, texts
from pyrestic.cli.local_folders import cache_base
from pyrestic.cli.session import opened
from pyrestic.cli.terminal import Fields, Terminal, exit_error
from pyrestic.errors import UsageError
from pyrestic.ids import short
from pyrestic.localfs.dated_trees import LAYOUTS, DatedTree, find_dated_trees
from pyrestic.localfs.metadata import format_local_time
from pyrestic.operations.import_trees import (
    ImportedDate,
    ImportSettings,
    PlannedImport,
    plan_import,
    run_import,
)
from pyrestic.repository.locking import LockMode
from pyrestic.repository.timespec import show_moment
from pyrestic.units import format_bytes

_INCOMPLETE = 3


class ImportFlags(Flags):
    """The flags of import."""

    dry_run: bool = switch("-n", "--dry-run", help="only list the dates that would be imported")
    host: str | None = optional_text(
        "-H", "--host", value="HOST", help="host name of the snapshots (default: that of the backups)"
    )
    layout: str = text(
        "--layout", value="LAYOUT", help="backintime, rsnapshot (hourly.0, daily.1, …) or dated (default: recognized)"
    )
    path: tuple[str, ...] = texts(
        "--path", value="PATH", help="folder that was backed up (default: all that can be recognized)"
    )
    tag: tuple[str, ...] = texts("--tag", value="TAGS", help="tags of the snapshots: tag[,tag…]")
    folder: tuple[str, ...] = arguments("FOLDER", files=True)


@define("import", "Make snapshots of the dated folders of Back In Time, rsnapshot, rsync or cp.", ImportFlags)
def command(app: App, flags: ImportFlags) -> int:
    """Import all dates that the repository does not have; 3 if some file could not be read."""
    trees = _find_trees(flags)
    settings, terminal = app.settings, app.terminal
    how = ImportSettings(
        environment=settings.environment,
        cache_folder=cache_base(settings),
        tags=tuple(tag for tags in parse_tags(flags.tag) for tag in tags if tag),
        program_version=f"pyrestic {__version__}",
    )
    mode = LockMode.NONE if flags.dry_run else LockMode.APPEND
    with opened(settings, terminal, mode, load_index=not flags.dry_run, dry_run=flags.dry_run) as session:
        repository = session.repository
        plans = plan_import(repository, trees, flags.host or settings.environment.get("RESTIC_HOST", ""), terminal)
        output = _Output(terminal)
        for plan in plans:
            if flags.dry_run:
                for planned in plan:
                    output.tell_planned(planned)
                continue
            for done in run_import(repository, plan, how, terminal, lock=session.lock, start=output.begin):
                output.tell_done(done)
    output.finish(dry_run=flags.dry_run)
    if terminal.error_count:
        exit_error(_INCOMPLETE, "Warning: at least one file could not be read", as_json=settings.json)
        return _INCOMPLETE
    return 0


def _find_trees(flags: ImportFlags) -> list[DatedTree]:
    if len(flags.folder) != 1:
        raise UsageError("name the one folder that contains the backups")
    if flags.layout not in ("", *LAYOUTS):
        raise UsageError(f"--layout must be {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}, not {flags.layout!r}")
    for path in flags.path:
        if not path.startswith("/"):
            raise UsageError(f"--path must be absolute, not {path!r}")
    paths = [os.fsencode(os.path.normpath(path)) for path in flags.path]
    trees = find_dated_trees(os.fsencode(flags.folder[0]), flags.layout, paths)
    hosts = sorted({tree.host for tree in trees})
    if flags.host and len(hosts) > 1:
        shown = ", ".join(host or "this one" for host in hosts)
        raise UsageError(f"--host cannot replace several host names: {shown}")
    return [tree._replace(host=flags.host) for tree in trees] if flags.host else trees


class _Output:
    """Prints what is imported."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._counts = {"imported": 0, "existing": 0, "planned": 0}

    def begin(self, planned: PlannedImport) -> None:
        """Tell which date is read, with -v."""
        self._terminal.note(f"import {os.fsdecode(planned.date.folder)}", 2)

    def tell_planned(self, planned: PlannedImport) -> None:
        """Print a date of a dry run."""
        if planned.existing:
            self._tell_existing(planned)
        else:
            self._tell(planned, "planned", "would be imported", {})

    def tell_done(self, done: ImportedDate) -> None:
        """Print a date after its import."""
        if done.result is None or done.result.id is None:
            self._tell_existing(done.planned)
            return
        summary, identifier = done.result.summary, done.result.id
        text = (
            f"snapshot {short(identifier)} saved: {summary.files_new} new, {summary.files_changed} changed,"
            f" {summary.files_unmodified} unmodified files, {format_bytes(summary.data_added)} added"
        )
        fields: Fields = {
            "snapshot_id": identifier.hex(),
            "files_new": summary.files_new,
            "files_changed": summary.files_changed,
            "files_unmodified": summary.files_unmodified,
            "data_added": summary.data_added,
        }
        self._tell(done.planned, "imported", text, fields)

    def finish(self, *, dry_run: bool) -> None:
        """Print the totals."""
        counts = self._counts
        if self._terminal.json:
            self._terminal.print_json({"message_type": "summary", **counts})
            return
        new = f"{counts['planned']} would be imported" if dry_run else f"{counts['imported']} imported"
        total = sum(counts.values())
        self._terminal.note(f"{total} date{'s' * (total != 1)}: {new}, {counts['existing']} exist already")

    def _tell_existing(self, planned: PlannedImport) -> None:
        text = f"exists as snapshot {planned.existing[:8]}"
        self._tell(planned, "existing", text, {"snapshot_id": planned.existing})

    def _tell(self, planned: PlannedImport, action: str, text: str, fields: Fields) -> None:
        self._counts[action] += 1
        terminal, date = self._terminal, planned.date
        if not terminal.json:
            terminal.note(f"{show_moment(date.time_ns)}  {planned.host}  {', '.join(planned.paths)}  {text}")
            return
        common: Fields = {
            "message_type": "import",
            "action": action,
            "time": format_local_time(date.time_ns),
            "hostname": planned.host,
            "paths": planned.paths,
            "folder": os.fsdecode(date.folder),
        }
        terminal.print_json({**common, **fields})
