"""Whole commands on a repository at s3: while the place fails; tests/compat/test_places.py has what works."""

import random
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.faulty_proxy import PAGE, FaultyProxy, add_common_faults, faulty_proxy
from tests.support.key_service import key_service
from tests.support.repositories import make_repository
from tests.support.restic import Program, Result
from tests.support.seaweed import new_s3_location, open_s3, shared_seaweed
from tools.place_servers.s3 import KEY_ID, SECRET

pytestmark = [pytest.mark.restic, pytest.mark.slow]


@dataclass
class OnS3:
    """A program with a repository at s3:."""

    program: Program
    location: str
    environment: dict[str, str]
    words: tuple[str, ...] = ()

    def run(self, *arguments: str | Path, **details: Any) -> Result:
        """Run a command on the repository."""
        details |= self.environment
        return self.program.run("-r", self.location, *self.words, *arguments, **details)


def make_quick(location: str, environment: dict[str, str], *, version: int = 2) -> None:
    """Make a repository whose key costs no time."""
    make_repository(open_s3(location, environment), version=version).close()


def make_files(folder: Path) -> None:
    folder.mkdir()
    dice = random.Random(41)
    for number in range(3):
        (folder / f"large {number}").write_bytes(dice.randbytes(3_000_000))
    for number in range(30):
        (folder / f"small {number}").write_bytes(dice.randbytes(dice.randrange(20_000)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    with faulty_proxy(shared_seaweed().address) as running:
        yield running


def through(proxy: FaultyProxy, program: Program, location: str, *words: str) -> OnS3:
    """Return a program that reaches a location through the proxy."""
    server = shared_seaweed()
    return OnS3(program, location.replace(server.address, proxy.address), server.environment, words)


@pytest.mark.timeout(280)
def test_everything_finishes_while_a_tenth_of_all_requests_fails(
    pyrestic: Program, newest: Program, proxy: FaultyProxy, tmp_path: Path
) -> None:
    source, location = tmp_path / "source", new_s3_location()
    make_files(source)
    make_quick(location, shared_seaweed().environment)
    ours = through(proxy, pyrestic, location, "--pack-size", "4", "-o", "s3.connections=3")
    statuses = {
        status: f"<Error><Code>{code}</Code><Message>busy</Message></Error>".encode()
        for status, code in ((500, "InternalError"), (503, "SlowDown"), (429, "TooManyRequests"), (408, ""))
    }
    with key_service() as service:
        service.key_id, service.secret, service.token = KEY_ID, SECRET, ""
        ours.environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service.url}/container"}
        expired = b"<Error><Code>ExpiredToken</Code></Error>"
        for passed in (10, 60):
            proxy.add("status", status=400, body=expired, passed=passed, times=1)
        add_common_faults(proxy, 0.1, statuses)
        ours.run("backup", source)
        (source / "large 0").write_bytes(random.Random(42).randbytes(3_000_000))
        (source / "small 1").unlink()
        ours.run("backup", source)
        ours.run("check", "--read-data")
        ours.run("restore", f"latest:{source}", "--target", tmp_path / "back")
        assert contents(tmp_path / "back") == contents(source)
        ours.run("forget", "--keep-last", "1", "--prune", "--max-unused", "0")
    assert len(proxy.hit) > 5
    theirs = OnS3(newest, location, shared_seaweed().environment)
    theirs.run("check", "--read-data")
    assert theirs.run("list", "locks").text == ""
    blobs = theirs.run("list", "blobs").text.splitlines()
    assert len(blobs) == len(set(blobs))


FAULTS: dict[str, tuple[str, dict[str, object], str]] = {
    "503": ("status", {"status": 503}, "503"),
    "silence": ("silence", {}, "almost no data was transferred"),
    "resets": ("lose answer", {}, "was lost"),
    "a page": ("status", {"status": 200, "body": PAGE}, "did not come from an S3 service"),
    "forbidden": ("status", {"status": 403, "body": b"<Error><Code>AccessDenied</Code></Error>"}, "AccessDenied"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_stays_ends_commands_with_one_sentence(
    pyrestic: Program, proxy: FaultyProxy, tmp_path: Path, name: str
) -> None:
    kind, details, sentence = FAULTS[name]
    source, location = tmp_path / "source", new_s3_location()
    source.mkdir()
    (source / "file").write_bytes(b"content")
    make_quick(location, shared_seaweed().environment)
    ours = through(proxy, pyrestic, location, "-o", "s3.deadline=2", "--stuck-request-timeout", "500ms", "--no-cache")
    proxy.add(kind, "*", **details)
    commands: list[list[str | Path]] = [["backup", source], ["restore", "latest", "--target", tmp_path / "back"]]
    for command in commands:
        ended = ours.run(*command, code=1)
        lines = ended.stderr.decode().strip().splitlines()
        assert any(line.startswith("Fatal: ") and sentence in line for line in lines), ended.stderr
        assert b"Traceback" not in ended.stderr
        assert SECRET.encode() not in ended.stderr + ended.stdout


def test_an_interrupt_ends_a_command_whose_server_is_silent(pyrestic: Program, proxy: FaultyProxy) -> None:
    location = new_s3_location()
    make_quick(location, shared_seaweed().environment)
    ours = through(proxy, pyrestic, location)
    proxy.add("silence", "*")
    words = [*pyrestic.command, "-r", ours.location, "--no-cache", "snapshots"]
    environment = pyrestic.environment(**ours.environment)
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not proxy.hit:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, shlex.join(words) + errors.decode()
    assert b"Traceback" not in errors
