"""Whole commands on B2 while it fails: they finish, nothing is stored twice, and the real restic finds it whole."""

import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.compat.test_b2 import LOCATION, OnB2
from tests.support.b2 import BUCKET, make_quick_on_b2
from tests.support.restic import Program
from tools.b2_server import B2Server

pytestmark = [pytest.mark.restic, pytest.mark.slow]

FAILURES: list[tuple[str, str, dict[str, object]]] = [
    ("status", "*", {"status": 503}),
    ("status", "*", {"status": 500, "code": "internal_error"}),
    ("status", "b2_[!d]*", {"status": 429, "code": "too_many_requests", "retry_after": 1}),
    ("status", "*", {"status": 408, "code": "request_timeout"}),
    ("reset upload", "b2_upload_file", {"after_bytes": 100_000}),
    ("reset download", "b2_download*", {"after_bytes": 20_000}),
    ("short body", "b2_download*", {"after_bytes": 500}),
    ("flip", "b2_download*", {}),
    ("lose answer", "*", {}),
    ("html", "*", {"status": 200}),
    ("latency", "*", {"seconds": 0.1}),
]


def make_files(folder: Path) -> None:
    folder.mkdir()
    dice = random.Random(41)
    for number in range(6):
        (folder / f"large {number}").write_bytes(dice.randbytes(3_000_000))
    for number in range(60):
        (folder / f"small {number}").write_bytes(dice.randbytes(dice.randrange(20_000)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.timeout(280)
def test_everything_finishes_while_a_tenth_of_all_calls_fails(
    pyrestic: Program, newest: Program, b2: B2Server, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    make_files(source)
    ours, theirs = OnB2(pyrestic, b2), OnB2(newest, b2)
    make_quick_on_b2(b2)
    b2.faults.token_seconds = 4
    for kind, calls, details in FAILURES:
        b2.faults.add(kind, calls, chance=0.1 / len(FAILURES) * 2, **details)
    ours.run("--pack-size", "4", "backup", source)
    (source / "large 0").write_bytes(random.Random(42).randbytes(3_000_000))
    (source / "small 1").unlink()
    ours.run("--pack-size", "4", "backup", source)
    ours.run("check", "--read-data")
    ours.run("restore", f"latest:{source}", "--target", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(source)
    ours.run("forget", "--keep-last", "1")
    ours.run("--pack-size", "4", "prune", "--max-unused", "0")
    assert len(b2.faults.hit) > 5
    b2.faults.clear()
    theirs.run("check", "--read-data")
    blobs = theirs.run("list", "blobs").text.splitlines()
    assert len(blobs) == len(set(blobs))
    assert theirs.run("list", "locks").text == ""
    theirs.run("restore", f"latest:{source}", "--target", tmp_path / "by restic")
    assert contents(tmp_path / "by restic") == contents(source)
    # Nothing is there in two versions but what hides nothing: no pack went up twice.
    bucket = b2.store.buckets()[0].id
    names = [version.name for version in b2.store.versions(bucket, "", "") if "/data/" in version.name]
    assert len(names) == len(set(names))


PERMANENT: dict[str, tuple[str, dict[str, object], str]] = {
    "503": ("status", {"status": 503}, "503"),
    "silence": ("silence", {}, "almost no data was transferred"),
    "drip": ("drip", {"seconds": 0.2}, "almost no data was transferred"),
    "resets": ("lose answer", {}, "was lost"),
    "a page": ("html", {"status": 200}, "did not come from B2"),
}


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *((name, command) for name in PERMANENT for command in ("backup", "restore")),
        *(("503", command) for command in ("snapshots", "forget", "check", "prune")),
    ],
)
def test_a_fault_that_stays_ends_each_command_soon_with_one_sentence(
    pyrestic: Program, b2: B2Server, tmp_path: Path, name: str, command: str
) -> None:
    kind, details, sentence = PERMANENT[name]
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"content")
    ours = OnB2(pyrestic, b2)
    make_quick_on_b2(b2)
    ours.run("backup", source)
    commands: dict[str, list[str | Path]] = {
        "backup": ["backup", source],
        "restore": ["restore", "latest", "--target", tmp_path / "back"],
        "snapshots": ["snapshots"],
        "forget": ["forget", "--keep-last", "1"],
        "check": ["check"],
        "prune": ["prune"],
    }
    b2.faults.add(kind, "*", **details)
    started = time.monotonic()
    ended = ours.run(
        "-o", "b2.deadline=2", "--stuck-request-timeout", "500ms", "--no-cache", *commands[command], code=1
    )
    assert time.monotonic() - started < 60
    last = ended.stderr.decode().strip().splitlines()
    assert any(line.startswith("Fatal: ") and sentence in line for line in last), ended.stderr
    assert b"Traceback" not in ended.stderr
    assert b2.master_key.encode() not in ended.stderr + ended.stdout


LIES: dict[str, tuple[str, dict[str, object], str]] = {
    "another SHA-1": ("b2_upload_file", {"contentSha1": "1" * 40}, "says it stored something else"),
    "a page that comes again": ("b2_list_file_names", {"nextFileName": "some/path/a"}, "repeat in a loop"),
    "lengths below zero": (
        "b2_list_file_names",
        {"files": [{"fileId": "1", "fileName": "", "contentLength": -1}]},
        "did not come from B2",
    ),
    "a token with a line break": ("b2_get_upload_url", {"authorizationToken": "a\r\nb"}, "did not come from B2"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_service_that_lies_ends_a_backup_with_a_sentence_and_costs_no_byte(
    pyrestic: Program, newest: Program, b2: B2Server, tmp_path: Path, lie: str
) -> None:
    calls, values, words = LIES[lie]
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"content")
    ours, theirs = OnB2(pyrestic, b2), OnB2(newest, b2)
    make_quick_on_b2(b2)
    ours.run("backup", source)
    (source / "file").write_bytes(b"other content")
    # The lock goes up, and then it begins.
    passed = 1 if calls == "b2_upload_file" else 0
    b2.faults.add("lie", calls, after_calls=passed, change=lambda answer: answer.update(values))
    ended = ours.run("-o", "b2.deadline=2", "--no-cache", "backup", source, code=1)
    assert f"{words}\n" in ended.stderr.decode()
    assert b"Traceback" not in ended.stderr
    b2.faults.clear()
    theirs.run("unlock", "--remove-all")
    theirs.run("check", "--read-data")
    assert len(theirs.run("snapshots", "--json").json) == 1


@pytest.mark.parametrize("folder", ["index", "snapshots", "data"])
def test_files_that_are_hidden_while_a_prune_runs_end_it_and_cost_no_other(
    pyrestic: Program, newest: Program, b2: B2Server, tmp_path: Path, folder: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    ours, theirs = OnB2(pyrestic, b2), OnB2(newest, b2)
    make_quick_on_b2(b2)
    (source / "kept").write_bytes(random.Random(5).randbytes(100_000))
    for number in range(2):
        (source / "changed").write_bytes(random.Random(number).randbytes(100_000))
        ours.run("backup", source)
    ours.run("forget", "--keep-last", "1")
    bucket = b2.store.buckets()[0].id

    def hide(page: dict[str, Any]) -> None:
        for file in page["files"]:
            if f"/{folder}/" in file["fileName"]:
                b2.store.add_version(bucket, file["fileName"], "hide")

    b2.faults.add("lie", "b2_list_file_names", change=hide)
    ended = ours.run("--no-cache", "prune", "--max-unused", "0", code=1)
    assert b"Fatal: " in ended.stderr
    assert b"Traceback" not in ended.stderr
    b2.faults.clear()
    for version in list(b2.store.versions(bucket, "", "")):
        if version.action == "hide":
            b2.store.remove_version(version)
    theirs.run("check", "--read-data")
    theirs.run("restore", "latest", "--target", tmp_path / "back")
    assert contents(tmp_path / "back" / source.relative_to("/")) == contents(source)


@pytest.mark.parametrize("cap", ["storage", "transaction", "download"])
def test_a_full_cap_ends_a_backup_at_once_and_is_named(
    pyrestic: Program, newest: Program, b2: B2Server, tmp_path: Path, cap: str
) -> None:
    source = tmp_path / "source"
    make_files(source)
    ours = OnB2(pyrestic, b2)
    make_quick_on_b2(b2)
    b2.faults.full_caps.add(cap)
    started = time.monotonic()
    ended = ours.run("--no-cache", "backup", source, code=1)
    assert time.monotonic() - started < 30
    word = {"storage": b"storage cap", "transaction": b"cap on transactions", "download": b"cap on downloads"}[cap]
    assert word in ended.stderr
    assert b"Caps & Alerts" in ended.stderr
    b2.faults.clear()
    ours.run("backup", source)
    OnB2(newest, b2).run("check", "--read-data")


def test_init_outside_the_prefix_of_the_key_ends_at_once_with_a_sentence(pyrestic: Program, b2: B2Server) -> None:
    make_quick_on_b2(b2)
    key_id, key = b2.add_key(["listFiles", "readFiles", "writeFiles"], bucket=BUCKET, prefix="elsewhere/")
    words = ("-r", LOCATION, "-o", f"b2.endpoint={b2.url}", "init")
    started = time.monotonic()
    ended = pyrestic.run(*words, code=1, B2_ACCOUNT_ID=key_id, B2_ACCOUNT_KEY=key)
    assert time.monotonic() - started < 60
    assert b"is limited to another bucket or name prefix" in ended.stderr
    assert b"trying again" not in ended.stderr


@pytest.mark.parametrize("fault", ["silence", "status"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_uploads_that_stand_still_and_waits_and_releases_the_lock(
    pyrestic: Program, newest: Program, b2: B2Server, tmp_path: Path, fault: str, number: signal.Signals
) -> None:
    source = tmp_path / "source"
    make_files(source)
    ours = OnB2(pyrestic, b2)
    make_quick_on_b2(b2)
    # The lock goes up, and then nothing any more.
    b2.faults.add(fault, "b2_upload_file", after_calls=1)
    command: list[str | Path] = [
        *pyrestic.command,
        "-r",
        LOCATION,
        "-o",
        f"b2.endpoint={b2.url}",
        "--pack-size",
        "4",
        "backup",
        source,
    ]
    environment = pyrestic.environment(**b2.environment())
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(b2.faults.hit) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(b2.faults.hit) >= 2
    process.send_signal(number)
    started = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert time.monotonic() - started < 20
    assert b"Traceback" not in said
    b2.faults.clear()
    theirs = OnB2(newest, b2)
    assert theirs.run("list", "locks").text == ""
    ours.run("backup", source)
    theirs.run("check", "--read-data")


@pytest.mark.timeout(280)
def test_a_kill_during_uploads_loses_nothing_and_no_pack_goes_up_twice(
    pyrestic: Program, newest: Program, b2: B2Server, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    make_files(source)
    ours, theirs = OnB2(pyrestic, b2), OnB2(newest, b2)
    make_quick_on_b2(b2)
    dice = random.Random(43)
    bucket = b2.store.buckets()[0].id

    def packs() -> list[str]:
        return [version.name for version in b2.store.versions(bucket, "", "") if "/data/" in version.name]

    def is_receiving() -> bool:
        # What a dead client has sent waits in the socket: on a slow line whole packs come to be long after it.
        stored = {version.content for version in b2.store.versions(bucket, "", "")}
        return not {path.name for path in b2.store.contents.iterdir()} <= stored

    b2.faults.up.bytes_per_second = 8_000_000
    command: list[str | Path] = [*pyrestic.command, "-r", LOCATION, "-o", f"b2.endpoint={b2.url}", "--pack-size", "4"]
    environment = pyrestic.environment(**b2.environment())
    killed = 0
    for number in range(4):
        (source / "large 0").write_bytes(dice.randbytes(9_000_000))
        before = len(packs())
        process = subprocess.Popen([*command, "backup", source], env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(packs()) < before + 1 + number % 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.3))
        process.kill()
        killed += process.wait() < 0
        deadline = time.monotonic() + 60
        while is_receiving():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        theirs.run("check", "--no-lock", "--read-data")
    assert killed >= 2
    b2.faults.clear()
    ours.run("--pack-size", "4", "backup", source)
    theirs.run("check", "--read-data")
    blobs = theirs.run("list", "blobs").text.splitlines()
    assert len(blobs) == len(set(blobs))
    ours.run("restore", f"latest:{source}", "--target", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(source)
