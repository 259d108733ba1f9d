"""Restores to a local folder, each in a thread: first planned, then, after confirmation, run."""

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum

from pyrestic.errors import NotFoundError, PyresticError, TransientError, UsageError
from pyrestic.format.node import DIRECTORY, FILE
from pyrestic.localfs.target_root import TargetRoot
from pyrestic.operations.existing import Overwrite, looks_the_same
from pyrestic.operations.preflight import RestorePlan
from pyrestic.operations.restore import Restore
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.operations.restore_progress import RestoreProgress
from pyrestic.operations.restore_root import Contents, Named
from pyrestic.report import Progress, Reporter
from pyrestic.repository.repository import Repository
from pyrestic.vfs.version_names import dated_name
from pyrestic.web.site import Spot

_KEPT = 20
_NAMED = 50


class JobState(Enum):
    """The state of a restore."""

    LOOKING = "looking"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class TargetRules:
    """Where may be written: in `below` and nowhere in `kept_out`; absolute paths without links in them.

    `suggestion` is a folder that is offered; "" stands for none. Without `below` nothing may be written at all; with it
    there has to be its `root`, which is what restores are really held to.
    """

    below: str = ""
    kept_out: tuple[str, ...] = ()
    suggestion: str = ""
    root: TargetRoot | None = None

    def check(self, text: str) -> str:
        """Return the folder that the user typed, with links resolved; raise UsageError if it is not allowed."""
        if not self.below:
            raise UsageError("this server does not restore", hint="Start pyrestic serve with --restore-below FOLDER.")
        if not text.startswith("/") or "\0" in text:
            raise UsageError("the target must be an absolute path on this machine, such as /tmp/restored")
        target = os.path.realpath(text)
        if not _is_in(target, self.below):
            raise UsageError(f"the target must be in {self.below}")
        for folder in self.kept_out:
            if _is_in(target, folder) or _is_in(folder, target):
                raise UsageError(f"{target} overlaps {folder}, which contains the repository")
        return target


def _is_in(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


@dataclass(slots=True)
class RestoreJob:
    """One restore. `errors` are the first ones, `error_count` counts all."""

    number: int
    spot: Spot
    target: str
    name: bytes
    """The new name of the file or folder; empty for an entire snapshot."""
    options: RestoreOptions
    state: JobState = JobState.LOOKING
    plan: RestorePlan | None = None
    progress: RestoreProgress = field(default_factory=lambda: RestoreProgress("restore", "B", total=0))
    errors: list[tuple[str, str]] = field(default_factory=list)
    error_count: int = 0
    warnings: list[str] = field(default_factory=list)
    message: str = ""
    verified: int | None = None

    # Methods of Reporter

    def error(self, item: str, error: Exception) -> None:
        """Count an error, and keep it if it is one of the first."""
        self.error_count += 1
        if len(self.errors) < _NAMED:
            self.errors.append((item, str(error)))

    def note(self, message: str, level: int = 1) -> None:
        """Notes are not shown."""

    def show(self, progress: Progress) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's signature
        """The page polls the progress."""
        return nullcontext()

    def warn(self, message: str) -> None:
        """Record metadata of a file that could not be restored."""
        if len(self.warnings) < _NAMED:
            self.warnings.append(message)

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return not (self.error_count or self.warnings or self.progress.files_left)

    @property
    def under_way(self) -> bool:
        """Whether a thread is running for it."""
        return self.state in (JobState.LOOKING, JobState.RUNNING)

    @property
    def total_bytes(self) -> int:
        """Total number of bytes to write."""
        return 0 if self.plan is None else self.plan.bytes_to_write

    @property
    def whole_target(self) -> str:
        """The path of the restored file or folder."""
        return os.path.join(self.target, os.fsdecode(self.name)) if self.name else self.target


class Restores:
    """The last restores of this run: only one runs at a time. Thread-safe.

    `state_folder` is that of Restore.
    """

    def __init__(
        self,
        repository: Repository,
        rules: TargetRules,
        report: Reporter,
        *,
        state_folder: str = "",
    ) -> None:
        self.rules = rules
        self._state_folder = state_folder
        self._report = report
        self._repository = repository
        self._lock = threading.Lock()
        self._jobs: dict[int, RestoreJob] = {}
        self._count = 0

    def all(self) -> list[RestoreJob]:
        """Return the restores, newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def find(self, number: int) -> RestoreJob:
        """Return a restore; raise NotFoundError."""
        with self._lock:
            job = self._jobs.get(number)
        if job is None:
            raise NotFoundError("There is no such restore; restores of earlier runs are not kept.")
        return job

    def prepare(self, spot: Spot, target: str, options: RestoreOptions) -> RestoreJob:
        """Start to plan a restore; raise UsageError for a forbidden target."""
        target = self.rules.check(target)
        with self._lock:
            self._check_idle()
            self._count += 1
            job = RestoreJob(self._count, spot, target, _free_name(spot, target, options.overwrite), options)
            self._jobs[job.number] = job
            while len(self._jobs) > _KEPT:
                del self._jobs[next(iter(self._jobs))]
            self._begin(job, JobState.LOOKING, self._look)
        return job

    def start(self, number: int) -> RestoreJob:
        """Start to write; raise UsageError unless the restore is planned and waits."""
        job = self.find(number)
        with self._lock:
            if job.state is not JobState.READY:
                raise UsageError("this restore cannot be started")
            self._check_idle()
            self._begin(job, JobState.RUNNING, self._restore)
        return job

    def drop(self, number: int) -> RestoreJob:
        """Cancel a restore that was not started; raise UsageError for any other."""
        job = self.find(number)
        with self._lock:
            if job.state is not JobState.READY:
                raise UsageError("only a restore that was not started can be canceled")
            job.state = JobState.DROPPED
        return job

    def _check_idle(self) -> None:
        if any(job.under_way for job in self._jobs.values()):
            raise TransientError("another restore is running", hint="Wait until it is done.")

    def _begin(self, job: RestoreJob, state: JobState, work: Callable[[RestoreJob], JobState]) -> None:
        job.state = state

        def run() -> None:
            try:
                job.state = work(job)
            except PyresticError as error:
                job.message = str(error)
                job.state = JobState.FAILED
            except Exception as error:
                self._report.error("a restore", error)
                job.message = f"An unexpected error occurred: {type(error).__name__}"
                job.state = JobState.FAILED

        threading.Thread(target=run, name="restore", daemon=True).start()

    def _look(self, job: RestoreJob) -> JobState:
        job.plan = self._make(job).plan()
        return JobState.READY

    def _restore(self, job: RestoreJob) -> JobState:
        job.verified = self._make(job).run(job.plan).verified
        if job.error_count:
            job.message = "Not everything could be restored."
            return JobState.FAILED
        return JobState.DONE

    def _make(self, job: RestoreJob) -> Restore:
        """Return a restore that opens the target again, without following links, each time it starts.

        The file or folder is restored under its name, so the source contains only it.
        """
        root, spot = self.rules.root, job.spot
        if root is None:
            raise UsageError("this server does not restore")
        whole = Contents(spot.stored.snapshot.tree_id)
        source = whole if spot.node is None else Named([(job.name, spot.node)])
        return Restore(
            self._repository,
            source,
            job.target,
            job.options,
            job,
            progress=job.progress,
            warn=job.warn,
            state_folder=self._state_folder,
            open_root=lambda create: root.open(job.target, create=create),
        )


def _free_name(spot: Spot, target: str, overwrite: Overwrite) -> bytes:
    """Return the new name of a file or folder: with its date if an existing one must not be replaced."""
    node = spot.node
    if node is None or overwrite is not Overwrite.NEVER:
        return spot.name
    try:
        status = os.stat(os.path.join(os.fsencode(target), spot.name), follow_symlinks=False)
    except OSError:
        return spot.name
    if node.type == FILE and looks_the_same(status, node, node.size):
        return spot.name
    # A folder is as old as its content, which is the time of the snapshot.
    return dated_name(spot.name, spot.stored.snapshot.time_ns if node.type == DIRECTORY else node.mtime_ns)
