"""The compiling process of background_compiler: reads kinds of code from a pipe, compiles, stores and returns them."""

import os
import resource
import select
import signal
import time
from collections.abc import Iterator

from pyrestic.backend.private_folder import PrivateFolder, open_private
from pyrestic.errors import UntrustedError
from pyrestic.native.background_compiler import KEEP_NOTHING, MESSAGE
from pyrestic.native.code_files import KINDS, compile_kind, read_code, write_code
from pyrestic.priority import lower_priority

_REQUESTS, _ANSWERS = 0, 1
_IDLE_SECONDS = 5.0
"""How long it stays idle: the compiler takes a hundred megabytes."""
_HEAD_START_SECONDS = 3.0
_URGENT = ("chunker",)
"""Without it a large file takes several times as long."""
_LONGEST_SECONDS = 600
_MOST_CPU_SECONDS = 300


def main(folder: str) -> None:
    """Process requests until there are none, and store the results in that folder; both times above end the process."""
    os.chdir("/")
    signal.alarm(_LONGEST_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_SECONDS, _MOST_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lower_priority()
    try:
        private = None if folder == KEEP_NOTHING else open_private(folder, create=True)
    except (OSError, UntrustedError):
        return
    for kind in _requests():
        code = _make(private, kind)
        try:
            _send(MESSAGE.pack(kind.encode(), len(code)) + code)
        except BrokenPipeError:
            # The requesting program has ended.
            if private is None:
                return


def _requests() -> Iterator[str]:
    """Yield requested kinds, fastest to compile first.

    Except for urgent ones, nothing starts in the first seconds while the program runs: a short run should not share its
    CPU caches.
    """
    begin = time.monotonic() + _HEAD_START_SECONDS
    waiting: list[str] = []
    rest, more = b"", True
    while more or waiting:
        may_begin = not more or time.monotonic() >= begin
        ready = [kind for kind in KINDS if kind in waiting and (may_begin or kind in _URGENT)]
        if ready:
            waiting.remove(ready[0])
            yield ready[0]
        if not more:
            continue
        patience = 0.0 if ready else max(0.0, begin - time.monotonic()) if waiting else _IDLE_SECONDS
        if select.select([_REQUESTS], [], [], patience)[0]:
            data = os.read(_REQUESTS, 4096)
            *lines, rest = (rest + data).split(b"\n")
            waiting += [line.decode() for line in lines]
            more = bool(data)
        elif patience == _IDLE_SECONDS:
            return


def _make(folder: PrivateFolder | None, kind: str) -> bytes:
    """Return the code of a kind, b"" if there is none for this machine."""
    if folder is None:
        return compile_kind(kind)
    try:
        with folder.locked("lock"):
            code = read_code(folder, kind)
            if code is None:
                code = compile_kind(kind)
                write_code(folder, kind, code)
            return code
    except (OSError, UntrustedError):
        # The folder may be missing or full.
        return b""


def _send(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_ANSWERS, view) :]
