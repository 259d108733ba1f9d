"""Names of snapshots by age and by time, and --before and --after, in every command that takes them."""

import re
import shutil

import pytest

from tests.support.cli import Caller

DAYS = ("2026-01-01", "2026-02-01", "2026-03-01")
MIDDLE = ["latest~1", "@2026-02-15", "@2026-02-01", "@2026-02-01 12:00", "@2026-02-01T12:00:30Z", "@2026-03-01~1"]
NAMING = [
    "snapshots --json {}",
    "ls {}",
    "ls {}:/sub",
    "dump {} /a",
    "dump {}:sub /b",
    "cat snapshot {}",
    "cat tree {}",
    "cat tree {}:sub",
    "diff {} latest",
    "diff --json latest:sub {first}:/sub",
    "find -s {} a",
    "stats {}",
    "check {}",
    "forget {} --dry-run",
    "rewrite --dry-run --exclude a {}",
    "repair snapshots --dry-run {}",
    "restore {} --dry-run -vv --target /nowhere",
    "backup --parent {} --dry-run --time 2026-04-01_12:00:00 .",
]
FILTERED = [
    "snapshots --json",
    "find a",
    "stats",
    "check",
    "rewrite --dry-run --exclude a",
    "repair snapshots --dry-run",
    "ls latest",
    "dump latest /a",
    "restore latest --dry-run -vv --target /nowhere",
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository of three snapshots, each a month after the last."""
    call = Caller(tmp_path_factory.mktemp("names"))
    call.create()
    call.cwd = call.folder / "source"
    (call.cwd / "sub").mkdir(parents=True)
    for day in DAYS:
        (call.cwd / "a").write_text(f"a {day}")
        (call.cwd / "sub" / "b").write_text(f"b {day}" * len(day))
        assert call("backup", "-q", "--time", f"{day} 12:00:00", ".").code == 0
    return call


def ids(call: Caller, *words: str) -> list[str]:
    return [one["id"] for one in call("--no-lock", "snapshots", "--json", *words).json]


CHANCE = re.compile(r"\[\d+:\d\d\]|\d\.\d+s|cache-\w+|in \d+:\d\d")


def run(call: Caller, line: str, *names: str) -> tuple[int, str]:
    """Run a line in which {} stands for a name; how long something took does not count."""
    first = ids(call)[0] if "{first}" in line else ""
    words = [word.format(*names, first=first).replace("_", " ") for word in line.split(" ")]
    outcome = call("--no-lock", *words)
    return outcome.code, CHANCE.sub("", outcome.out)


@pytest.mark.parametrize("line", NAMING)
def test_a_snapshot_can_be_named_by_age_and_time_in_every_command(filled: Caller, line: str) -> None:
    middle = run(filled, line, ids(filled)[1])
    assert middle[0] == 0
    for name in MIDDLE[:2]:
        assert run(filled, line, name) == middle, name


def test_each_way_to_name_a_snapshot_leads_to_it(filled: Caller) -> None:
    assert [filled("--no-lock", "cat", "snapshot", name).json["time"] for name in MIDDLE] == [
        "2026-02-01T12:00:00Z"
    ] * len(MIDDLE)


@pytest.mark.parametrize("line", FILTERED)
def test_before_and_after_choose_among_snapshots(filled: Caller, line: str) -> None:
    middle = ids(filled)[1]
    named = {"find": "-s "}.get(line.split(" ", maxsplit=1)[0], "")
    expected = run(filled, line.replace("latest", middle) if "latest" in line else f"{line} {named}{middle}")
    assert expected[0] == 0
    assert run(filled, f"{line} --after 2026-01-02 --before 2026-02-28") == expected


def test_the_limits_are_meant_too_and_a_day_as_a_whole(filled: Caller) -> None:
    for words in ("--after 2026-02-01_12:00 --before 2026-02-01_12:00", "--after 2026-02-01 --before 2026-02-01"):
        assert ids(filled, *(word.replace("_", " ") for word in words.split(" "))) == ids(filled)[1:2]
    assert ids(filled, "--after", "2026-02-01 12:00:01") == ids(filled)[2:]


def test_forget_tag_and_copy_heed_names_and_limits(filled: Caller) -> None:
    other = Caller(filled.folder / "other")
    other.folder.mkdir()
    shutil.copytree(filled.repository, other.repository)
    first, middle, last = ids(other)
    assert other("tag", "--add", "x", "--after", "2026-02-01", "--before", "2026-02-01").code == 0
    assert other("tag", "--add", "y", "@2026-01-31").code == 0
    assert [one.get("tags") for one in other("snapshots", "--json").json] == [["y"], ["x"], None]
    target = other.create(name="target")
    into = {"RESTIC_REPOSITORY": str(target), "RESTIC_FROM_REPOSITORY": str(other.repository)}
    into |= {"RESTIC_FROM_PASSWORD": filled.environment["RESTIC_PASSWORD"]}
    assert other("copy", "--after", "2025-12-31", "--before", "2026-01-31", **into).code == 0
    assert other("copy", "latest~1", **into).code == 0
    copied = other("snapshots", "--json", RESTIC_REPOSITORY=str(target)).json
    assert [one["original"] for one in copied] == [first, middle]
    assert other("forget", "--keep-last", "1", "--after", "2026-01-15", "--before", "2026-04-01").code == 0
    assert len(ids(other)) == 2
    assert ids(other)[1] == last
    assert other("forget", "@2026-02-20").code == 0
    assert ids(other) == [last]


def test_what_names_nothing_is_told_with_the_reason(filled: Caller) -> None:
    for name, reason in (
        ("latest~3", "there is no snapshot latest~3: snapshot filter (Paths:[] Tags:[] Hosts:[]) leaves only 3"),
        ("@2025-12-31", "leaves none at or before 2025-12-31 23:59:59"),
        ("@nonsense", "@nonsense is not a valid time"),
    ):
        outcome = filled("ls", name)
        assert outcome.code == 1
        assert reason in outcome.err
        assert f'Ignoring "{name}"' in filled("snapshots", name).err
    oldest = filled("snapshots", "--json").json[0]
    assert f"The oldest snapshot is {oldest['short_id']} of 2026-" in filled("ls", "@2025-12-31").err
    outcome = filled("ls", "latest", "--after", "2026-03-02", "--before", "2026-03-03 10:00")
    assert "After:[2026-03-02 00:00:00] Before:[2026-03-03 10:00:00]): no snapshot found" in outcome.err
    outcome = filled("ls", "latest", "--before", "soon")
    assert (outcome.code, outcome.out) == (1, "")
    assert 'invalid argument "soon" for "--before" flag' in outcome.err


def test_a_day_is_that_of_the_local_zone(filled: Caller) -> None:
    (middle,) = ids(filled)[1:2]
    for zone, day in (("Pacific/Kiritimati", "2026-02-02"), ("Pacific/Pago_Pago", "2026-02-01")):
        assert (
            filled("--no-lock", "cat", "snapshot", f"@{day}", TZ=zone).out
            == filled("--no-lock", "cat", "snapshot", middle).out
        )
    assert filled("snapshots", "--json", "--before", "2026-01-01", TZ="Pacific/Kiritimati").json == []


def test_the_host_of_the_environment_counts_for_names_too(filled: Caller) -> None:
    assert filled("--no-lock", "cat", "snapshot", "latest", RESTIC_HOST="nobody").code == 1
