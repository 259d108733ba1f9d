"""pyrestic check: look for errors."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator

from pyrestic.backend.metering import Sums
from pyrestic.backend.private_folder import open_private
from pyrestic.cli.command import App, define
from pyrestic.cli.filters import StrictSnapshotFlags
from pyrestic.cli.flag_fields import Flags, arguments, switch, text
from pyrestic.cli.leftovers import tell_leftovers
from pyrestic.cli.session import Session, opened
from pyrestic.cli.terminal import Fields
from pyrestic.cli.verification import format_age, open_proven
from pyrestic.errors import DamageError, PyresticError, UntrustedError, UsageError
from pyrestic.golang import parse_size
from pyrestic.ids import ID
from pyrestic.operations.check import Check, Finding, FindingKind, PackChoice, ReadFiles, read_index_files
from pyrestic.operations.check_rotation import Coverage, Rotation, measure_coverage
from pyrestic.operations.check_run import parse_subset, run_check
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap, import_machinery
from pyrestic.repository.repository import MAX_PACK_LENGTH, Repository
from pyrestic.repository.snapshots import Selection, SnapshotFilter, StoredSnapshot, select_snapshots
from pyrestic.units import format_bytes

_DAMAGED = "repository contains errors"


class _DataFlags(Flags):
    """The flags for what is read."""

    TITLE = "Verify data"
    budget: str = text(
        "--budget", value="SIZE", help="verify up to SIZE (e.g. 1G), least recently verified packs first"
    )
    read_data: bool = switch("--read-data", help="read and verify all packs")
    read_data_subset: str = text(
        "--read-data-subset",
        value="SUBSET",
        help="verify part of the packs: N/M, a percentage such as 2.5%, or a size such as 10G",
    )


class CheckFlags(_DataFlags, StrictSnapshotFlags):
    """The flags of check."""

    check_unused: bool = switch("--check-unused", advice="`--check-unused` is deprecated and will be ignored")
    with_cache: bool = switch("--with-cache", help="use the existing cache instead of an empty one")
    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("check", "Look for errors in the repository.", CheckFlags)
def command(app: App, flags: CheckFlags) -> None:
    """Check the repository; raise DamageError after printing the findings."""
    if flags.read_data and flags.read_data_subset:
        raise UsageError("check flags --read-data and --read-data-subset cannot be used together")
    if flags.budget and (flags.read_data or flags.read_data_subset):
        raise UsageError("check flag --budget cannot be used together with --read-data or --read-data-subset")
    budget_bytes = _parse_budget(flags.budget)
    choice = PackChoice() if flags.read_data else parse_subset(flags.read_data_subset)
    mode = LockMode.NONE if app.settings.no_lock else LockMode.READ_ALONE
    output = Output(app)
    try:
        with _temporary_cache(app, with_cache=flags.with_cache) as cache_base:
            if mode is not LockMode.NONE:
                app.terminal.note("create exclusive lock for repository")
            index = Overlap(lambda repository: read_index(app, repository), imports=import_machinery)
            with opened(app.settings, app.terminal, mode, cache_base=cache_base, overlap=index) as session:
                check = Check(session.repository, app.terminal, output.found)
                names = list(flags.snapshot_id)
                wanted = flags.wanted(app.settings.environment)
                proofs = open_proven(app, session, needed=bool(budget_bytes))
                with proofs.kept(check):
                    budget_bytes = _limit(app, session, budget_bytes)
                    rotation = Rotation(proofs.read().packs, budget_bytes) if budget_bytes else None
                    whole = run_steps(app, session, check, index.found, wanted, names, rotation or choice, output)
                if budget_bytes and whole:
                    output.coverage = measure_coverage(check.all_packs(), proofs.read().packs)
    except PyresticError:
        output.fail()
        raise
    tell_leftovers(app)
    output.finish(check, whole=whole)


def read_index(app: App, repository: Repository) -> ReadFiles:
    """Return the content of all index files or their errors; raise BackendError."""
    app.terminal.note("load indexes")
    return read_index_files(repository, app.terminal)


def run_steps(
    app: App,
    session: Session,
    check: Check,
    index: ReadFiles,
    wanted: SnapshotFilter,
    names: list[str],
    choice: PackChoice | Rotation | None,
    output: "Output",
) -> bool:
    """Run the steps with the given index; False if it is too damaged to continue."""

    def select() -> list[StoredSnapshot]:
        selection = select_snapshots(session.repository, names, wanted, output)
        output.after_selection(selection)
        return selection.snapshots

    filtered = bool(names) or not wanted.empty

    def ensure_allowed(packs: dict[ID, int]) -> None:
        session.ensure_allowed(Sums(class_b=len(packs), downloaded_bytes=sum(packs.values())), "reading these packs")

    return run_check(
        check,
        index,
        select,
        choice,
        app.terminal,
        filtered=filtered,
        locked=session.lock is not None,
        before_reading=ensure_allowed,
    )


def _limit(app: App, session: Session, wanted_bytes: int) -> int:
    """Return how many of the bytes of --budget the month's budget allows to download."""
    allowed = session.bill.find_downloads() if session.bill is not None and wanted_bytes else None
    if allowed is None or allowed >= wanted_bytes:
        return wanted_bytes
    # At least one pack is read.
    allowed = allowed if allowed >= MAX_PACK_LENGTH else 0
    app.terminal.note(f"the month's budget allows to read {format_bytes(allowed)} of {format_bytes(wanted_bytes)}", 0)
    return allowed


def _parse_budget(text: str) -> int:
    """Return the bytes of --budget, 0 if it is not given; raise UsageError."""
    if not text:
        return 0
    try:
        count = parse_size(text)
    except UsageError:
        count = 0
    if count <= 0:
        raise UsageError(f"check flag --budget must be a size above 0 such as 500M or 1G, not {text!r}")
    return count


def _coverage_fields(coverage: Coverage | None) -> Fields:
    if coverage is None:
        return {}
    oldest = coverage.oldest_seconds
    return {
        "verified_packs": coverage.packs - coverage.never,
        "never_verified_packs": coverage.never,
        "never_verified_bytes": coverage.never_bytes,
        "oldest_verified_age": None if oldest is None else max(0, int(time.time()) - oldest),
    }


def _describe_coverage(coverage: Coverage) -> str:
    text = f"verified from this machine so far: {coverage.packs - coverage.never} of {coverage.packs} packs"
    if coverage.oldest_seconds is not None:
        text += f", the oldest {format_age(time.time() - coverage.oldest_seconds)} ago"
    if coverage.never:
        text += f"; {format_bytes(coverage.never_bytes)} never verified"
    return text


@contextlib.contextmanager
def _temporary_cache(app: App, *, with_cache: bool) -> Iterator[str | None]:
    """Provide an empty cache for the check: the usual cache must not hide damage."""
    if with_cache or app.settings.no_cache:
        yield None
        return
    base = app.settings.cache_dir or None
    try:
        if base is not None:
            open_private(base, create=True).close()
        folder = tempfile.mkdtemp(prefix="restic-check-cache-", dir=base)
    except OSError as error:
        app.terminal.complain(f"unable to create temporary directory for cache during check: {error.strerror}")
        yield ""
        return
    except UntrustedError:
        # Reported once for all state files, see session.
        yield ""
        return
    app.terminal.note(f"using temporary cache in {folder}")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Output:
    """Prints findings as restic does; a Reporter for the selection of snapshots."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._terminal = app.terminal
        self._snapshot_errors = 0
        self.coverage: Coverage | None = None
        """The verified share of the repository, if it is to be printed."""

    def found(self, finding: Finding) -> None:
        """Print a finding."""
        if finding.kind is FindingKind.ORPHANED_PACK:
            self._terminal.note(finding.message, 2)
        elif finding.kind in (FindingKind.DUPLICATE_PACK, FindingKind.MIXED_PACK):
            self._terminal.note(finding.message)
        else:
            self._complain(finding.message, *finding.details)

    def error(self, item: str, error: Exception) -> None:
        """Report an unreadable snapshot."""
        self._complain(f"error: {item}: {error}")

    def note(self, message: str, level: int = 1) -> None:
        """Report a named snapshot that cannot be found, or a hint."""
        del level
        self._complain(message)

    def show(self, progress: object) -> contextlib.AbstractContextManager[None]:
        """Show nothing."""
        del progress
        return contextlib.nullcontext()

    def _complain(self, *lines: str) -> None:
        if self._app.settings.json:
            self._terminal.complain_json({"message_type": "error", "message": "\n".join(lines)})
        else:
            self._terminal.complain(*lines)

    def after_selection(self, selection: Selection) -> None:
        """Count requests that cannot be checked as requested, as restic does."""
        self._snapshot_errors = selection.failures + selection.filter_unused

    def fail(self) -> None:
        """Print the last JSON line, even if a check cannot start or finish."""
        self._print_summary(1, [], False, False)

    def _print_summary(self, errors: int, broken: list[str], repair_index: bool, prune: bool) -> None:
        if self._app.settings.json:
            self._terminal.print_json(
                {
                    "message_type": "summary",
                    "num_errors": errors,
                    "broken_packs": broken or None,
                    "suggest_repair_index": repair_index,
                    "suggest_prune": prune,
                }
                | _coverage_fields(self.coverage)
            )

    def finish(self, check: Check, *, whole: bool) -> None:
        """Print the last line; raise DamageError if errors were found."""
        result = check.result
        errors = result.error_count + self._snapshot_errors
        broken = sorted({pack.hex() for pack in result.broken_packs})
        self._print_summary(errors, broken, result.suggest_repair_index, result.suggest_prune)
        if self.coverage is not None:
            self._terminal.note(_describe_coverage(self.coverage))
        if not errors:
            self._terminal.note("no errors were found")
            return
        if not whole:
            self._complain(
                "",
                "The repository index is damaged and must be repaired. You must run `restic repair index' to correct"
                " this.",
                "",
            )
        elif broken:
            self._complain(
                "",
                "The repository contains damaged pack files. These damaged files must be removed to repair the"
                " repository. This can be done using the following commands:",
                "",
                f"restic repair packs {' '.join(broken)}",
                "restic repair snapshots --forget",
                "",
            )
        else:
            self._complain("", "The repository is damaged and must be repaired.", "")
        raise DamageError(_DAMAGED)
