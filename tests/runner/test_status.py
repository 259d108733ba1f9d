"""How things stand, in a table and in sentences."""

import msgspec
import pytest

from pyrestic.profiles.profile import Profile
from pyrestic.runner.records import ProfileRecord, Runs, TaskRecord
from pyrestic.runner.results import TaskResult, conclude, find_worst
from pyrestic.runner.status import ProfileStatus, find_statuses
from pyrestic.runner.wording import show_age, show_short, show_since
from tests.support.profiles import DAY, HOUR, make_profile, make_task
from tests.support.zone import use_zone

NOW = 1_780_056_000.0  # Friday, 12:00 UTC
MINUTE = 60.0
GOOD = TaskRecord(
    started=NOW - 34 * MINUTE,
    ended=NOW - 34 * MINUTE,
    good_started=NOW - 34 * MINUTE,
    good_ended=NOW - 34 * MINUTE,
    snapshot="ab" * 32,
)
HOME = make_profile("home", make_task("backup"), make_task("check", DAY), make_task("drill", DAY), repo="b2:bucket")

pytestmark = pytest.mark.usefixtures("zone_again")


def status(profile: Profile, running: bool = False, **tasks: TaskRecord) -> ProfileStatus:
    use_zone("UTC")
    runs = Runs(version=1, profiles={profile.name: ProfileRecord(first_seen=NOW - 30 * DAY, tasks=tasks, kept=61)})
    (found,) = find_statuses([profile], runs, NOW, {profile.name: running})
    return found


def test_a_profile_is_well() -> None:
    checked = TaskRecord(started=NOW - 12 * DAY, ended=NOW - 12 * DAY, good_ended=NOW - 12 * DAY)
    found = status(HOME, backup=GOOD, check=checked)
    assert found.row() == ["home", "34 minutes ago", "in 26 min", "61", "-", "b2:bucket", "12 d", "never"]
    assert found.sentences() == ["home: all well."]
    assert found.well


def test_it_says_what_checks_have_verified() -> None:
    packs = {"verified_packs": 299, "never_verified_packs": 1}
    facts: dict[str, int | float | None] = {**packs, "oldest_verified_age": DAY}
    checked = TaskRecord(started=NOW - 2 * DAY, ended=NOW - 2 * DAY, good_ended=NOW - 2 * DAY, facts=facts)
    sentence = "home: 99 % of the packs are verified, the first of them 3 days ago."
    assert status(HOME, backup=GOOD, check=checked).sentences() == [sentence, "home: all well."]
    checked.facts["verified_packs"] = 0
    assert status(HOME, backup=GOOD, check=checked).sentences() == ["home: all well."]


def test_an_absent_drive_becomes_overdue() -> None:
    since = NOW - 3 * DAY - 2 * HOUR - 50 * MINUTE
    old = TaskRecord(good_started=NOW - 6 * DAY, good_ended=NOW - 6 * DAY, waiting="/m is not there")
    old.waiting_since = since
    found = status(make_profile("disk", repo="/m"), backup=old)
    assert found.row() == ["disk", "6 days ago  OVERDUE", "waiting", "61", "-", "/m", "-", "-"]
    assert found.sentences() == ["disk: backup waiting: /m is not there since Tuesday 09:10."]
    assert not found.well


def test_a_profile_that_never_had_a_backup_becomes_overdue() -> None:
    found = status(HOME)
    assert found.row()[1:3] == ["never  OVERDUE", "now"]
    assert found.sentences() == ["home: there was no good backup for too long."]


def test_a_failure_is_told_with_its_reason() -> None:
    record = TaskRecord(started=NOW - 600, ended=NOW - 590, code=12, error="wrong password", failures=2)
    record.good_started = record.good_ended = NOW - HOUR
    found = status(HOME, backup=record)
    assert found.sentences() == ["home: backup failed: wrong password (11:50)."]
    assert not found.well


def test_a_killed_run_is_told_unless_it_still_runs() -> None:
    record = TaskRecord(started=NOW - 600, good_started=NOW - HOUR, good_ended=NOW - HOUR)
    assert status(HOME, backup=record).sentences() == ["home: backup failed: it was killed (11:50)."]
    running = status(HOME, running=True, backup=record)
    assert (running.well, running.row()[2]) == (True, "running")


def test_files_that_could_not_be_read_are_mentioned() -> None:
    record = TaskRecord(good_started=NOW, good_ended=NOW, facts={"unreadable": 3})
    assert status(HOME, backup=record).sentences() == ["home: 3 files could not be read by the last backup."]


def test_a_source_that_did_not_exist_is_mentioned() -> None:
    record = TaskRecord(good_started=NOW, good_ended=NOW, facts={"missing_source": 1})
    assert status(HOME, backup=record).sentences() == ["home: a source did not exist at the last backup."]


def test_the_fields_name_each_task() -> None:
    fields = status(HOME, backup=GOOD).fields()
    assert fields["last_good_snapshot"] == "ab" * 32
    backup, check, drill = fields["tasks"]
    assert (backup["name"], backup["due"]) == ("backup", "2026-05-29T12:26:00+00:00")
    # It never ran, and is due since the profile was first seen.
    assert (check["name"], check["due"], check["exit_code"]) == ("check", "2026-04-29T12:00:00+00:00", None)
    assert (drill["name"], fields["kept"]) == ("drill", 61)


def test_size_and_cost_are_shown() -> None:
    use_zone("UTC")
    record = ProfileRecord(first_seen=NOW, tasks={"backup": GOOD}, kept=61, stored_bytes=13_200_000_000)
    runs = Runs(version=1, profiles={"home": record})
    (found,) = find_statuses([HOME], runs, NOW, {}, costs={"home": 0.02})
    assert found.row()[3:6] == ["61", "12.3 GiB", "b2:bucket"]
    assert found.sentences() == ["home: it costs $0.02 this month.", "home: all well."]
    fields = found.fields()
    assert (fields["stored_bytes"], fields["month_cost"], fields["budget"]) == (13_200_000_000, 0.02, None)
    limited = msgspec.structs.replace(HOME, budget="2 USD")
    (found,) = find_statuses([limited], runs, NOW, {}, costs={"home": 0.02})
    assert found.sentences()[0] == "home: it costs $0.02 this month, of a budget of 2 USD."
    assert found.fields()["budget"] == 2.0


def test_backup_and_forget_count_the_snapshots() -> None:
    profile = ProfileRecord(first_seen=NOW)
    summary = {"message_type": "summary", "repository_snapshots": 62, "repository_bytes": 1000}
    conclude(profile, "backup", TaskResult("success", summary=summary), NOW)
    assert (profile.kept, profile.stored_bytes) == (62, 1000)
    conclude(profile, "forget", TaskResult("success", summary={"kept": 40, "removed": 22}), NOW)
    conclude(profile, "check", TaskResult("success", summary={"num_errors": 0}), NOW)
    assert (profile.kept, profile.stored_bytes) == (40, 1000)


def test_a_password_in_the_place_is_not_shown() -> None:
    found = status(make_profile("home", repo="rest:https://me:secret@host/x"), backup=GOOD)
    assert "secret" not in str(found.row()) + str(found.fields())


@pytest.mark.parametrize(
    ("seconds", "age", "short"),
    [
        *[(0, "just now", "0 s"), (61, "1 minute ago", "61 s"), (120, "2 minutes ago", "2 min")],
        *[(7200, "2 hours ago", "2 h"), (DAY, "24 hours ago", "24 h"), (2 * DAY, "2 days ago", "2 d")],
    ],
)
def test_ages_are_rounded_down(seconds: float, age: str, short: str) -> None:
    assert (show_age(seconds), show_short(seconds)) == (age, short)


def test_a_time_is_shown_as_briefly_as_possible() -> None:
    use_zone("UTC")
    assert [show_since(NOW - days * DAY, NOW) for days in (0, 1, 30)] == ["12:00", "Thursday 12:00", "2026-04-29"]


def test_the_worst_exit_code_is_found() -> None:
    assert find_worst([]) == 0
    assert find_worst([0, 3, 1]) == 1
    assert find_worst([11, 10, 12, 130, 1]) == 130
    assert find_worst([0, 99, 3]) == 1
