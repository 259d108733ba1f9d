"""Removes many files of a repository, as many concurrently as the backend recommends."""

from collections.abc import Callable, Iterable

from pyrestic.errors import BackendError, CancelledError, NotFoundError
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.report import Progress, Reporter
from pyrestic.repository.adaptive_map import map_files
from pyrestic.repository.repository import Repository


def remove_files(
    repository: Repository,
    file_type: FileType,
    identifiers: Iterable[ID],
    report: Reporter,
    *,
    label: str = "files deleted",
    stop_at_errors: bool = False,
) -> list[ID]:
    """Remove files; report and return those that could not be removed.

    A missing file counts as removed. With `stop_at_errors`, the first error is raised as soon as the running removals
    have ended.
    """
    wanted = sorted(identifiers)
    progress = Progress(label, "files", len(wanted))
    failed: list[ID] = []

    def remove(identifier: ID) -> None:
        try:
            repository.remove(file_type, identifier)
        except NotFoundError:
            pass
        except CancelledError:
            raise
        except BackendError as error:
            report.note(f"unable to remove {file_type.value}/{identifier.hex()} from the repository: {error}", 0)
            failed.append(identifier)
            if stop_at_errors:
                raise
            return
        report.note(f"removed {file_type.value}/{identifier.hex()}", 3)
        progress.done += 1

    with report.show(progress):
        for_each(remove, wanted, repository.backend.connections)
    return failed


def ensure_all_removed(kept: list[ID]) -> None:
    """Raise BackendError if packs could not be removed, at the end of a prune."""
    if kept:
        raise BackendError(
            f"{len(kept)} packs could not be removed", hint="They only waste space; the next prune tries again."
        )


def for_each(work: Callable[[ID], object], identifiers: Iterable[ID], threads: int) -> None:
    """Apply a function to every ID on several threads; after an error or an interrupt, start no more."""
    for _ in map_files(work, identifiers, threads):
        pass
