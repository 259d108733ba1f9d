"""The zone of the process, in tests that change it."""

import os
import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def zone_again() -> Iterator[None]:
    """Let the zone of the tests hold again afterwards."""
    before = os.environ.get("TZ")
    yield
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


def use_zone(zone: str) -> None:
    """Let a zone hold until the test ends, in tests that use `zone_again`."""
    os.environ["TZ"] = zone
    time.tzset()
