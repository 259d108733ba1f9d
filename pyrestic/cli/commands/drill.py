"""pyrestic drill: restore a sample of files in memory and verify them."""

import os
import posixpath
import random
import time

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import arguments, parsed, text
from pyrestic.cli.flags import INTEGER
from pyrestic.cli.session import opened
from pyrestic.cli.terminal import Fields
from pyrestic.cli.verification import format_age, open_proven
from pyrestic.errors import DamageError, UsageError
from pyrestic.golang import parse_size
from pyrestic.localfs.verification_log import Drill
from pyrestic.operations.describe import describe_snapshot
from pyrestic.operations.drill import DrillResult
from pyrestic.operations.drill_choice import CHANGED, LARGEST, RANDOM, Pick
from pyrestic.operations.drill_run import find_root, run_drill
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import StoredSnapshot, find_snapshot
from pyrestic.units import format_bytes


class DrillFlags(SnapshotFlags):
    """The flags of drill."""

    budget: str = text(
        "--budget", value="SIZE", default="64M", help="select files of up to SIZE in total (default 64M)"
    )
    seed: int | None = parsed("--seed", type=INTEGER, help="select the same files as the drill with this seed")
    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("drill", "Restore a sample of files in memory, verify them, and compare them with the originals.", DrillFlags)
def command(app: App, flags: DrillFlags) -> None:
    """Drill with the latest snapshot or the named one; raise DamageError if anything is wrong."""
    names = flags.snapshot_id or ("latest",)
    if len(names) > 1:
        raise UsageError(f"more than one snapshot ID specified: {' '.join(names)}")
    budget_bytes = parse_size(flags.budget)
    if budget_bytes <= 0:
        raise UsageError(f"drill flag --budget must be a size above 0 such as 500M or 1G, not {flags.budget!r}")
    seed = random.SystemRandom().randrange(1 << 31) if flags.seed is None else flags.seed
    terminal = app.terminal
    wanted = flags.wanted(app.settings.environment)
    started = int(time.time())
    with opened(app.settings, terminal, LockMode.READ, load_index=True) as session:
        repository = session.repository
        found, folder = find_snapshot(repository, names[0], wanted, terminal)
        terminal.note(f"drill with {describe_snapshot(found)}, seed {seed}")
        picks, result = run_drill(repository, found, folder, terminal, seed=seed, budget_bytes=budget_bytes)
        proofs = open_proven(app, session)
        previous = max((one.seconds for one in proofs.read().drills if one.well), default=None)
        proofs.add_drill(Drill(started, found.id.hex(), result.files, result.length, result.well))
    age = None if previous is None else max(0, started - previous)
    _Output(app, find_root(folder)).tell(found, seed, picks, result, age)


class _Output:
    """Prints the result of a drill."""

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
