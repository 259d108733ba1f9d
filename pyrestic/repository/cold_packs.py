"""Packs in cold storage: all that an operation will read are requested first, and waited for together."""

import time
from collections.abc import Callable, Collection

from pyrestic.backend.base import find_cold
from pyrestic.errors import BackendError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID
from pyrestic.report import Progress, Reporter
from pyrestic.repository.adaptive_map import map_files
from pyrestic.repository.repository import Repository

POLL_SECONDS = 60.0


def warm_up_packs(
    repository: Repository,
    packs: Collection[ID],
    report: Reporter,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Wait until packs can be read, and request those that cannot; no effect unless the backend is to do that.

    Raises BackendError if that takes too long or fails.
    """
    cold = find_cold(repository.backend)
    if cold is None or not packs:
        return
    threads = repository.backend.connections
    deadline = clock() + cold.cold_seconds

    def is_cold(handle: Handle) -> bool:
        return not cold.warm_up(handle)

    waiting = [Handle(FileType.PACK, pack.hex()) for pack in packs]
    progress = Progress("packs from cold storage", "packs", len(waiting))
    with report.show(progress):
        while True:
            still = list(map_files(is_cold, waiting, threads))
            waiting = [handle for handle, is_waiting in zip(waiting, still, strict=True) if is_waiting]
            if progress.done == 0 and waiting:
                report.note(f"{len(waiting)} packs are in cold storage; waiting until they can be read")
            progress.done = len(packs) - len(waiting)
            if not waiting:
                return
            if clock() >= deadline:
                raise BackendError(f"{len(waiting)} packs are still in cold storage after {cold.cold_seconds:.0f} s")
            sleep(POLL_SECONDS)
