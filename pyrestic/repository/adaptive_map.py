"""Applies a function to each of many files: in threads if the backend is slow, without them if it is fast.

If thousands of backups have left a small file each, handing a file to another thread takes longer than reading and
decoding it from a local disk, several times longer if the threads then wait for the GIL in turn.
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
    """Iterate the results of `function` for each of `files`, in order; its exceptions are raised here.

    While a file takes less than two milliseconds, the calling thread does the work; otherwise this many `threads` do.
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
        # After an interrupt, no further calls start.
        pool.shutdown(cancel_futures=True)
