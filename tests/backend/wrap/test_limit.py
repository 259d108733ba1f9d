"""Rates are kept on average, whoever asks."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.limit import LimitBackend, TokenBucket
from pyrestic.handle import FileType, Handle

HANDLE = Handle(FileType.PACK, "ab" * 32)
BURST = 0.05
"""How many seconds' worth may pass at once."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.longest = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        self.now += seconds


def bucket(rate: float) -> tuple[TokenBucket, Clock]:
    clock = Clock()
    return TokenBucket(rate, clock=clock, sleep=clock.sleep), clock


@given(st.lists(st.integers(0, 5000), min_size=1), st.integers(1, 2000))
def test_never_more_than_the_rate_and_a_moment_of_it_passes(counts: list[int], rate: int) -> None:
    limiter, clock = bucket(rate)
    for count in counts:
        limiter.take(count)
    assert clock.now == pytest.approx(max(0.0, sum(counts) / rate - BURST))
    assert clock.longest <= 1


def test_time_without_transfer_is_not_saved_up() -> None:
    limiter, clock = bucket(100)
    clock.now = 1_000_000
    limiter.take(300)
    assert clock.now - 1_000_000 == pytest.approx(3 - BURST)


def test_threads_share_one_rate() -> None:
    slept: list[float] = []
    limiter = TokenBucket(1000, clock=lambda: 0.0, sleep=slept.append)
    threads = [threading.Thread(target=limiter.take, args=(1000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(slept) == pytest.approx(1 + 2 + 3 + 4 - 4 * BURST)


def test_uploads_and_downloads_are_limited_on_their_own() -> None:
    up, up_clock = bucket(1000)
    down, down_clock = bucket(500)
    backend = LimitBackend(MemoryBackend(), upload=up, download=down)
    backend.save(HANDLE, bytes(6000))
    assert (up_clock.now, down_clock.now) == pytest.approx((6 - BURST, 0))
    backend.load(HANDLE)
    assert (up_clock.now, down_clock.now) == pytest.approx((6 - BURST, 12 - BURST))
    backend.load(HANDLE, 5, 500)
    assert (up_clock.now, down_clock.now) == pytest.approx((6 - BURST, 13 - BURST))


def test_a_lock_is_stored_at_once() -> None:
    """At 10 KiB/s it would wait behind a pack of 16 MiB for longer than a lock may go without being refreshed."""
    up, clock = bucket(1000)
    backend = LimitBackend(MemoryBackend(), upload=up)
    backend.save(HANDLE, bytes(6000))
    paid = clock.now
    backend.save(Handle(FileType.LOCK, "cd" * 32), bytes(300))
    assert clock.now == paid


def test_without_limits_nothing_waits() -> None:
    backend = LimitBackend(MemoryBackend())
    backend.save(HANDLE, bytes(1_000_000))
    assert len(backend.load(HANDLE)) == 1_000_000
