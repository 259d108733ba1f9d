"""Runs the program's own entry point many times, each in a process with standard streams of the test's choice.

A new interpreter for each run would take most of the time. So one process imports the program, and each run is a fork
of it: the streams, signals and exit codes are those of a real process.

As a script it answers requests: a line of JSON in, a line of JSON out.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

CLOSED, FULL, GONE, KEPT, TERMINAL = "closed", "full", "reader gone", "kept", "terminal"
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, minus the number of the signal that ended it, and what it wrote.

    What went to a terminal is all in `out`.
    """

    code: int
    out: str
    err: str


class Forker:
    """The client's side."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked", str(folder)],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, streams: tuple[str, str, str] = (KEPT, KEPT, KEPT), until: str = "") -> Ended:
        """Run a command; one that does not end by itself is sent SIGTERM once the path or port `until` is there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"arguments": arguments, "streams": streams, "until": until}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.communicate()


def _serve(folder: Path) -> None:
    from pyrestic.cli import commands, main

    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"{commands.__name__}.{module.name}")
    importlib.import_module("pyrestic.cli.backup_run")
    importlib.import_module("pyrestic.repository.overlap").import_machinery()
    for line in sys.stdin:
        request = json.loads(line)
        files = [folder / name for name in ("out", "err")]
        for file in files:
            file.write_bytes(b"")
        master, slave = pty.openpty()
        child = os.fork()
        if child == 0:
            os.close(master)
            _become(main.run, request["arguments"], request["streams"], files, slave)
        os.close(slave)
        with open(files[0], "ab") as screen, contextlib.suppress(OSError):
            # Ends with an error once nobody holds the terminal's other side any more.
            while piece := os.read(master, 1 << 16) if TERMINAL in request["streams"] else b"":
                screen.write(piece)
        os.close(master)
        if request["until"]:
            _wait_until(request["until"], child)
            os.kill(child, signal.SIGTERM)
        code = _wait(child)
        out, err = (file.read_bytes().decode("utf-8", "surrogateescape") for file in files)
        print(json.dumps({"code": code, "out": out, "err": err}), flush=True)


def _become(
    run: Callable[[], NoReturn], arguments: list[str], streams: list[str], files: list[Path], slave: int
) -> NoReturn:
    try:
        sys.argv = ["pyrestic", *arguments]
        for number, state in enumerate(streams):
            _set_stream(number, state, files, slave)
        os.close(slave)
        run()
    except SystemExit as end:
        os._exit(int(end.code or 0))
    except BaseException as error:
        os.write(os.open(files[1], os.O_WRONLY | os.O_APPEND), f"Traceback: {error!r}".encode())
    os._exit(99)


def _set_stream(number: int, state: str, files: list[Path], slave: int) -> None:
    name = ("stdin", "stdout", "stderr")[number]
    if state == CLOSED:
        os.close(number)
        # As Python does where the stream is closed from the start.
        setattr(sys, name, None)
        return
    if state == TERMINAL:
        descriptor = os.dup(slave)
    elif state == FULL:
        descriptor = os.open("/dev/full", os.O_WRONLY)
    elif state == GONE:
        reader, descriptor = os.pipe()
        os.close(reader)
    elif number == 0:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    else:
        descriptor = os.open(files[number - 1], os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, number)
    os.close(descriptor)


def _wait_until(place: str, child: int) -> None:
    import socket

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if place.startswith("/") and os.path.ismount(place):
            return
        with contextlib.suppress(OSError):
            if not place.startswith("/"):
                socket.create_connection(("127.0.0.1", int(place)), 1).close()
                return
        time.sleep(0.01)


def _wait(child: int) -> int:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1000


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
