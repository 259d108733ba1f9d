"""Whole commands at swift:, gs: and azure: while the place fails; tests/compat/test_places.py has what works."""

import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.clouds import CLOUDS, faulty_cloud
from tests.support.faulty_proxy import PAGE, FaultyProxy, add_common_faults
from tests.support.repositories import make_repository
from tests.support.restic import Program, find_restic
from tests.support.served_places import Client, Served
from tools.place_servers.place import Place

pytestmark = [pytest.mark.restic, pytest.mark.slow]

_AZURE = "<?xml version='1.0'?><Error><Code>{}</Code><Message>busy</Message></Error>"
_GOOGLE = '{{"error": {{"code": {}, "message": "busy", "errors": [{{"reason": "backendError"}}]}}}}'
BUSY: dict[str, dict[int, bytes]] = {
    "swift": {500: b"<html>", 503: b"", 429: b"", 408: b"", 498: b"slow down"},
    "gs": {status: _GOOGLE.format(status).encode() for status in (500, 503, 429, 408)},
    "azure": {503: _AZURE.format("ServerBusy").encode(), 500: _AZURE.format("OperationTimedOut").encode()},
}


class Faulty(NamedTuple):
    """A place behind a proxy, and a function to the same place without it."""

    kind: str
    proxy: FaultyProxy
    place: Place
    find_direct: Callable[[], Place]


@pytest.fixture(params=CLOUDS)
def faulty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Faulty]:
    """Each place in turn."""
    with faulty_cloud(request.param, tmp_path / "cloud") as (proxy, place, find_direct):
        yield Faulty(request.param, proxy, place, find_direct)


def make_quick(faulty: Faulty) -> None:
    """Make a repository whose key costs no time."""
    make_repository(Served(faulty.place, print, print, faulty.place).open("r")).close()


def make_files(folder: Path) -> None:
    folder.mkdir()
    dice = random.Random(41)
    for number in range(2):
        (folder / f"large {number}").write_bytes(dice.randbytes(3_000_000))
    for number in range(20):
        (folder / f"small {number}").write_bytes(dice.randbytes(dice.randrange(20_000)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.timeout(280)
@pytest.mark.nightly
def test_everything_finishes_while_a_tenth_of_all_requests_fails(
    pyrestic: Program, faulty: Faulty, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    make_files(source)
    make_quick(faulty)
    proxy = faulty.proxy
    ours = Client(pyrestic, faulty.place, "r")
    if faulty.kind != "azure":
        for passed in (10, 60):
            # The token has expired.
            proxy.add("status", status=401, passed=passed, times=1)
    add_common_faults(proxy, 0.1, BUSY[faulty.kind])
    proxy.add("flip upload", "POST /upload*", chance=0.02)
    ours.run("--pack-size", "4", "backup", source)
    (source / "large 0").write_bytes(random.Random(42).randbytes(3_000_000))
    (source / "small 1").unlink()
    ours.run("--pack-size", "4", "backup", source)
    ours.run("check", "--read-data")
    ours.run("restore", f"latest:{source}", "--target", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(source)
    ours.run("forget", "--keep-last", "1", "--prune", "--max-unused", "0")
    assert len(proxy.hit) > 5
    proxy.clear()
    release = "0.14" if faulty.kind == "azure" else "0.19"
    theirs = Client(find_restic(release, tmp_path), faulty.find_direct(), "r")
    theirs.run("check", "--read-data")
    assert theirs.run("list", "locks").text == ""
    blobs = theirs.run("list", "blobs").text.splitlines()
    assert len(blobs) == len(set(blobs))


FAULTS: dict[str, tuple[str, dict[str, object], str]] = {
    "503": ("status", {"status": 503}, "503"),
    "silence": ("silence", {}, "almost no data was transferred"),
    # Through a tunnel it looks as if the proxy had closed it.
    "resets": ("lose answer", {}, "was lost|the proxy does not let the request through"),
    "a page": ("status", {"status": 200, "body": PAGE}, "failed: "),
    "forbidden": ("status", {"status": 403, "body": b"no"}, "403"),
    "a redirect": ("status", {"status": 302, "headers": {"Location": "https://example.com/"}}, "302"),
}


@pytest.mark.parametrize(
    "name", [name if name in ("503", "silence") else pytest.param(name, marks=pytest.mark.nightly) for name in FAULTS]
)
def test_a_fault_that_stays_ends_a_command_with_one_sentence(
    pyrestic: Program, faulty: Faulty, tmp_path: Path, name: str
) -> None:
    kind, details, sentence = FAULTS[name]
    make_quick(faulty)
    ours = Client(pyrestic, faulty.place, "r")
    faulty.proxy.add(kind, "*", **details)
    words = ("-o", f"{faulty.kind}.deadline=2", "--stuck-request-timeout", "500ms", "--no-cache")
    ended = ours.run(*words, "snapshots", code=1)
    lines = ended.stderr.decode().strip().splitlines()
    assert any(line.startswith("Fatal: ") and re.search(sentence, line) for line in lines), ended.stderr
    assert b"Traceback" not in ended.stderr
    for variable, value in faulty.place.environment.items():
        if variable.endswith(("KEY", "TOKEN")):
            assert value.encode() not in ended.stderr + ended.stdout


def test_an_interrupt_ends_a_command_whose_server_is_silent(pyrestic: Program, faulty: Faulty) -> None:
    make_quick(faulty)
    faulty.proxy.add("silence", "*")
    words = [*pyrestic.command, *faulty.place.flags("r"), "--no-cache", "snapshots"]
    environment = pyrestic.environment(**faulty.place.environment)
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not faulty.proxy.hit:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors.decode()
    assert b"Traceback" not in errors
