"""Times by a layout of Go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.vfs.go_time import format_layout

TIME = "2026-02-03T16:05:06.070809Z"


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("2006-01-02T15:04:05Z07:00", "2026-02-03T16:05:06Z"),
        ("2006-01-02_15-04-05", "2026-02-03_16-05-06"),
        ("Mon Jan _2 15:04:05 MST 2006", "Tue Feb  3 16:05:06 UTC 2026"),
        ("Monday, 02-Jan-06", "Tuesday, 03-Feb-26"),
        ("January 2 3:4:5 PM pm", "February 3 4:5:6 PM pm"),
        ("002 __2 06", "034  34 26"),
        (".000 .000000000 .999 ,00", ".070 .070809000 .07 ,07"),
        ("-0700 -07:00 -07 Z0700 -070000", "+0000 +00:00 +00 Z +000000"),
        ("Janet Month 1 01 20060", "Janet Month 2 02 20260"),
        ("%T plain", "%T plain"),
        ("", ""),
    ],
)
def test_samples_stand_for_parts_of_the_time(layout: str, expected: str) -> None:
    assert format_layout(layout, TIME) == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-07-01T00:30:00+02:00", "2026-07-01T00:30:00+02:00 +0200 +0200"),
        ("2026-07-01T00:30:00-03:30", "2026-07-01T00:30:00-03:30 -0330 -0330"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z +0000 UTC"),
    ],
)
def test_zones_are_those_of_the_time(time: str, expected: str) -> None:
    assert format_layout("2006-01-02T15:04:05Z07:00 -0700 MST", time) == expected


def test_a_name_for_the_zone_may_be_given() -> None:
    assert format_layout("MST", "2026-07-01T00:30:00+02:00", "CEST") == "CEST"


@given(layout=st.text(max_size=40), time=st.text(max_size=30) | st.just(TIME))
def test_no_layout_and_no_time_is_too_strange(layout: str, time: str) -> None:
    assert isinstance(format_layout(layout, time), str)
