"""Standard streams that are closed, full, or whose reader is gone: work goes on, and what only prints ends."""

import itertools
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from pyrestic.cli import streams
from pyrestic.cli.main import COMMANDS, OLD_COMMANDS, program
from tests.support.cli import PASSWORD, Caller
from tests.support.forked import CLOSED, FULL, GONE, KEPT, Ended, Forker
from tests.support.fuse import why_no_mount

pytestmark = pytest.mark.process

PRINTS, WORKS, SERVES = "prints", "works", "serves"
LOST_CODES = {CLOSED: 1, FULL: 1, GONE: -signal.SIGPIPE}
CASES: dict[str, tuple[str, list[str]]] = {
    # What only prints.
    "cache": (PRINTS, []),
    "cat": (PRINTS, ["config"]),
    "cost": (PRINTS, []),
    "doctor": (PRINTS, ["--size", "0"]),
    "diff": (PRINTS, ["{first}", "latest"]),
    "dump": (PRINTS, ["latest", "{source}/a"]),
    "features": (PRINTS, []),
    "find": (PRINTS, ["a"]),
    "generate": (PRINTS, ["--bash-completion", "-"]),
    "history": (PRINTS, ["{source}/a"]),
    "key list": (PRINTS, []),
    "list": (PRINTS, ["blobs"]),
    "ls": (PRINTS, ["latest"]),
    "options": (PRINTS, []),
    "profile check": (PRINTS, ["--config", "{config}"]),
    "profile list": (PRINTS, ["--config", "{config}"]),
    "profile show": (PRINTS, ["home", "--config", "{config}"]),
    "schedule": (PRINTS, ["--print", "--config", "{config}"]),
    "snapshots": (PRINTS, []),
    "stats": (PRINTS, []),
    "status": (PRINTS, ["--config", "{config}"]),
    "version": (PRINTS, []),
    "help": (PRINTS, ["backup"]),
    # What does something.
    "back": (WORKS, ["--yes", "--at", "now", "{source}/a"]),
    "backup": (WORKS, ["-vv", "{source}"]),
    "check": (WORKS, ["--read-data"]),
    "copy": (WORKS, ["-vv", "--from-repo", "{other}"]),
    "drill": (WORKS, ["-v"]),
    "forget": (WORKS, ["-v", "--keep-last", "9", "--prune"]),
    "import": (WORKS, ["{dated}", "--path", "{source}"]),
    "init": (WORKS, ["--repo", "{new}"]),
    "key add": (WORKS, ["--new-password-file", "{other_password}"]),
    "key passwd": (WORKS, ["--new-password-file", "{password}"]),
    "key remove": (WORKS, ["{key}"]),
    "migrate": (WORKS, []),
    "pause": (WORKS, ["1h", "--config", "{config}"]),
    "prune": (WORKS, ["-vv"]),
    "rebuild-index": (WORKS, []),
    "recover": (WORKS, []),
    "repair index": (WORKS, []),
    "repair packs": (WORKS, ["{pack}"]),
    "repair snapshots": (WORKS, []),
    "restore": (WORKS, ["-vv", "latest", "--target", "{target}"]),
    "resume": (WORKS, ["--config", "{config}"]),
    "rewrite": (WORKS, ["--exclude", "b", "--forget"]),
    "run": (WORKS, ["home", "--config", "{config}"]),
    "tag": (WORKS, ["-v", "--add", "{number}"]),
    "unlock": (WORKS, []),
    "mount": (SERVES, ["{mountpoint}"]),
    "serve": (SERVES, ["--listen", "127.0.0.1:{port}"]),
}
PROFILES = """
version = 1
[profile.home]
repo = "{repository}"
password = {{ file = "{folder}/password" }}
check.every = "off"
drill.every = "off"
[profile.home.backup]
source = ["{folder}/source"]
"""
NOT_HERE = {"b2 doctor", "compile-code", "setup"}
"""One needs Backblaze B2 and prints as the others do; one says nothing; one changes the machine's timers."""


@dataclass
class Bench:
    """A forked program, and what commands are about."""

    call: Caller
    forker: Forker
    words: dict[str, str]

    def run(self, name: str, lost: tuple[str, str, str]) -> Ended:
        """Run a command of the table, with a target of its own each time."""
        kind, arguments = CASES[name]
        number = next(_numbers)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = str(listener.getsockname()[1])
        folder = self.call.folder
        words = self.words | {
            "port": port,
            "number": str(number),
            "new": str(folder / f"new{number}"),
            "target": str(folder / f"target{number}"),
        }
        if name == "key remove":
            words["key"] = self.add_key()
        if name == "repair packs":
            words["pack"] = self.find_pack()
        until = {"mount": words["mountpoint"], "serve": port}.get(name, "") if kind == SERVES else ""
        filled = [argument.format_map(words) for argument in arguments]
        return self.forker.run(*name.split(), *filled, streams=lost, until=until)

    def find_pack(self) -> str:
        """Return the name of a pack; one that is intact can be salvaged as well."""
        return next(path.name for path in (self.call.repository / "data").rglob("*") if path.is_file())

    def add_key(self) -> str:
        """Add a key and return its ID."""
        before = set(os.listdir(self.call.repository / "keys"))
        assert self.call("key", "add", "--new-password-file", self.words["other_password"]).code == 0
        return (set(os.listdir(self.call.repository / "keys")) - before).pop()


_numbers = itertools.count()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A repository with two snapshots, and another one to copy from."""
    folder = tmp_path_factory.mktemp("streams")
    call = Caller(folder)
    call.create()
    source = folder / "source"
    source.mkdir()
    (source / "a").write_text("one")
    assert call("backup", source).code == 0
    first = call("snapshots", "--json").json[0]["id"]
    (source / "a").write_text("two")
    (source / "b").write_text("more")
    assert call("backup", source).code == 0
    shutil.copytree(call.repository, folder / "other")
    (folder / "password").write_text(PASSWORD)
    (folder / "other_password").write_text("another one")
    (folder / "mountpoint").mkdir()
    dated = folder / "dated"
    for date in ("2024-01-01", "2024-01-02"):
        (dated / date).mkdir(parents=True)
        (dated / date / "a").write_text(date)
    config = folder / "profiles.toml"
    config.write_text(PROFILES.format(repository=call.repository, folder=folder))
    (folder / "password").chmod(0o600)
    words = {
        "first": first,
        "source": str(source),
        "other": str(folder / "other"),
        "dated": str(dated),
        "config": str(config),
        "password": str(folder / "password"),
        "other_password": str(folder / "other_password"),
        "mountpoint": str(folder / "mountpoint"),
    }
    environment = {
        **call.environment,
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "RESTIC_FROM_PASSWORD": PASSWORD,
    }
    forker = Forker(folder, environment)
    yield Bench(call, forker, words)
    forker.close()


def all_commands() -> set[str]:
    """Return the names of all commands, those within groups with the name of the group."""
    context = click.Context(program)
    names = set()
    for name in [*COMMANDS, *OLD_COMMANDS]:
        command = program.get_command(context, name)
        inner = command.list_commands(context) if isinstance(command, click.Group) else []
        names |= {f"{name} {one}" for one in inner} or {name}
    return names


def test_every_command_is_in_the_table() -> None:
    assert CASES.keys() | NOT_HERE == all_commands() | {"help"}


LOSSES = [
    (CLOSED, KEPT, KEPT),
    *((KEPT, state, KEPT) for state in (CLOSED, FULL, GONE)),
    *((KEPT, KEPT, state) for state in (CLOSED, FULL, GONE)),
    (CLOSED, CLOSED, CLOSED),
]


@pytest.mark.parametrize("name", CASES)
def test_a_lost_stream_costs_no_work_and_ends_what_only_prints(bench: Bench, name: str) -> None:
    """Half of the losses, the other half for the next command; the nightly test has all."""
    lose(bench, name, LOSSES[list(CASES).index(name) % 2 :: 2])


@pytest.mark.nightly
@pytest.mark.parametrize("name", CASES)
def test_every_lost_stream_costs_no_work_and_ends_what_only_prints(bench: Bench, name: str) -> None:
    lose(bench, name, LOSSES)


def lose(bench: Bench, name: str, losses: list[tuple[str, str, str]]) -> None:
    """Run a command with each of the losses, and look at what it leaves."""
    if name == "mount" and (reason := why_no_mount()):
        pytest.skip(reason)
    kind, _ = CASES[name]
    usual = 130 if name == "serve" else 0
    assert bench.run(name, (KEPT, KEPT, KEPT)).code == usual
    for lost in losses:
        ended = bench.run(name, lost)
        expected = LOST_CODES.get(lost[1], usual) if kind == PRINTS else usual
        assert (lost, ended.code, "Traceback" in ended.err, "report it" in ended.err) == (lost, expected, False, False)
        if kind == PRINTS and lost[1] == GONE:
            assert ended.err == ""
        if kind == PRINTS and lost[1] in (CLOSED, FULL) and lost[2] == KEPT:
            assert ended.err.startswith("Fatal: unable to write to standard output: ")
    assert os.listdir(bench.call.repository / "locks") == []
    if kind == WORKS:
        # Nothing that was printed went into a file of the repository.
        assert bench.call("check", "--read-data").code == 0


@pytest.mark.parametrize("flags", [["--json"], ["-v"], ["-q"]])
def test_progress_and_json_are_lost_without_harm(bench: Bench, flags: list[str]) -> None:
    for state in (CLOSED, FULL, GONE):
        for name in ("backup", "restore", "check", "prune"):
            kind, arguments = CASES[name]
            assert kind == WORKS
            words = bench.words | {"target": str(bench.call.folder / f"target{next(_numbers)}")}
            filled = [argument.format_map(words) for argument in arguments if argument not in ("-v", "-vv")]
            ended = bench.forker.run(name, *flags, *filled, streams=(KEPT, state, KEPT))
            assert (ended.code, "Traceback" in ended.err) == (0, False)


def test_a_password_is_not_asked_of_a_closed_stream(made: Caller) -> None:
    environment = {**made.environment, "PYTHONPATH": os.environ["PYTHONPATH"]}
    del environment["RESTIC_PASSWORD"]
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m pyrestic snapshots <&-"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Fatal: an empty password is not allowed by default.")


@pytest.mark.parametrize("arguments", [["--stdin"], ["--files-from", "-"], ["--files-from-raw", "-"]])
def test_data_from_a_closed_stream_is_an_error(bench: Bench, arguments: list[str]) -> None:
    ended = bench.forker.run("backup", *arguments, streams=(CLOSED, KEPT, KEPT))
    assert ended.code in (1, 3)
    assert "standard input cannot be read: Bad file descriptor" in ended.err


def test_what_takes_a_closed_number_is_not_what_is_opened_next(tmp_path: Path) -> None:
    code = (
        "import os; from pyrestic.cli.streams import reserve_descriptors; reserve_descriptors();"
        f"number = os.open({str(tmp_path / 'file')!r}, os.O_RDWR | os.O_CREAT); os._exit(number)"
    )
    command = f'exec {sys.executable} -c "$0" <&- >&- 2>&-'
    environment = {**os.environ}
    assert subprocess.run(["sh", "-c", command, code], env=environment).returncode > 2


def test_a_terminal_that_goes_away_costs_no_backup(made: Caller) -> None:
    (made.folder / "source").mkdir()
    (made.folder / "source" / "pipe").write_text("x")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pyrestic", "backup", "-vv", made.folder / "source"],
        env={**made.environment, "PYTHONPATH": os.environ["PYTHONPATH"]},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    # Nobody reads, and the other end is gone before the first line is written.
    os.close(master)
    assert process.wait(60) == 0
    assert len(made("snapshots", "--json").json) == 1


def test_output_waits_for_a_reader_that_is_slow_and_does_not_block() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        streams.guard_streams()
        sys.stdout.write("x" * 500_000)
        sys.stdout.flush()
        os._exit(0)
    os.close(writer)
    read = 0
    while piece := os.read(reader, 1 << 16):
        read += len(piece)
    assert os.waitpid(child, 0)[1] == 0
    assert read == 500_000
    os.close(reader)
