"""Compiles code in a separate process of the lowest priority, for which nobody ever waits.

The process reads the names of requested code from a pipe and sends back the results. It also stores them, so it
continues after the program has ended, for some minutes at most: it has a session of its own, no terminal, and none of
the program's streams. A signal to the program ends it too. Only one process compiles for a folder at a time; a waiting
one uses the results that the other stores. It imports nothing from the current directory: its search path is passed to
it, and environment variables and site files are ignored (-I, -S).
"""

import contextlib
import fcntl
import functools
import importlib.util
import os
import signal
import struct
import sys
import threading
from typing import Final

MESSAGE: Final = struct.Struct("<16sI")
"""Header of a piece of code: its kind and length."""
KEEP_NOTHING: Final = "-"

_PROGRAM: Final = "import sys; sys.path += sys.argv[2:]; from pyrestic.native.compiler import main; main(sys.argv[1])"
_IMPORTED: Final = ("pyrestic", "typing_extensions", "numpy", "llvmlite", "numba")


class Compiler:
    """The compiler for a folder, "" to store nothing; its process starts on the first request. Thread-safe."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._made: dict[str, bytes] = {}
        self._wanted: set[str] = set()
        self._requests: tuple[int, int] | None = None
        self._reader: threading.Thread | None = None
        self._process = 0
        self._reaping = threading.Lock()
        """Held while the process is signalled or reaped: its number may be another's after that."""
        self._stopped = False

    def find(self, kind: str) -> bytes | None:
        """Return the code of a kind; None if there is none yet, which starts its compilation."""
        with self._lock:
            if kind not in self._wanted:
                self._wanted.add(kind)
                self._ask(kind)
            return self._made.get(kind) or None

    def wait(self) -> None:
        """Wait until all requested code is compiled or known to be impossible."""
        with self._lock:
            reader = self._reader
            self._end_requests()
        if reader is not None:
            reader.join()

    def stop(self) -> None:
        """Compile nothing more and end the process. This takes no `_lock`, which the interrupted thread may hold."""
        self._stopped = True
        with self._reaping, contextlib.suppress(ProcessLookupError):
            if self._process:
                os.kill(self._process, signal.SIGTERM)

    def _ask(self, kind: str) -> None:
        # Not every C library can start processes in a session of their own.
        with contextlib.suppress(OSError, NotImplementedError):
            if self._stopped:
                return
            if self._requests is None:
                self._start()
            if self._requests is not None:
                os.write(self._requests[1], f"{kind}\n".encode())

    def _start(self) -> None:
        """Start a process; raise OSError."""
        if not sys.executable:
            raise FileNotFoundError("it is not known which Python this is")
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, self._folder or KEEP_NOTHING, *_search_path()]
        # The read end stays open here as well, so that writes never fail after the process has ended.
        self._requests = _pipe()
        answers, made = _pipe()
        try:
            process = self._process = os.posix_spawn(
                sys.executable,
                command,
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, self._requests[0], 0),
                    (os.POSIX_SPAWN_DUP2, made, 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGXCPU),
            )
        except BaseException:
            os.close(answers)
            self._end_requests()
            raise
        finally:
            os.close(made)
        self._reader = threading.Thread(target=self._read, args=(answers, process), name="compiled", daemon=True)
        self._reader.start()
        if self._stopped:
            self.stop()

    def _end_requests(self) -> None:
        if self._requests is not None:
            for end in self._requests:
                os.close(end)
            self._requests = None

    def _read(self, answers: int, process: int) -> None:
        """Receive results from a process until it ends; it also ends when idle for some seconds."""
        with open(answers, "rb") as file:
            while len(head := file.read(MESSAGE.size)) == MESSAGE.size:
                name, length = MESSAGE.unpack(head)
                code = file.read(length)
                if len(code) == length:
                    with self._lock:
                        self._made[name.rstrip(b"\0").decode()] = code
        with self._lock:
            if self._reader is threading.current_thread():
                self._end_requests()
        with self._reaping:
            # Where SIGCHLD is ignored the kernel reaps.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, 0)
            if self._process == process:
                self._process = 0


@functools.lru_cache(maxsize=8)
def compiler_for(folder: str) -> Compiler:
    """Return this process's compiler for a folder, "" to store nothing."""
    return Compiler(folder)


def _pipe() -> tuple[int, int]:
    """Return the ends of a pipe whose numbers are not those of standard streams, which may be closed."""
    ends = os.pipe()
    try:
        first, second = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends)
    finally:
        for end in ends:
            os.close(end)
    return first, second


def _search_path() -> list[str]:
    """Return the folders of the compiler's packages, but not the current one unless this package is there."""
    found: dict[str, None] = {}
    own = current = ""
    with contextlib.suppress(FileNotFoundError):
        current = os.path.realpath(os.getcwd())
    for name in _IMPORTED:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        place = os.path.dirname(spec.origin)
        # One of them is a single file.
        folder = place if spec.submodule_search_locations is None else os.path.dirname(place)
        own = own or folder
        if os.path.isabs(folder) and (folder == own or os.path.realpath(folder) != current):
            found[folder] = None
    return list(found)
