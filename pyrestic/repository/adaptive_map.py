"""Doing the same with each of many files: in threads where the place takes its time, without them where it does not.

Where thousands of backups have left a small file each, handing one to another thread takes longer than reading and
decoding it from a disk at hand, several times if the threads then wait for Python's lock in turn.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

_GROUP = 16
_QUICK_SECONDS = 0.002


def map_files(
    function: Callable[[S], T], files: Iterable[S], threads: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[T]:
    """Iterate what `function` returns for each of `files`, in order; what it raises is raised here.

    As long as a file takes less than two milliseconds the calling thread does the work, else so many `threads` do.
    """
    waiting = iter(files)
    pool = ThreadPoolExecutor(threads, "files")
    quick = False
    count = threads
    try:
        while group := list(islice(waiting, count)):
            started = clock()
            results = [function(one) for one in group] if quick else list(pool.map(function, group))
            quick = clock() - started < _QUICK_SECONDS * len(group)
            count = _GROUP if quick else _GROUP * threads
            yield from results
    finally:
        # When interrupted, what is not begun yet shall not be.
        pool.shutdown(cancel_futures=True)
