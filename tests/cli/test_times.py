"""Moments on the command line."""

import time
from collections.abc import Iterator

import pytest

from pyrestic.cli.times import parse_moment
from pyrestic.errors import UsageError


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01 1:00", 0),
        ("01.01.1970 01:00:00.5", 0.5),
        ("1970-01-01 00:00:00 UTC", 0),
        ("1970-01-01 00:00:00 -0130", 5400),
        ("2024-07-01 02:00:00 CEST", 1_719_792_000),
        ("2024-07-01", 1_719_784_800),
        ("2024-01-01", 1_704_063_600),
        ("Mon Jan 2 15:04:05 -0700 MST 2006", 1_136_239_445),
    ],
)
def test_a_moment_is_read_in_every_form(text: str, seconds: float) -> None:
    assert parse_moment(text) == seconds * 1_000_000_000


@pytest.mark.parametrize(
    "text", ["", "now", "2024-13-01", "2023-02-29", "2024-01-01 24:00", "2024-01-01T10:00:00Z", "2024-01-01 10:00 UTC"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="unable to parse time"):
        parse_moment(text)
