"""pyrestic back: restore a file as it was, or what a folder has lost."""

import os
import posixpath
import socket
import time
from collections.abc import Sequence

from pyrestic.cli.back_choice import choose_version, find_differing, find_version_at
from pyrestic.cli.back_folder import FolderLosses
from pyrestic.cli.command import App, define
from pyrestic.cli.commands.history import suggest_path
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import arguments, parsed, switch
from pyrestic.cli.flags import Parsed
from pyrestic.cli.history_index import opened_index
from pyrestic.cli.questions import Questions
from pyrestic.cli.session import Session, opened
from pyrestic.cli.version_diff import show_change_to_file
from pyrestic.errors import DamageError, PyresticError, UsageError
from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.ids import short
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.operations.dump import find_node
from pyrestic.operations.restore_beside import RestoredVersion, beside_name, restore_version
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import StoredSnapshot, load_all_snapshots
from pyrestic.repository.timespec import parse_point, show_moment
from pyrestic.vfs.history import History, Version, age, find_history


class BackFlags(SnapshotFlags):
    """The flags of back."""

    at: int | None = parsed(
        "--at",
        type=Parsed("time", lambda text: parse_point(text.removeprefix("@"), time.time_ns(), end=True)),
        help='the state at TIME, such as "yesterday 14:00", 2w or 2026-03-01',
    )
    deleted: bool = switch("--deleted", help="of a folder: also what older snapshots had, not only the newest")
    in_place: bool = switch("--in-place", help="put the old version in its place, and keep the present one beside it")
    yes: bool = switch("--yes", help="ask nothing")
    paths: tuple[str, ...] = arguments("PATHS")


@define("back", "Restore a file as it was, or what a folder has lost.", BackFlags)
def command(app: App, flags: BackFlags) -> None:
    """Restore a version of each file, and what each folder lacks."""
    if not flags.paths:
        raise UsageError("no path specified")
    if flags.deleted and (flags.in_place or flags.at is not None):
        raise UsageError(f"--deleted and --{'in-place' if flags.in_place else 'at'} are mutually exclusive")
    terminal, wanted = app.terminal, flags.wanted(app.settings.environment)
    with opened(app.settings, terminal, LockMode.READ, load_index=True) as session:
        snapshots = load_all_snapshots(
            session.repository, terminal, what="which versions there are", skip_damaged=wanted.skip_damaged
        )
        snapshots = [one for one in snapshots if wanted.absolute().matches(one.snapshot)]
        with opened_index(app.settings, session) as index:
            missed = 0
            for path in flags.paths:
                try:
                    _Back(app, flags, session, snapshots, index, path).run()
                except UsageError as error:
                    if len(flags.paths) == 1:
                        raise
                    terminal.complain(str(error), *filter(None, [error.hint]))
                    missed += 1
    if missed:
        raise PyresticError(f"nothing was restored of {missed} of {len(flags.paths)} paths")


class _Back:
    """One path."""

    def __init__(
        self,
        app: App,
        flags: BackFlags,
        session: Session,
        snapshots: Sequence[StoredSnapshot],
        index: HistoryIndex | None,
        path: str,
    ) -> None:
        self._app = app
        self._flags = flags
        self._terminal = app.terminal
        self._repository = session.repository
        self._snapshots = list(snapshots)
        self._index = index
        self._path = os.path.abspath(path)
        self._given = path
        self._questions = Questions(yes=flags.yes or app.settings.json)
        self._any_host = not flags.wanted(app.settings.environment).hosts

    def run(self) -> None:
        """Restore it; raise PyresticError."""
        history = self._find_history()
        if not history.versions:
            hint = suggest_path(self._repository, self._snapshots, [self._given])
            raise UsageError(f"no snapshot contains {self._given}", hint=hint)
        newest = history.versions[0] if self._flags.at is None else find_version_at(history, self._flags.at)
        is_folder = newest.node is not None and newest.node.type == DIRECTORY
        if is_folder and os.path.isdir(self._path) and not os.path.islink(self._path) and not self._flags.in_place:
            self._fill_folder(history, newest)
        elif self._flags.deleted:
            raise UsageError(f"--deleted takes folders, and {self._given} is not one, or is gone itself")
        else:
            self._restore_version(history, newest)
        if history.unreadable:
            raise DamageError(f"{history.unreadable} snapshots could not be read there: there may be newer versions")

    def _find_history(self) -> History:
        """Return the history of the path on this host, or on all if this one has none."""
        host = socket.gethostname()
        mine = [one for one in self._snapshots if one.snapshot.hostname == host]
        if self._any_host and mine:
            history = self._find_history_in(mine)
            if history.versions:
                self._snapshots = mine
                return history
        history = self._find_history_in(self._snapshots)
        hosts = sorted({span.line.host for version in history.versions for span in version.spans})
        if history.versions and self._any_host and hosts != [host]:
            self._terminal.complain(f"no snapshot of {host} contains {self._given}: using those of {', '.join(hosts)}")
        return history

    def _find_history_in(self, snapshots: list[StoredSnapshot]) -> History:
        """Return the history of the local path, or of the relative one if a backup of a relative path made it."""
        history = find_history(self._repository, snapshots, os.fsencode(self._path), self._index, self._terminal)
        if history.versions or os.path.isabs(self._given):
            return history
        covering = [one for one in snapshots if any(self._is_below(path) for path in one.snapshot.paths)]
        stored = os.fsencode(os.path.normpath(f"/{self._given}"))
        return find_history(self._repository, covering, stored, self._index, self._terminal)

    def _is_below(self, source: str) -> bool:
        return self._path == source or self._path.startswith(os.path.join(source, ""))

    def _find_node(self, history: History, version: Version) -> tuple[Node, StoredSnapshot]:
        """Return the node of a version in the newest snapshot that has it, and that snapshot: with its permissions."""
        limit = self._flags.at
        for stored in sorted(self._snapshots, key=age, reverse=True):
            moment = stored.snapshot.time_ns
            if limit is not None and moment > limit:
                continue
            if any(
                span.line.host == stored.snapshot.hostname and age(span.first) <= age(stored) <= age(span.last)
                for span in version.spans
            ):
                try:
                    node = find_node(self._repository, stored.snapshot.tree_id, history.location)
                except UsageError:
                    # Another line of the host, with other sources.
                    continue
                if node is not None:
                    return node, stored
        raise UsageError(f"no snapshot contains {self._given}")

    def _restore_version(self, history: History, newest: Version) -> None:
        """Restore one version of a file, or of anything that is gone."""
        if self._flags.at is not None:
            version: Version | None = newest
        else:
            version = find_differing(self._repository, history, self._path)
            if self._questions.asks:
                default = version or newest
                version = choose_version(
                    self._repository, self._terminal, self._questions, history, self._path, default
                )
        if version is None:
            self._tell_unchanged()
            return
        node, stored = self._find_node(history, version)
        there = os.path.lexists(self._path)
        folder = os.path.dirname(self._path)
        if not os.path.isdir(folder):
            raise UsageError(f"{folder} is gone, too", hint=f"`pyrestic back {folder}` restores it.")
        if self._questions.asks:
            if there and node.type == FILE and os.path.isfile(self._path):
                show_change_to_file(self._repository, self._terminal, self._path, (history.location, version))
            if not self._questions.confirm(self._question(version, there=there)):
                self._terminal.note("nothing was restored")
                return
        done = restore_version(
            self._repository,
            node,
            self._path,
            version.state.mtime_ns,
            self._terminal,
            in_place=self._flags.in_place,
            warn=lambda message: self._terminal.complain(f"Warning: {message}"),
        )
        self._tell(version, stored, done)

    def _question(self, version: Version, *, there: bool) -> str:
        when = show_moment(version.state.mtime_ns)
        if not there:
            return f"Restore {self._path} as of {when}?"
        if self._flags.in_place:
            return f"Replace {self._path} with the version of {when}, and keep the present one beside it?"
        folder, name = os.path.split(self._path)
        beside = os.fsdecode(
            beside_name(os.fsencode(name), version.state.mtime_ns, map(os.fsencode, os.listdir(folder)))
        )
        return f'Restore it as "{beside}"?'

    def _tell_unchanged(self) -> None:
        if self._terminal.json:
            self._terminal.print_json({"message_type": "restored_version", "path": self._path, "action": "unchanged"})
        else:
            self._terminal.note(f"{self._path} is as in the newest snapshot, and there is no other version")

    def _tell(self, version: Version, stored: StoredSnapshot, done: RestoredVersion) -> None:
        to, kept = os.fsdecode(done.path), None if done.kept is None else os.fsdecode(done.kept)
        if self._terminal.json:
            self._terminal.print_json(
                {
                    "message_type": "restored_version",
                    "path": self._path,
                    "action": "restored",
                    "to": to,
                    **({} if kept is None else {"kept": kept}),
                    "snapshot_id": stored.id.hex(),
                    "size": version.state.size,
                }
            )
            return
        when = show_moment(version.state.mtime_ns)
        self._terminal.note(f"{to} is the version of {when} (snapshot {short(stored.id)})")
        if kept is not None:
            self._terminal.note(f"what was there is {posixpath.basename(kept)} now")

    def _fill_folder(self, history: History, newest: Version) -> None:
        losses = FolderLosses(
            self._repository, self._terminal, self._snapshots, self._index, history.location, self._path
        )
        losses.look(*self._find_node(history, newest), older=self._flags.deleted)
        losses.show(self._app.settings)
        if losses.count and not self._questions.confirm(f"Restore {losses.described}?"):
            self._terminal.note("nothing was restored")
        elif losses.count:
            losses.restore()
        if losses.unreadable:
            raise DamageError(f"{losses.unreadable} folders or snapshots could not be read, so more may be missing")
