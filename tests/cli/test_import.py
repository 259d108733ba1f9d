"""import: what Back In Time, rsnapshot, rsync and cp keep, made by these programs, becomes snapshots."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Caller
from tests.support.needs import need_program
from tests.support.users import ordinary_user

SYSTEM = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
"""Back In Time needs Debian's own Python."""


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    made = Caller(tmp_path)
    made.create()
    return made


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A home directory: a file that changes, one that does not, and more than names and bytes."""
    home = tmp_path / "live" / "me"
    (home / "docs").mkdir(parents=True)
    (home / "notes").write_text("first")
    (home / "docs" / "still").write_bytes(os.urandom(200_000))
    (home / "docs" / "still").chmod(0o640)
    (home / "link").symlink_to("docs/still")
    for path in home.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    return home


def change(live: Path, text: str) -> None:
    (live / "notes").write_text(text)
    (live / text).write_text(text)


def run_import(call: Caller, *words: str | Path, code: int = 0) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The messages of each date and the summary."""
    outcome = call("import", "--json", *words)
    assert outcome.code == code, outcome.err
    *dates, summary = map(json.loads, outcome.out.splitlines())
    return dates, summary


def read_tree(folder: Path) -> dict[str, tuple[int, str | bytes, int]]:
    """Mode, content and time of everything in a folder."""
    found: dict[str, tuple[int, str | bytes, int]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (status.st_mode, content, status.st_mtime_ns)
    return found


def check_versions(call: Caller, dates: list[dict[str, Any]], copies: list[Path], live: Path) -> None:
    """Each snapshot has what the copy of its date has, at the original path."""
    for date, copy in zip(dates, copies, strict=True):
        target = call.folder / f"target-{date['snapshot_id'][:8]}"
        assert call("restore", f"{date['snapshot_id']}:{live}", "--target", target).code == 0
        assert read_tree(target) == read_tree(copy)
    assert call("check", "--read-data").code == 0


def check_that_life_goes_on(call: Caller, live: Path, newest: str, versions: int) -> None:
    """The next backup of the folder itself finds its parent and stores no file again; history shows all versions."""
    host = json.loads(call("snapshots", "--json").out)[-1]["hostname"]
    backup = call("backup", "--json", "--host", host, live)
    assert backup.code == 0
    summary = json.loads(backup.out.splitlines()[-1])
    assert (summary["files_new"], summary["data_blobs"]) == (0, 0)
    stored = json.loads(call("snapshots", "--json").out)
    assert next(one for one in stored if one["id"] == summary["snapshot_id"])["parent"] == newest
    (history,) = call("history", "--json", live / "notes").json
    assert len(history["versions"]) == versions


@pytest.mark.process
def test_back_in_time_becomes_snapshots_with_its_dates_host_and_paths(call: Caller, live: Path, tmp_path: Path) -> None:
    program = need_program("backintime", "backintime-common")
    profile = tmp_path / "disk" / "backintime" / "laptop" / "me" / "1"
    profile.mkdir(parents=True)
    settings = {
        "config.version": 6,
        "profiles": 1,
        "profiles.version": 1,
        "profile1.snapshots.mode": "local",
        "profile1.snapshots.path": tmp_path / "disk",
        "profile1.snapshots.path.host": "laptop",
        "profile1.snapshots.path.user": "me",
        "profile1.snapshots.path.profile": 1,
        "profile1.snapshots.include.size": 1,
        "profile1.snapshots.include.1.type": 0,
        "profile1.snapshots.include.1.value": live,
        "profile1.snapshots.exclude.size": 0,
        "profile1.snapshots.notify.enabled": "false",
        "profile1.schedule.mode": 0,
    }
    config = tmp_path / "backintime.conf"
    config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def take(days_ago: int) -> Path:
        """Let Back In Time take a snapshot, and give it an earlier date: it takes one in a second at most."""
        before = set(profile.iterdir())
        command = [program, "--config", str(config), "--share-path", str(tmp_path / "share"), "backup"]
        done = subprocess.run(command, env=SYSTEM | {"HOME": str(tmp_path)}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (made,) = {path for path in profile.iterdir() if not path.is_symlink()} - before
        return made.rename(profile / f"202603{10 - days_ago:02}-143000-{made.name[-3:]}")

    copies = [take(3)]
    change(live, "second")
    copies.append(take(2))
    dates, summary = run_import(call, tmp_path / "disk")
    assert summary == {"message_type": "summary", "imported": 2, "existing": 0, "planned": 0}
    host = os.uname().nodename
    assert [(date["time"], date["hostname"], date["paths"]) for date in dates] == [
        ("2026-03-07T14:30:00Z", host, [str(live)]),
        ("2026-03-08T14:30:00Z", host, [str(live)]),
    ]
    assert [date["files_unmodified"] for date in dates] == [0, 1]
    # The third as Back In Time makes it, without the seconds that it waits.
    copies.append(profile / "20260309-143000-123")
    subprocess.run(["cp", "-al", copies[1], copies[2]], check=True)
    change(live, "third")
    rsync = ["rsync", "-a", f"{live}/", f"{copies[2]}/backup{live}/"]
    assert subprocess.run(rsync).returncode == 0
    again, summary = run_import(call, profile)
    assert summary == {"message_type": "summary", "imported": 1, "existing": 2, "planned": 0}
    assert [date["snapshot_id"] for date in again[:2]] == [date["snapshot_id"] for date in dates]
    # Its hard links are new, but no file of the day before was read again.
    assert (again[2]["files_new"], again[2]["files_changed"], again[2]["files_unmodified"]) == (1, 1, 2)
    check_versions(call, again, [copy / "backup" / str(live)[1:] for copy in copies], live)
    check_that_life_goes_on(call, live, again[2]["snapshot_id"], 3)


@pytest.mark.process
def test_rsnapshot_becomes_snapshots_however_it_rotates(call: Caller, live: Path, tmp_path: Path) -> None:
    program = need_program("rsnapshot", "rsnapshot")
    root = tmp_path / "rsnapshot"
    lines = [
        ("config_version", "1.2"),
        ("snapshot_root", f"{root}/"),
        ("cmd_cp", "/bin/cp"),
        ("cmd_rm", "/bin/rm"),
        ("cmd_rsync", need_program("rsync", "rsync")),
        ("lockfile", str(tmp_path / "rsnapshot.pid")),
        ("retain", "hourly", "3"),
        ("retain", "daily", "2"),
        ("backup", f"{live}/", "localhost/"),
    ]
    config = tmp_path / "rsnapshot.conf"
    config.write_text("".join("\t".join(line) + "\n" for line in lines))

    def rotate(interval: str, seconds: int = 0) -> None:
        done = subprocess.run([program, "-c", str(config), interval], env=SYSTEM, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        if seconds:
            os.utime(root / "hourly.0", (seconds, seconds))

    rotate("hourly", 1_700_003_600)
    change(live, "second")
    rotate("hourly", 1_700_007_200)
    dates, _ = run_import(call, root, "--path", live)
    assert [date["time"] for date in dates] == ["2023-11-14T23:13:20Z", "2023-11-15T00:13:20Z"]
    assert [date["files_unmodified"] for date in dates] == [0, 1]
    assert {date["hostname"] for date in dates} == {os.uname().nodename}
    change(live, "third")
    rotate("hourly", 1_700_010_800)
    rotate("daily")
    assert sorted(path.name for path in root.iterdir()) == ["daily.0", "hourly.0", "hourly.1"]
    again, summary = run_import(call, root, "--path", live)
    assert (summary["imported"], summary["existing"]) == (1, 2)
    assert again[0]["folder"].endswith("daily.0")
    assert again[2]["files_unmodified"] == 2
    copies = [root / name / "localhost" / str(live)[1:] for name in ("daily.0", "hourly.1", "hourly.0")]
    check_versions(call, again, copies, live)
    check_that_life_goes_on(call, live, again[2]["snapshot_id"], 3)


@pytest.mark.process
def test_dated_copies_of_rsync_become_snapshots_of_the_folder_they_are_of(
    call: Caller, live: Path, tmp_path: Path
) -> None:
    rsync = need_program("rsync", "rsync")
    root = tmp_path / "copies"
    root.mkdir()
    for day, text in enumerate(("first", "second", "third"), 1):
        change(live, text)
        copy, before = root / f"2026-03-0{day}", root / f"2026-03-0{day - 1}"
        links = [f"--link-dest={before}"] if before.exists() else []
        assert subprocess.run([rsync, "-a", *links, f"{live}/", str(copy)]).returncode == 0
    dates, _ = run_import(call, root, "--path", live, "--host", "nas", "--tag", "old,copies")
    assert [date["files_unmodified"] for date in dates] == [0, 2, 3]
    check_versions(call, dates, sorted(root.iterdir()), live)
    stored = json.loads(call("snapshots", "--json", "--tag", "old").out)
    assert {(one["hostname"], *one["paths"], *one["tags"]) for one in stored} == {("nas", str(live), "old", "copies")}
    check_that_life_goes_on(call, live, dates[2]["snapshot_id"], 3)


def make_copies(folder: Path, *dates: str) -> Path:
    for date in dates:
        (folder / date).mkdir(parents=True)
        (folder / date / "notes").write_text(date)
    return folder


def test_a_dry_run_lists_the_dates_and_stores_nothing(call: Caller, tmp_path: Path) -> None:
    copies = make_copies(tmp_path / "copies", "2026-03-02", "2026-03-01")
    words = ("import", "--path", "/home/me", "--host", "nas", copies)
    outcome = call(*words, "--dry-run")
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "2026-03-01 00:00:00  nas  /home/me  would be imported",
        "2026-03-02 00:00:00  nas  /home/me  would be imported",
        "2 dates: 2 would be imported, 0 exist already",
    ]
    assert call("snapshots", "--json").json == []
    assert call(*words).code == 0
    (first, *_) = json.loads(call("snapshots", "--json").out)
    outcome = call(*words, "--dry-run")
    assert outcome.out.splitlines()[0] == f"2026-03-01 00:00:00  nas  /home/me  exists as snapshot {first['id'][:8]}"
    assert outcome.out.splitlines()[-1] == "2 dates: 0 would be imported, 2 exist already"


def test_an_older_date_that_turns_up_is_imported_too(call: Caller, tmp_path: Path) -> None:
    copies = make_copies(tmp_path / "copies", "2026-03-02")
    words = ("import", "--path", "/home/me", copies)
    assert call(*words).code == 0
    make_copies(copies, "2026-03-01")
    assert call(*words).out.splitlines()[-1] == "2 dates: 1 imported, 1 exist already"


def test_dates_that_a_killed_import_left_out_are_imported_by_the_next(call: Caller, tmp_path: Path) -> None:
    copies = make_copies(tmp_path / "copies", "2026-03-01", "2026-03-02", "2026-03-03")
    words = ("import", "--path", "/home/me", copies)
    hidden = shutil.move(copies / "2026-03-02", tmp_path / "hidden")
    assert call(*words).code == 0
    shutil.move(hidden, copies / "2026-03-02")
    dates, _ = run_import(call, *words[1:])
    assert [date["action"] for date in dates] == ["existing", "imported", "existing"]


def test_a_file_that_cannot_be_read_is_left_out_and_ends_the_import_with_3(call: Caller, tmp_path: Path) -> None:
    # What an import needs is loaded before the user changes.
    assert call("import", "--path", "/home/me", make_copies(tmp_path / "copies", "2026-03-01")).code == 0
    with ordinary_user() as folder:
        own = Caller(folder)
        own.create()
        copies = make_copies(folder / "copies", "2026-03-01", "2026-03-02")
        (copies / "2026-03-01" / "other").write_text("other")
        (copies / "2026-03-01" / "notes").chmod(0)
        outcome = own("import", "--path", "/home/me", copies)
        assert outcome.code == 3
        assert "notes" in outcome.err
        assert "Warning: at least one file could not be read" in outcome.err
        assert outcome.out.splitlines()[-1] == "2 dates: 2 imported, 0 exist already"


def test_nothing_in_the_copies_is_changed(call: Caller, tmp_path: Path) -> None:
    copies = make_copies(tmp_path / "copies", "2026-03-01", "2026-03-02")

    def look() -> list[tuple[str, int, int]]:
        return [(str(path), path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in sorted(copies.rglob("*"))]

    before = look()
    time.sleep(0.01)
    assert call("import", "--path", "/home/me", copies).code == 0
    assert look() == before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "name the one folder"),
        (["copies", "other"], "name the one folder"),
        (["--layout", "tar", "copies"], "--layout must be backintime, rsnapshot or dated, not 'tar'"),
        (["--path", "home/me", "copies"], "--path must be absolute, not 'home/me'"),
        (["copies"], "does not show which folder it is a backup of"),
        (["nothing"], "contains no dated backups"),
        (["--host", "one", "machines", "--path", "/etc"], "--host cannot replace several host names: box, other"),
    ],
)
def test_what_cannot_be_imported_is_an_error_before_anything_is_opened(
    call: Caller, tmp_path: Path, words: list[str], complaint: str
) -> None:
    make_copies(tmp_path / "copies", "2026-03-01")
    for machine in ("box", "other"):
        (tmp_path / "machines" / "2026-03-01" / machine / "etc").mkdir(parents=True)
    outcome = call("import", *words, RESTIC_PASSWORD="wrong")
    assert outcome.code == 1
    assert complaint in outcome.err
