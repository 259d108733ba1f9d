"""Removing many files of a repository at once, as many at a time as the backend likes."""

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
    """Remove files and return those that could not be removed, which are reported one by one.

    A file that is gone already counts as removed. With `stop_at_errors` the first error is raised as soon as the
    removals that were under way have ended.
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
    """Raise BackendError if packs could not be removed, which a prune tells in the end."""
    if kept:
        raise BackendError(
            f"{len(kept)} packs could not be removed", hint="They only waste space; the next prune tries again."
        )


def for_each(work: Callable[[ID], object], identifiers: Iterable[ID], threads: int) -> None:
    """Do something for every ID on several threads; when that fails, or is interrupted, begin nothing more."""
    for _ in map_files(work, identifiers, threads):
        pass
