"""Which zone TZ names."""

import os
import time
from collections.abc import Iterator

import pytest

from pyrestic.cli.zones import use_zone, zone_file
from pyrestic.golang import local_offset


@pytest.fixture(autouse=True)
def zone_again() -> Iterator[None]:
    """Let the zone of the tests hold again afterwards."""
    before = os.environ.get("TZ")
    yield
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize("variable", ["UTC+3", "CET-1CEST", "Europe/Nowhere", "", ":", "UTC", "/nowhere", "<+03>-3"])
def test_what_names_no_zone_is_utc(variable: str) -> None:
    os.environ["TZ"] = variable
    use_zone()
    assert zone_file(variable) == ""
    assert local_offset(1_700_000_000) == 0


def test_the_name_of_a_zone_stays() -> None:
    for variable in ("Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin"):
        os.environ["TZ"] = variable
        use_zone()
        assert os.environ["TZ"] == variable
        assert zone_file(variable).endswith("/Europe/Berlin")
