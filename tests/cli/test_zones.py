"""Which zone TZ names."""

import os

import pytest

from pyrestic.cli.zones import use_zone, zone_file
from pyrestic.golang import local_offset

pytestmark = pytest.mark.usefixtures("zone_again")


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
