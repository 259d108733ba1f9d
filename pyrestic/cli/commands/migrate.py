"""pyrestic migrate: list or apply repository migrations."""

import os
import shutil
import tempfile
from typing import Any

from pyrestic.cli.command import App, define
from pyrestic.cli.commands.check import Output, read_index, run_steps
from pyrestic.cli.flag_fields import Flags, arguments, switch
from pyrestic.cli.session import Session, opened
from pyrestic.errors import PyresticError
from pyrestic.nearest import suggest
from pyrestic.operations.check import Check
from pyrestic.operations.migrate import MIGRATIONS, Migration
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import SnapshotFilter


class MigrateFlags(Flags):
    """The flags of migrate."""

    force: bool = switch("-f", "--force", help="apply a migration even if it seems to be applied")
    names: tuple[str, ...] = arguments("NAME")


@define("migrate", "List or apply repository migrations.", MigrateFlags)
def command(app: App, flags: MigrateFlags) -> None:
    """Apply the named migrations, or list all."""
    names = flags.names
    # The check runs before a migration, and a cache could hide damage.
    with opened(app.settings, app.terminal, LockMode.EXCLUSIVE, cache_base="" if names else None) as session:
        found = _apply_all(app, session, names, force=flags.force) if names else _list(app, session)
    if app.settings.json:
        app.terminal.print_json({"message_type": "summary", **found})


def _list(app: App, session: Session) -> dict[str, Any]:
    app.terminal.note("available migrations:")
    available = [one for one in MIGRATIONS if not one.refusal(session.repository)]
    for one in available:
        app.terminal.note(f"  {one.name}\t{one.description}")
    if not available:
        app.terminal.note("no migrations found")
    return {"available": [{"name": one.name, "description": one.description} for one in available]}


def _apply_all(app: App, session: Session, names: tuple[str, ...], *, force: bool) -> dict[str, Any]:
    applied = []
    failure: PyresticError | None = None
    for name in names:
        one = next((one for one in MIGRATIONS if one.name == name), None)
        if one is None:
            hint = suggest(name, (known.name for known in MIGRATIONS), "migrations")
            app.terminal.complain(f"unknown migration {name}", *filter(None, [hint]))
            continue
        try:
            if _apply(app, session, one, force=force):
                applied.append(name)
        except _FailedError as error:
            failure = failure or error.cause
    if failure is not None:
        raise failure
    return {"applied": applied}


class _FailedError(PyresticError):
    """A migration failed; others may still be applied."""

    def __init__(self, cause: PyresticError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _apply(app: App, session: Session, one: Migration, *, force: bool) -> bool:
    """Apply a migration unless it refuses; raise _FailedError if that fails, other errors if the check does."""
    terminal, repository = app.terminal, session.repository
    reason = one.refusal(repository)
    if reason and not force:
        terminal.complain(
            f"migration {one.name} cannot be applied: {reason}",
            "If you want to apply this migration anyway, re-run with option --force",
        )
        return False
    if reason:
        terminal.complain(f"check for migration {one.name} failed, continuing anyway")
    terminal.note("checking repository integrity...")
    _check(app, session)
    terminal.note(f"applying migration {one.name}...")
    folder = tempfile.mkdtemp(prefix="restic-migrate-upgrade-repo-v2-")

    def keep(old: bytes) -> str:
        path = os.path.join(folder, "config")
        with open(path, "xb") as file:
            file.write(old)
            file.flush()
            os.fsync(file.fileno())
        return path

    try:
        session.ensure_locked()
        one.apply(repository, keep)
    except PyresticError as error:
        terminal.complain(f"migration {one.name} failed: {error}")
        if not os.listdir(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise _FailedError(error) from error
    shutil.rmtree(folder, ignore_errors=True)
    terminal.note(f"migration {one.name}: success")
    return True


def _check(app: App, session: Session) -> None:
    """Raise DamageError if the repository is damaged."""
    output = Output(app)
    check = Check(session.repository, app.terminal, output.found)
    index = read_index(app, session.repository)
    whole = run_steps(app, session, check, index, SnapshotFilter(), [], None, output)
    output.finish(check, whole=whole)
