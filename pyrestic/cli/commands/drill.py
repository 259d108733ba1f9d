"""pyrestic drill: prove that files can be given back."""

import os
import posixpath
import random
import time

import click

from pyrestic.cli.arguments import parse_size
from pyrestic.cli.command import App, define
from pyrestic.cli.filters import snapshot_filter
from pyrestic.cli.flags import INTEGER
from pyrestic.cli.session import LockMode, opened
from pyrestic.cli.terminal import Fields
from pyrestic.cli.verification import Proven, format_age
from pyrestic.errors import DamageError, PyresticError, UsageError
from pyrestic.ids import ID
from pyrestic.localfs.verification_log import Drill
from pyrestic.operations.describe import describe_snapshot
from pyrestic.operations.drill import DrillResult, drill
from pyrestic.operations.drill_choice import CHANGED, LARGEST, RANDOM, Pick, choose_files
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, StoredSnapshot, find_snapshot, read_snapshots
from pyrestic.repository.tree_walk import find_tree
from pyrestic.units import format_bytes

_EARLIER = 10
"""So many snapshots before this one say which files change most."""


@define("drill", "Restore a sample of files in memory, verify them, and compare them with the originals.")
@snapshot_filter
@click.option("--budget", default="64M", help="select files of up to SIZE in total (default 64M)")
@click.option("--seed", type=INTEGER, default=None, help="select the same files as the drill with this seed")
@click.argument("snapshot_id", nargs=-1)
def command(
    app: App,
    wanted: SnapshotFilter,
    budget: str,
    seed: int | None,
    snapshot_id: tuple[str, ...],
) -> None:
    """Drill with the latest snapshot or the named one; raise DamageError if anything is wrong."""
    if len(snapshot_id) > 1:
        raise UsageError(f"more than one snapshot ID specified: {' '.join(snapshot_id)}")
    budget_bytes = parse_size(budget)
    if budget_bytes <= 0:
        raise UsageError(f"drill flag --budget has to be a size above 0 such as 500M or 1G, not {budget!r}")
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    terminal = app.terminal
    started = int(time.time())
    with opened(app.settings, terminal, LockMode.READ, load_index=True) as session:
        repository = session.repository
        found, folder = find_snapshot(repository, (snapshot_id or ("latest",))[0], wanted, terminal)
        terminal.note(f"drill with {describe_snapshot(found)}, seed {seed}")
        unread: list[tuple[bytes, PyresticError]] = []
        picks = choose_files(
            repository,
            find_tree(repository, found.snapshot.tree_id, folder),
            _trees_before(repository, found, folder),
            seed=seed,
            budget_bytes=budget_bytes,
            on_error=lambda location, error: unread.append((location, error)),
        )
        root = posixpath.normpath(os.path.join("/", folder))
        result = drill(repository, picks, terminal, root=os.fsencode(root))
        result.damaged += unread
        proofs = Proven(app, session)
        previous = max((one.seconds for one in proofs.read().drills if one.well), default=None)
        proofs.add_drill(Drill(started, found.id.hex(), result.files, result.length, result.well))
    age = None if previous is None else max(0, started - previous)
    _Output(app, root).tell(found, seed, picks, result, age)


def _trees_before(repository: Repository, found: StoredSnapshot, folder: str) -> list[ID]:
    """Return the trees of the snapshots of the same host and paths before this one, newest first."""
    snapshot = found.snapshot
    before = [
        other.snapshot
        for other in read_snapshots(repository).found
        if (other.snapshot.hostname, other.snapshot.paths) == (snapshot.hostname, snapshot.paths)
        and other.snapshot.time_ns < snapshot.time_ns
    ]
    before.sort(key=lambda other: other.time_ns, reverse=True)
    trees = []
    for other in before[:_EARLIER]:
        try:
            trees.append(find_tree(repository, other.tree_id, folder))
        except PyresticError:
            # The folder was not there yet, or cannot be read: nothing is known of changes then.
            break
    return trees


class _Output:
    """Tells what a drill has shown."""

    def __init__(self, app: App, root: str) -> None:
        self._terminal = app.terminal
        self._root = root

    def _shown(self, location: bytes) -> str:
        return posixpath.join(self._root, os.fsdecode(location).lstrip("/"))

    def tell(self, found: StoredSnapshot, seed: int, picks: list[Pick], result: DrillResult, age: int | None) -> None:
        """Print it; raise DamageError if something is wrong."""
        if self._terminal.json:
            self._terminal.print_json(self._fields(found, seed, picks, result, age))
        else:
            self._print(picks, result, age)
        if not result.well:
            raise DamageError(
                f"{len(result.damaged)} files or folders cannot be restored intact, "
                f"{len(result.differing)} files here differ from the backup"
            )

    def _fields(
        self, found: StoredSnapshot, seed: int, picks: list[Pick], result: DrillResult, age: int | None
    ) -> Fields:
        return {
            "message_type": "summary",
            "snapshot_id": found.id.hex(),
            "seed": seed,
            "picked": [{"path": self._shown(pick.location), "size": pick.node.size, "why": pick.why} for pick in picks],
            "files": result.files,
            "bytes": result.length,
            "blobs": result.blobs,
            "compared": result.compared,
            "damaged": [{"path": self._shown(location), "message": str(error)} for location, error in result.damaged],
            "differing": [self._shown(location) for location in result.differing],
            "previous_age": age,
        }

    def _print(self, picks: list[Pick], result: DrillResult, age: int | None) -> None:
        terminal = self._terminal
        for pick in picks:
            terminal.note(f"{pick.why}: {self._shown(pick.location)} ({format_bytes(pick.node.size)})", 2)
        for location, error in result.damaged:
            terminal.complain(f"{self._shown(location)} cannot be restored intact: {error}")
        for location in result.differing:
            terminal.complain(
                f"{self._shown(location)} differs from the backup, although length and modification time match"
            )
        kinds = ", ".join(f"{sum(pick.why == why for pick in picks)} {why}" for why in (LARGEST, CHANGED, RANDOM))
        terminal.note(
            f"{result.files} of {len(picks)} files ({kinds}) are intact: {format_bytes(result.length)} in"
            f" {result.blobs} blobs; {result.compared} of them are here unchanged,"
            f" {result.compared - len(result.differing)} equal"
        )
        before = "no previous one" if age is None else f"the previous one was {format_age(age)} ago"
        terminal.note(f"last successful drill: {'now' if result.well else 'not this one'}; {before}")
