"""Runs a function in a process of its own, for what may hang, starts threads or imports much.

The runner, which forks, must do none of that; and what hangs must not keep it from ending when a signal asks it to.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

from pyrestic.runner.ending import EndRequest

_READ_BYTES: Final = 1 << 16
_LAST_SECONDS: Final = 1.0
"""How long the function may go on once the runner has to end."""


def run_apart(work: Callable[[], object], seconds: float, ending: EndRequest) -> Any:  # noqa: ANN401 - JSON
    """Return what a function returns, as JSON has it; None if it fails, takes too long or the runner has to end."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _answer(writer, work)
    os.close(writer)
    with open(reader, "rb", buffering=0) as file:
        answer = _read(file.fileno(), seconds, ending)
    if answer is None:
        # With all that it has started.
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with suppress(ValueError):
        return json.loads(answer or b"")
    return None


def _read(descriptor: int, seconds: float, ending: EndRequest) -> bytes | None:
    """Return what is written before the end, None if that does not come in time."""
    answer, deadline = bytearray(), time.monotonic() + seconds
    asked = False
    while True:
        if ending.is_asked() and not asked:
            asked, deadline = True, min(deadline, time.monotonic() + _LAST_SECONDS)
        wake = [] if asked or ending.descriptor < 0 else [ending.descriptor]
        ready, _, _ = select.select([descriptor, *wake], [], [], max(0.0, deadline - time.monotonic()))
        if descriptor in ready:
            data = os.read(descriptor, _READ_BYTES)
            if not data:
                return bytes(answer)
            answer += data
        elif not ready and time.monotonic() >= deadline:
            return None


def _answer(writer: int, work: Callable[[], object]) -> NoReturn:
    try:
        # The runner ends it.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.setpgid(0, 0)
        with open(writer, "wb") as file:
            file.write(json.dumps(work()).encode())
    finally:
        os._exit(0)
