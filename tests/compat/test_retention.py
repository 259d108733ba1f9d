"""What `forget` keeps, and why: hundreds of snapshots of all zones, decided by the real restic and by us."""

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import FileType
from pyrestic.repository.repository import Repository
from tests.support.cli import Caller
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program

pytestmark = pytest.mark.restic

BERLIN = ZoneInfo("Europe/Berlin")
TREE = "5c07eed754f639f3b1f1b9992c13a28d14f63d54fd4ec838bf2367744b3c7b3b"

COUNTS = [
    "-l 1",
    "--keep-last=3",
    "-l unlimited",
    "-l 100000",
    "-H 5",
    "-H 24",
    "--keep-hourly unlimited",
    "-d 1",
    "-d 7",
    "-d 30 -l 2",
    "--keep-daily=unlimited",
    "-w 1",
    "-w 5",
    "-w 60",
    "--keep-weekly unlimited",
    "-m 2",
    "-m 14",
    "--keep-monthly=unlimited",
    "-y 1",
    "-y 3",
    "-y 100",
    "-y unlimited",
    "-l 2 -H 3 -d 4 -w 5 -m 6 -y 7",
    "-H 48 -d 14 -w 8 -m 12 -y 10",
    "-d 7 -w unlimited",
    "-l 1 -y unlimited -m 1",
]
PERIODS = [
    "--keep-within 1h",
    "--keep-within 36h",
    "--keep-within 1d",
    "--keep-within 7d2h",
    "--keep-within 1m",
    "--keep-within 1y5m7d2h",
    "--keep-within 100y",
    "--keep-within-hourly 3d",
    "--keep-within-hourly 1m -l 1",
    "--keep-within-daily 1m",
    "--keep-within-daily 11m30d",
    "--keep-within-weekly 3m",
    "--keep-within-weekly 1y",
    "--keep-within-monthly 1y",
    "--keep-within-monthly 13m1d",
    "--keep-within-yearly 10y",
    "--keep-within-hourly 2d --keep-within-daily 7d --keep-within-weekly 1m --keep-within-monthly 1y"
    " --keep-within-yearly 75y",
    "--keep-within 2d --keep-daily 5 --keep-within-weekly 2m",
    "--keep-within 1d1d2h3h",
    "--keep-within 0h -l 1",
]
TAGS = [
    "--keep-tag daily",
    "--keep-tag daily,important",
    "--keep-tag daily --keep-tag important",
    "--keep-tag daily,important --keep-tag odd",
    "--keep-tag=",
    "--keep-tag nothing -l 1",
    "--keep-tag daily -d 3 --keep-within 10d",
]
CHOICES = [
    "-d 3 --group-by host",
    "-d 3 --group-by paths",
    "-d 3 --group-by tags",
    "-d 3 -g host,tags",
    "-d 3 -g host,paths,tags",
    "-m 2 --group-by=",
    "-m 2 --group-by path,,host",
    "-w 4 --host one",
    "-w 4 --hostname one",
    "-w 4 --host one --host two --path /home",
    "-w 4 --tag daily,important",
    "-w 4 --tag daily --tag odd --keep-tag important",
    "-y 1 --path /etc --path /home",
    "--unsafe-allow-remove-all --host one",
    "--unsafe-allow-remove-all --tag daily -g tags",
]


def make_times() -> list[str]:
    """Different moments, as snapshots write them: of a calm year, around the changes of clocks, in many zones."""
    dice = random.Random(41)
    moments: list[datetime] = []
    start = datetime(2023, 12, 30, 22, 10, tzinfo=UTC)
    moments += [(start + timedelta(hours=7 * number)).astimezone(BERLIN) for number in range(60)]
    for change in (datetime(2024, 3, 31, 0, 15, tzinfo=UTC), datetime(2024, 10, 26, 23, 40, tzinfo=UTC)):
        moments += [(change + timedelta(minutes=25 * number)).astimezone(BERLIN) for number in range(12)]
    for _ in range(60):
        zone = timezone(timedelta(minutes=15 * dice.randrange(-48, 57)))
        moments.append((start - timedelta(seconds=dice.randrange(700 * 86400))).astimezone(zone))
    moments += [datetime(year, 2, 29, 12, tzinfo=UTC) for year in (1960, 1972, 2000, 2096)]
    moments += [datetime(2024, 12, 31, 23, 59, 59, 999999, tzinfo=BERLIN), datetime(2021, 1, 3, 23, 30, tzinfo=BERLIN)]
    return [moment.isoformat().replace("+00:00", "Z") for moment in moments]


def store(folder: Path, snapshots: list[Snapshot]) -> None:
    repository = Repository.open(LocalBackend(str(folder)), PASSWORD)
    for snapshot in snapshots:
        repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    repository.close()


def make_snapshots() -> list[Snapshot]:
    dice = random.Random(42)
    tags = [[], ["daily"], ["important", "daily"], ["odd"], ["important"]]
    paths = [["/home"], ["/home", "/etc"], ["/etc", "/home"]]
    return [
        Snapshot(
            time=time,
            tree=TREE,
            hostname=dice.choice(["one", "two"]),
            tags=dice.choice(tags),
            paths=dice.choice(paths),
        )
        for time in dict.fromkeys(make_times())
    ]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_quick_repository(tmp_path_factory.mktemp("retention") / "repository")
    store(folder, make_snapshots())
    return folder


def groups_of(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups in an order of their own: restic's is random."""
    return sorted(found, key=lambda group: json.dumps([group["host"], group["paths"], group["tags"]]))


def ours(tmp_path: Path, repository: Path, arguments: list[str], zone: str) -> Any:
    return Caller(tmp_path)(*arguments, RESTIC_REPOSITORY=str(repository), RESTIC_PASSWORD=PASSWORD, TZ=zone)


@pytest.mark.parametrize("policy", COUNTS + PERIODS + TAGS + CHOICES)
def test_a_policy_keeps_the_same_for_the_same_reasons(policy: str, many: Path, newest: Program, tmp_path: Path) -> None:
    arguments = ["forget", "--dry-run", "--json", "--no-lock", *policy.split()]
    for zone in ("UTC", "Europe/Berlin"):
        theirs = newest.run(*arguments, repository=many, TZ=zone)
        result = ours(tmp_path, many, arguments, zone)
        assert result.code == 0, result.err
        assert groups_of(result.json) == groups_of(theirs.json)
        assert list(result.json[0]) == list(theirs.json[0])


@pytest.mark.parametrize("policy", ["-l 3", "-H 2 -d 1", "--keep-within 1h", "-l unlimited --keep-tag odd", "-y 2"])
def test_of_equal_times_as_many_are_kept_for_the_same_reasons(policy: str, newest: Program, tmp_path: Path) -> None:
    repository = make_quick_repository(tmp_path / "repository")
    times = ["2024-05-01T10:00:00+02:00", "2024-05-01T10:30:00+02:00", "2023-05-01T10:00:00+02:00"]
    store(
        repository,
        [Snapshot(time=time, tree=TREE, hostname="h", uid=number) for time in times for number in range(5)],
    )
    arguments = ["forget", "--dry-run", "--json", *policy.split()]
    (theirs,) = newest.run(*arguments, repository=repository).json
    (found,) = ours(tmp_path, repository, arguments, "UTC").json

    def shape(group: dict[str, Any]) -> Any:
        # Which of several equal snapshots comes first is chance in restic, and their IDs decide here.
        kept = [(reason["snapshot"]["time"], reason["matches"]) for reason in group["reasons"]]
        return kept, [snapshot["time"] for snapshot in group["remove"] or []]

    assert shape(found) == shape(theirs)
    everything = {snapshot["id"] for snapshot in found["keep"] + (found["remove"] or [])}
    assert len(everything) == 15


def test_a_newest_snapshot_of_the_future_does_not_count_for_periods(newest: Program, tmp_path: Path) -> None:
    repository = make_quick_repository(tmp_path / "repository")
    times = ["2999-01-01T00:00:00Z", "2024-05-01T10:00:00+02:00", "2024-04-30T09:00:00+02:00", "2023-05-01T10:00:00Z"]
    store(repository, [Snapshot(time=time, tree=TREE) for time in times])
    arguments = ["forget", "--dry-run", "--json", "--keep-within", "2d"]
    theirs = newest.run(*arguments, repository=repository).json
    found = ours(tmp_path, repository, arguments, "UTC").json
    assert found == theirs
    assert len(found[0]["keep"]) == 3


def test_periods_end_at_the_same_second_around_the_changes_of_clocks(newest: Program, tmp_path: Path) -> None:
    """A day before a newest snapshot at 02:30 may be an hour that the clock has twice, or never."""
    for number, newest_time in enumerate(
        ["2024-04-01T02:30:00+02:00", "2024-10-28T02:30:00+01:00", "2024-10-27T02:30:00+01:00"]
    ):
        repository = make_quick_repository(tmp_path / f"repository {number}")
        last = datetime.fromisoformat(newest_time)
        steps = [last - timedelta(hours=22) - timedelta(minutes=10 * step) for step in range(24)]
        times = [newest_time, *(step.astimezone(BERLIN).isoformat() for step in steps)]
        store(repository, [Snapshot(time=time, tree=TREE) for time in times])
        for period in ("1d", "23h", "24h", "1d1h"):
            arguments = ["forget", "--dry-run", "--json", "--keep-within", period]
            for zone in ("Europe/Berlin", "UTC", "America/New_York"):
                theirs = newest.run(*arguments, repository=repository, TZ=zone).json
                assert ours(tmp_path, repository, arguments, zone).json == theirs, (newest_time, period, zone)


def test_snapshots_are_shown_as_they_are_stored(many: Path, newest: Program, tmp_path: Path) -> None:
    listed = newest.run("snapshots", "--json", "--no-lock", repository=many).json
    kept = ours(tmp_path, many, ["forget", "-n", "--json", "--no-lock", "-l", "unlimited", "-g", ""], "UTC").json
    by_id = {one["id"]: {**one, "paths": sorted(one["paths"])} for one in listed}
    assert {one["id"]: one for one in kept[0]["keep"]} == by_id
    assert msgspec.json.encode(kept[0]["keep"][0])
