"""The memory that threads of a mount share."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas"),
    pytest.mark.process,
]

_MANY_THREADS = """
import ctypes, sys, threading
from pyrestic.mount.arenas import limit_arenas

libc = ctypes.CDLL(None)
if sys.argv[2] == "limited" and not limit_arenas():
    sys.exit("not limited")
barrier = threading.Barrier(12)

def work():
    kept = bytes(50_000)
    barrier.wait()

threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.parametrize(("kind", "fewest", "most"), [("limited", 1, 2), ("usual", 3, 100)])
def test_many_threads_share_few_arenas(tmp_path: Path, kind: str, fewest: int, most: int) -> None:
    told = tmp_path / "arenas.xml"
    subprocess.run([sys.executable, "-c", _MANY_THREADS, told, kind], check=True)
    assert fewest <= told.read_text().count("<heap nr=") <= most
