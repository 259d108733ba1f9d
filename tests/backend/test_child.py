"""The program that a backend starts: it may ask on the terminal, and it ends whatever it does."""

import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from pyrestic.backend.child import BackendProcess
from pyrestic.errors import AccessError

pytestmark = pytest.mark.process

ASKING = """
import os, socket
from pyrestic.backend.child import BackendProcess
ours, its = socket.socketpair()
asks = 'printf "Passphrase? " > /dev/tty; read answer < /dev/tty; echo "got $answer" >&2; read more'
child = BackendProcess(["/bin/sh", "-c", asks], dict(os.environ), (its.fileno(), its.fileno()), print)
its.close()
while not child.last_lines():
    pass
child.to_background()
print("in front:", os.tcgetpgrp(0) == os.getpgrp(), flush=True)
ours.close()
print("ended:", child.end(10), flush=True)
"""


def test_it_may_ask_on_the_terminal_and_gives_it_back() -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", ASKING])
    said = b""
    try:
        while b"Passphrase? " not in said:
            said += os.read(terminal, 1000)
        os.write(terminal, b"sesame\n")
        while b"ended:" not in said:
            said += os.read(terminal, 1000)
    finally:
        os.close(terminal)
        os.waitpid(process, 0)
    assert b"got sesame" in said
    assert b"in front: True" in said
    assert b"ended: 1" in said


def start(script: str, said: list[str]) -> tuple[BackendProcess, int]:
    reader, writer = os.pipe()
    child = BackendProcess(
        ["/bin/sh", "-c", script], dict(os.environ), (reader, os.open(os.devnull, os.O_WRONLY)), said.append
    )
    os.close(reader)
    return child, writer


def test_its_lines_are_passed_on_and_the_last_ones_kept() -> None:
    said: list[str] = []
    child, writer = start("for each in 1 2 3 4 5 6 7; do echo line $each >&2; done; echo >&2; exit 3", said)
    assert child.wait(30) == 3
    assert child.last_lines() == ["line 4", "line 5", "line 6", "line 7"]
    assert said == [*(f"line {number}" for number in range(1, 8)), ""]
    os.close(writer)


def test_it_ends_with_its_input_or_by_force() -> None:
    child, writer = start("read line; exit 4", [])
    assert child.wait(0) is None
    os.close(writer)
    assert child.end(30) == 4
    child, writer = start("trap '' TERM; echo ready >&2; while :; do sleep 1; done", [])
    assert child.end(0) in (-signal.SIGKILL, -signal.SIGTERM)
    os.close(writer)


def test_what_cannot_be_started_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    reader, writer = os.pipe()
    with pytest.raises(AccessError, match="text cannot be started: Exec format error"):
        BackendProcess([str(tmp_path / "text")], {}, (reader, writer), print)
    os.close(reader)
    os.close(writer)
