"""Credentials that end are renewed in time, and once when they are rejected."""

import pytest

from pyrestic.backend.leases import RENEW_SECONDS, ExpiredTokenError, Lease, Leased
from pyrestic.errors import AccessError, TransientError


class Source:
    """Gives out 1, 2, 3, each for some seconds."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.now = 1000.0
        self.count = 0
        self.fails = False

    def fetch(self) -> Lease[int]:
        if self.fails:
            raise TransientError("the service is not there")
        self.count += 1
        return Lease(self.count, None if self.seconds is None else self.now + self.seconds)

    def renewed(self) -> Leased[int]:
        return Leased(self.fetch, clock=lambda: self.now)


def rejected(value: int) -> int:
    raise ExpiredTokenError(f"{value} has expired", AccessError("even a new one is refused"))


def test_nothing_is_fetched_before_it_is_needed_and_then_once() -> None:
    source = Source(None)
    renewed = source.renewed()
    assert source.count == 0
    assert [renewed.get(), renewed.get()] == [1, 1]


def test_a_new_one_is_fetched_before_the_old_one_ends() -> None:
    source = Source(3600.0)
    renewed = source.renewed()
    assert renewed.get() == 1
    source.now += 3600 - RENEW_SECONDS - 1
    assert renewed.get() == 1
    source.now += 1
    assert renewed.get() == 2


def test_one_that_is_short_is_used_for_half_its_time() -> None:
    source = Source(60.0)
    renewed = source.renewed()
    renewed.get()
    source.now += 29
    assert renewed.get() == 1
    source.now += 1
    assert renewed.get() == 2


def test_while_renewing_fails_the_old_one_is_used_until_it_ends() -> None:
    source = Source(3600.0)
    renewed = source.renewed()
    renewed.get()
    source.fails = True
    source.now += 3599
    assert renewed.get() == 1
    source.now += 1
    with pytest.raises(TransientError):
        renewed.get()
    source.fails = False
    assert renewed.get() == 2


def test_one_that_is_rejected_is_replaced_once() -> None:
    source = Source(3600.0)
    renewed = source.renewed()
    assert renewed.run(lambda value: rejected(value) if value == 1 else value * 10) == 20
    assert renewed.get() == 2
    with pytest.raises(AccessError, match="even a new one"):
        renewed.run(rejected)
    assert source.count == 3
