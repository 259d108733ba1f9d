"""What pyrestic alone can do on B2: the bill, yesterday's repository, the doctor."""

import json
import os
import stat
import time
from pathlib import Path

import pytest

from tests.compat.test_b2 import LOCATION, OnB2
from tests.support.b2 import BUCKET, make_quick_on_b2
from tests.support.restic import Program
from tools.b2_server import B2Server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(5):
        (folder / f"file {number}").write_bytes(os.urandom(50_000))
    return folder


def wait_a_moment() -> str:
    """Return the time now, to a second, with nothing else done in that second."""
    time.sleep(1.1)
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    time.sleep(1.1)
    return now


@pytest.mark.restic
def test_what_an_append_only_key_hid_is_back_in_the_repository_of_before(
    pyrestic: Program, newest: Program, b2: B2Server, source: Path, tmp_path: Path
) -> None:
    ours = OnB2(pyrestic, b2)
    make_quick_on_b2(b2)
    ours.run("backup", source)
    ours.run("backup", "--force", source)
    before = wait_a_moment()
    # An intruder with a key that may not delete removes all snapshots and prunes.
    key_id, key = b2.add_key(["listFiles", "readFiles", "writeFiles"], bucket=BUCKET)
    intruder = {"B2_ACCOUNT_ID": key_id, "B2_ACCOUNT_KEY": key}
    command = ("-r", LOCATION, "-o", f"b2.endpoint={b2.url}")
    forget = ("forget", "--unsafe-allow-remove-all", "--tag", "", "--prune", "--group-by", "")
    pyrestic.run(*command, *forget, **intruder)  # type: ignore[arg-type]
    assert ours.run("snapshots", "--json").json == []
    past = OnB2(pyrestic, b2)
    past._words += ["-o", f"b2.as-of={before}"]
    found = past.run("snapshots", "--json").json
    assert len(found) == 2
    past.run("check", "--read-data")
    past.run("restore", f"latest:{source}", "--target", tmp_path / "back")
    assert sorted(os.listdir(tmp_path / "back")) == sorted(os.listdir(source))
    for name in os.listdir(source):
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes()
    assert b"file 3" in past.run("ls", "latest").stdout
    for refused in (["backup", source], ["forget", "latest"], ["prune"]):
        result = past.run(*refused, code=1)
        assert b"cannot be changed" in result.stderr, refused
    nonsense = OnB2(pyrestic, b2)
    nonsense._words += ["-o", "b2.as-of=yesterday-ish"]
    assert b"b2.as-of must be a time" in nonsense.run("snapshots", code=1).stderr


def test_every_command_says_what_it_asked_for_and_the_month_adds_it_up(
    pyrestic: Program, b2: B2Server, source: Path, tmp_path: Path
) -> None:
    ours = OnB2(pyrestic, b2)
    make_quick_on_b2(b2)
    b2.counters.reset()
    bill = ours.run("backup", "--json", source).messages[-1]["b2"]
    counted = b2.counters.snapshot()
    classes = counted["classes"]
    assert [bill["class_a"], bill["class_b"], bill["class_c"]] == [classes["A"], classes["B"], classes["C"]]
    assert bill["uploaded_bytes"] == counted["bytes_in"]
    assert bill["stored_bytes_added"] > 250_000
    dollars = classes["B"] * 4e-7 + classes["C"] * 4e-6 + bill["downloaded_bytes"] * 1e-11
    assert bill["dollars"] == pytest.approx(dollars, abs=1e-9)
    restored = ours.run("restore", "latest", "--json", "--target", tmp_path / "back").messages[-1]["b2"]
    assert restored["downloaded_bytes"] > 250_000
    assert b"class C calls" in ours.run("-v", "snapshots").stdout
    assert b"class C calls" not in ours.run("snapshots").stdout
    book = ours.run("cost", "--json").json
    month = book["months"][-1]
    assert month["class_b"] >= bill["class_b"] + restored["class_b"]
    assert month["uploaded_bytes"] >= bill["uploaded_bytes"]
    assert month["dollars_beyond_allowance"] == 0
    assert [one["location"] for one in book["repositories"]] == [LOCATION]
    bucket = b2.store.buckets()[0].id
    held = [version.length for version in b2.store.versions(bucket, "", "")]
    assert (book["stored"]["files"], book["stored"]["file_bytes"]) == (len(held), sum(held))
    path = pyrestic.home / ".local" / "state" / "pyrestic" / "costs.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = ours.run("cost").text
    assert "forecast" in text
    assert "Class C" in text
    offline = pyrestic.run("cost", "--offline", "--json").json
    assert pyrestic.run("cost", "--offline", "--months", "0", "--json").json["months"] == []
    assert (offline["stored"], offline["forecast"]) == (None, None)


def test_prices_of_the_user_are_used_and_nonsense_is_named(pyrestic: Program, b2: B2Server, source: Path) -> None:
    ours = OnB2(pyrestic, b2)
    make_quick_on_b2(b2)
    folder = pyrestic.home / ".config" / "pyrestic"
    folder.mkdir(parents=True)
    (folder / "prices.json").write_text(json.dumps({"class_c_per_1000": 1000}))
    bill = ours.run("backup", "--json", source).messages[-1]["b2"]
    assert bill["dollars"] >= bill["class_c"]
    (folder / "prices.json").write_text(json.dumps({"class_x": 1}))
    assert b"no price 'class_x'" in ours.run("cost", code=1).stderr
    # A backup is not refused for it.
    assert b"default prices are used" in ours.run("backup", source).stderr


def test_the_doctor_is_content_or_says_what_to_do(pyrestic: Program, b2: B2Server) -> None:
    ours = OnB2(pyrestic, b2)
    make_quick_on_b2(b2)
    advice = ours.run("b2", "doctor")
    assert b"Advice: this is the master key" in advice.stdout
    found = b2.store.buckets()[0]
    rule = {"daysFromHidingToDeleting": 30, "daysFromUploadingToHiding": None, "fileNamePrefix": ""}
    b2.store.put_bucket(type(found)(found.id, found.name, "allPublic", {}, [rule], 3))
    problem = ours.run("b2", "doctor", "--json", code=1).json
    assert {one["code"] for one in problem["findings"] if one["problem"]} == {"public"}
    b2.store.put_bucket(type(found)(found.id, found.name, "allPrivate", {}, [rule], 4))
    key_id, key = b2.add_key(["listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles"], bucket=BUCKET)
    content = pyrestic.run(
        *("-r", LOCATION, "-o", f"b2.endpoint={b2.url}", "b2", "doctor"),
        B2_ACCOUNT_ID=key_id,
        B2_ACCOUNT_KEY=key,
    )
    assert content.text == "No problems found.\n"
    elsewhere = pyrestic.run("-r", "/nowhere", "b2", "doctor", code=1)
    assert b"/nowhere is not in B2" in elsewhere.stderr


def test_settings_that_are_missing_or_wrong_are_named(pyrestic: Program, b2: B2Server) -> None:
    missing = pyrestic.run("-r", LOCATION, "snapshots", code=1)
    assert b"B2_ACCOUNT_ID" in missing.stderr
    missing = pyrestic.run("-r", LOCATION, "snapshots", code=1, B2_ACCOUNT_ID="x")
    assert b"B2_ACCOUNT_KEY" in missing.stderr
    ours = OnB2(pyrestic, b2)
    assert b"6 to 50 letters" in pyrestic.run("-r", "b2:a b:x", "snapshots", code=1).stderr
    nothing = ours.run("snapshots", code=10)
    assert b"Is there a repository at the following location?" in nothing.stderr
    wrong = pyrestic.run(
        *("-r", LOCATION, "-o", f"b2.endpoint={b2.url}", "snapshots"),
        code=1,
        B2_ACCOUNT_ID=b2.master_id,
        B2_ACCOUNT_KEY="K000-a-wrong-one",
    )
    assert b"does not accept the application key" in wrong.stderr
    assert b"K000-a-wrong-one" not in wrong.stderr


def spend(pyrestic: Program, **usage: int) -> None:
    """Note usage of today in the log, as if other commands had asked for it."""
    folder = pyrestic.home / ".local" / "state" / "pyrestic"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    days = {time.strftime("%Y-%m-%d", time.gmtime()): {"b2:another": usage}}
    (folder / "costs.json").write_text(json.dumps({"version": 1, "days": days}))


def test_a_used_up_budget_stops_a_command_before_it_asks_for_anything(
    pyrestic: Program, b2: B2Server, source: Path
) -> None:
    ours = OnB2(pyrestic, b2)
    ours.run("init")
    spend(pyrestic, class_b=2500, class_c=2500)
    b2.counters.reset()
    refused = ours.run("backup", "--budget-month", "0", source, code=75)
    assert b"this command would cost $0.000034 beyond today's free allowance: $0.00 of this month's" in refused.stderr
    assert b2.counters.snapshot()["classes"] == {"A": 0, "B": 0, "C": 0}
    ours.run("backup", "--budget-month", "2 USD", source)


def test_reading_is_cut_to_what_the_budget_allows_or_refused(
    pyrestic: Program, b2: B2Server, source: Path, tmp_path: Path
) -> None:
    ours = OnB2(pyrestic, b2)
    ours.run("init")
    ours.run("backup", source)
    spend(pyrestic, downloaded_bytes=10**9 - 100_000)
    cut = ours.run("check", "--budget", "1G", "--budget-month", "0")
    assert b"the month's budget allows to read 0 B of 1.000 GiB" in cut.stderr
    for words in (["check", "--read-data"], ["restore", "latest", "--target", tmp_path / "target", "--no-cache"]):
        refused = ours.run(*words, "--budget-month", "0", code=75)
        assert b"beyond today's free allowance: $0.00 of this month's budget of $0.00 were spent" in refused.stderr
    assert not (tmp_path / "target").exists()
    ours.run("check", "--read-data", "--budget-month", "1")
    for number in range(4):
        (source / f"file {number}").unlink()
    ours.run("backup", source)
    ours.run("forget", "--keep-last", "1")
    spend(pyrestic, downloaded_bytes=10**9 - 20_000)
    refused = ours.run("prune", "--max-unused", "0", "--budget-month", "0", code=75)
    assert b"repacking (see --max-repack-size) would cost $0.00" in refused.stderr
    ours.run("prune", "--max-unused", "0", "--budget-month", "1")
    ours.run("check", "--read-data")


def test_a_backup_that_the_budget_does_not_allow_is_refused_before_it_reads(
    pyrestic: Program, b2: B2Server, source: Path
) -> None:
    ours = OnB2(pyrestic, b2)
    ours.run("init")
    spend(pyrestic, stored_bytes=10 * 10**9 - 9_000_000)
    ours.run("backup", "--budget-month", "0", source)
    (source / "large").write_bytes(os.urandom(20 << 20))
    packs = ours.run("list", "packs").text
    refused = ours.run("backup", "--budget-month", "0", source, code=75)
    assert b"this backup of up to 20.000 MiB would cost $0.00" in refused.stderr
    assert ours.run("list", "packs").text == packs
    ours.run("backup", "--budget-month", "1", source)


@pytest.mark.parametrize("partial", [True, False])
def test_a_budget_that_runs_out_meanwhile_ends_a_backup_early_if_it_can(
    pyrestic: Program, b2: B2Server, source: Path, partial: bool
) -> None:
    ours = OnB2(pyrestic, b2)
    ours.run("init")
    for number in range(20):
        folder = source / f"folder {number:02}"
        folder.mkdir()
        (folder / "file").write_bytes(os.urandom(2 << 20))
    # The free storage is full but for some packs.
    spend(pyrestic, stored_bytes=10 * 10**9 - 9_000_000)
    flags = ["--pack-size", "4", "--budget-month", "0", "--read-concurrency", "1"]
    if partial:
        ended = ours.run("backup", *flags, "--partial", source, code=3)
        assert b"may cost more than what is left of the month's budget: storing what it allows" in ended.stderr
    else:
        # The length of a stream is not known before.
        ended = ours.run("backup", *flags, "--stdin", code=75, stdin=os.urandom(40 << 20))
    stored = ours.run("snapshots", "--json").json
    if partial:
        assert b"the month's budget is used up: storing what is complete" in ended.stderr
        assert b"the backup ended early: the month's budget is used up" in ended.stderr
        assert [one["tags"] for one in stored] == [["pyrestic:partial"]]
        assert 0 < stored[0]["summary"]["total_files_processed"] < 25
    else:
        assert b"the command was ended: $0.00 of this month's budget of $0.00 were spent before" in ended.stderr
        assert stored == []
    ours.run("check", "--read-data")
    assert ours.run("backup", "--json", source).messages[-1]["total_files_processed"] == 25
