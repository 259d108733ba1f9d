"""The state of all profiles as metrics of Prometheus, in a file for the textfile collector of node_exporter."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Protocol

from pyrestic.backend.files import TEMPORARY_MARK, write_all
from pyrestic.errors import LocalFileError
from pyrestic.runner.messages import TaskState

_MODE = 0o644


class MeasuredTask(TaskState, Protocol):
    """What is exported of a task."""

    @property
    def started(self) -> float | None:
        """When the last run started."""

    @property
    def ended(self) -> float | None:
        """When it ended; None while it runs."""

    @property
    def code(self) -> int:
        """Its exit code."""

    @property
    def facts(self) -> Mapping[str, int | float | None]:
        """Numbers of the last good run, by the names of its JSON summary."""


class MeasuredProfile(Protocol):
    """What is exported of a profile."""

    @property
    def tasks(self) -> Mapping[str, MeasuredTask]:
        """Its tasks by name."""

    @property
    def kept(self) -> int | None:
        """Number of snapshots, None if unknown."""


class _Sample(NamedTuple):
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


_HELP = {
    "pyrestic_task_last_start_timestamp_seconds": "Start of the last run.",
    "pyrestic_task_last_end_timestamp_seconds": "End of the last run.",
    "pyrestic_task_last_duration_seconds": "Length of the last run.",
    "pyrestic_task_last_success_timestamp_seconds": "End of the last good run.",
    "pyrestic_task_exit_code": "Exit code of the last run.",
    "pyrestic_task_failures": "Failures in a row.",
    "pyrestic_task_waiting": "Whether the task is due and waits for its conditions.",
    "pyrestic_profile_overdue": "Whether there was no good backup for too long.",
    "pyrestic_profile_snapshots": "Number of snapshots.",
}


def encode_metrics(profiles: Mapping[str, MeasuredProfile], overdue: Collection[str]) -> str:
    """Return the metrics of profiles by name, in the text format of Prometheus; `overdue` are the overdue profiles."""
    samples: dict[str, list[_Sample]] = {}
    for name, profile in profiles.items():
        for sample in _measure(name, profile, is_overdue=name in overdue):
            samples.setdefault(sample.name, []).append(sample)
    return "".join(line for name in sorted(samples) for line in _lines(name, samples[name]))


def write_metrics(path: str, text: str) -> None:
    """Replace the file atomically, readable for everybody; raise LocalFileError."""
    folder, name = os.path.split(path)
    # The collector reads only names that end with .prom.
    temporary = os.path.join(folder, f".{name}{TEMPORARY_MARK}{os.getpid()}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, _MODE)
        try:
            try:
                write_all(descriptor, memoryview(text.encode()))
                os.fchmod(descriptor, _MODE)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise LocalFileError(f"{path}: {error.strerror}") from error


def _measure(name: str, profile: MeasuredProfile, *, is_overdue: bool) -> Iterator[_Sample]:
    of_profile = (("profile", name),)
    yield _Sample("pyrestic_profile_overdue", of_profile, is_overdue)
    if profile.kept is not None:
        yield _Sample("pyrestic_profile_snapshots", of_profile, profile.kept)
    for task_name, task in profile.tasks.items():
        labels = (*of_profile, ("task", task_name))
        times = {
            "last_start_timestamp_seconds": task.started,
            "last_end_timestamp_seconds": task.ended,
            "last_success_timestamp_seconds": task.good_ended,
        }
        if task.started is not None and task.ended is not None:
            times["last_duration_seconds"] = task.ended - task.started
            yield _Sample("pyrestic_task_exit_code", labels, task.code)
        yield _Sample("pyrestic_task_failures", labels, task.failures)
        yield _Sample("pyrestic_task_waiting", labels, bool(task.waiting))
        for metric, value in times.items():
            if value is not None:
                yield _Sample(f"pyrestic_task_{metric}", labels, value)
        for fact, number in task.facts.items():
            if number is not None:
                yield _Sample(re.sub(r"\W", "_", f"pyrestic_{task_name}_{fact}", flags=re.ASCII), of_profile, number)


def _lines(name: str, samples: list[_Sample]) -> Iterator[str]:
    text = _HELP.get(name, "From the summary of the last good run.")
    yield f"# HELP {name} {text}\n# TYPE {name} gauge\n"
    for sample in samples:
        labels = ",".join(f'{label}="{_escape(value)}"' for label, value in sample.labels)
        yield f"{name}{{{labels}}} {float(sample.value)!r}\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
