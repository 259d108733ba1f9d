"""Numbers and local times as Go reads them."""

from calendar import timegm
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.golang import local_offset, parse_integer
from tests.support.zone import use_zone

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Europe/London", "Asia/Kathmandu")


pytestmark = pytest.mark.usefixtures("zone_again")


@given(st.sampled_from(ZONES), st.integers(0, 2**31 - 1))
@example("Europe/Berlin", timegm((2024, 3, 31, 2, 30, 0)))
@example("America/New_York", timegm((2024, 11, 3, 1, 30, 0)))
@example("Pacific/Apia", timegm((2011, 12, 30, 12, 0, 0)))
def test_the_offset_is_that_of_a_side_and_right_where_there_is_one(zone: str, wall: int) -> None:
    use_zone(zone)
    place = ZoneInfo(zone)
    naive = datetime.fromtimestamp(wall, UTC).replace(tzinfo=None)
    sides = [naive.replace(tzinfo=place, fold=fold).utcoffset() for fold in (0, 1)]
    found = timedelta(seconds=local_offset(wall))
    assert found in sides
    if sides[0] == sides[1]:
        moment = datetime.fromtimestamp(wall - local_offset(wall), UTC)
        assert moment.astimezone(place).replace(tzinfo=None) == naive


@pytest.mark.parametrize(
    ("zone", "wall", "hours"),
    [
        ("Europe/Berlin", (2024, 3, 31, 2, 30, 0), 1),
        ("Europe/Berlin", (2024, 10, 27, 2, 30, 0), 1),
        ("America/New_York", (2024, 3, 10, 2, 30, 0), -4),
        ("America/New_York", (2024, 11, 3, 1, 30, 0), -4),
        ("Europe/London", (2024, 3, 31, 1, 30, 0), 0),
        ("Europe/London", (2024, 10, 27, 1, 30, 0), 0),
        ("UTC", (2024, 10, 27, 1, 30, 0), 0),
    ],
)
def test_an_hour_that_comes_twice_or_never_is_read_as_in_go(
    zone: str, wall: tuple[int, int, int, int, int, int], hours: int
) -> None:
    use_zone(zone)
    assert local_offset(timegm(wall)) == hours * 3600


@pytest.mark.parametrize(
    ("text", "value"),
    [("0x10", 16), ("0b1", 1), ("0o7", 7), ("017", 15), ("1_000", 1000), ("0X_f", 15), ("4294967295", (1 << 32) - 1)],
)
def test_numbers_are_go_literals(text: str, value: int) -> None:
    assert parse_integer(text, signed=False, bits=32) == value


@pytest.mark.parametrize("text", ["", "x", "1__0", "_1", "08", "1.0", "+1", "-1", " 1", "1 ", "٣", "4294967296", "0x"])
def test_what_is_no_number_of_32_bits_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"strconv\.ParseUint"):
        parse_integer(text, signed=False, bits=32)
