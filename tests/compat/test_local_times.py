"""Local times around the changes of clocks, as both programs understand them."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.support.both_programs import Beside
from tests.support.quick_repository import make_quick_repository

pytestmark = pytest.mark.restic

CHANGES = (
    ("Europe/Berlin", "2024-03-31T01:00"),
    ("Europe/Berlin", "2024-10-27T01:00"),
    ("America/New_York", "2024-03-10T07:00"),
    ("America/New_York", "2024-11-03T06:00"),
    ("Europe/London", "2024-10-27T01:00"),
    ("Australia/Lord_Howe", "2024-04-06T15:00"),
    ("Australia/Lord_Howe", "2024-10-05T15:30"),
    ("America/St_Johns", "2024-03-10T05:30"),
    ("Africa/Casablanca", "2024-03-10T02:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),
)
"""Zones, and moments in UTC at which their clocks are turned forward or back."""
STEP = timedelta(minutes=15)


def _make(folder: Path, moments: list[datetime]) -> Beside:
    """Return both programs beside a repository with a file for each moment."""
    beside = Beside(folder, make_quick_repository(folder / "repository"))
    source = folder / "source"
    source.mkdir()
    for moment in moments:
        seconds = int(moment.timestamp())
        path = source / f"{seconds}"
        path.touch()
        os.utime(path, (seconds, seconds))
    beside.restic("backup", "-q", source)
    return beside


def _around(change: datetime, hours: int) -> list[datetime]:
    steps = int(timedelta(hours=hours) / STEP)
    return [change + STEP * number for number in range(-steps, steps + 1)]


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    moments = {
        moment for _, text in CHANGES for moment in _around(datetime.fromisoformat(text).replace(tzinfo=UTC), 26)
    }
    return _make(tmp_path_factory.mktemp("clocks"), sorted(moments))


def _compare(clocks: Beside, zone: str, change: str, hours: int) -> None:
    moment = datetime.fromisoformat(change).replace(tzinfo=UTC)
    walls = {each.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for each in _around(moment, hours)}
    gap = (moment + timedelta(seconds=-1)).astimezone(ZoneInfo(zone)).replace(tzinfo=None) + timedelta(seconds=1)
    # What the clock never shows, too.
    walls |= {gap + STEP * number for number in range(1, 4)}
    ordered = [f"{wall:%Y-%m-%d\t%H:%M:%S}" for wall in sorted(walls)]
    lines = [
        f"find --oldest={first} --newest={second} [0-9]*"
        for first, second in zip(ordered, ordered[len(ordered) // 2 :], strict=False)
    ]
    assert clocks.differences(lines, TZ=zone) == []


@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_times_around_a_change_of_clocks_mean_the_same(clocks: Beside, zone: str, change: str) -> None:
    _compare(clocks, zone, change, 1)


@pytest.mark.parametrize(
    ("zone", "names"),
    [
        ("Europe/Berlin", ("CET", "CEST", "CEMT", "UTC", "EST")),
        ("America/New_York", ("EST", "EDT", "EWT", "GMT", "GMT+3")),
        ("Europe/Moscow", ("MSK", "MSD", "MMT")),
        ("Europe/London", ("GMT", "BST", "BDST")),
        ("Europe/Dublin", ("IST", "GMT", "BST")),
    ],
)
def test_names_of_zones_mean_the_same(clocks: Beside, zone: str, names: tuple[str, ...]) -> None:
    hours = ("2024-03-31\t02:30:00", "2024-11-03\t06:15:00")
    lines = [f"find --oldest={hour}\t{name} [0-9]*" for hour in hours for name in names]
    assert clocks.differences(lines, TZ=zone) == []


@pytest.mark.nightly
@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_a_day_around_a_change_of_clocks_means_the_same(clocks: Beside, zone: str, change: str) -> None:
    _compare(clocks, zone, change, 26)


@pytest.mark.parametrize(
    ("zone", "when"),
    [
        ("Europe/Berlin", "2024-03-31\t02:30:00"),
        ("Europe/Berlin", "2024-10-27\t02:30:00.25"),
        ("America/New_York", "2024-03-10\t2:30:00,5"),
        ("America/New_York", "2024-11-03\t1:30:00"),
        ("CET-1CEST", "2024-07-01\t12:00:00"),
        ("UTC+3", "2024-07-01\t12:00:00.123456789123"),
        ("Europe/Nowhere", "2024-02-29\t23:59:59"),
    ],
)
def test_a_snapshot_gets_the_same_time(tmp_path: Path, zone: str, when: str) -> None:
    """Also where TZ is a rule, or names nothing: then the zone is UTC for both, in the times of files, too."""
    beside = Beside(tmp_path, make_quick_repository(tmp_path / "repository"))
    source = tmp_path / "source"
    source.mkdir()
    for seconds in (0, 1_711_846_800, 1_729_990_800):
        (source / str(seconds)).touch()
        os.utime(source / str(seconds), (seconds, seconds))
    words = ["backup", "-q", "--ignore-ctime", f"--time={when}".replace("\t", " "), "."]
    beside.theirs.run(*words, repository=beside.repository, cwd=source, TZ=zone)
    beside.ours.cwd = source
    assert beside.pyrestic(*words, TZ=zone).code == 0
    first, second = beside.restic("snapshots", "--json", "--no-lock").json
    assert (first["time"], first["tree"]) == (second["time"], second["tree"])
