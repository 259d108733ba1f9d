"""Acting as an ordinary user for a while, in tests that run as root."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ORDINARY = 65_534


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """Give a folder of an ordinary user's while this process acts as that user; one who is no root stays who he is."""
    folder = Path(tempfile.mkdtemp(prefix="pyrestic-test-"))
    was_root = os.geteuid() == 0
    if was_root:
        os.chown(folder, ORDINARY, ORDINARY)
        os.setegid(ORDINARY)
        os.seteuid(ORDINARY)
    try:
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
            os.setegid(0)
        for path, _, _ in os.walk(folder):
            Path(path).chmod(0o700)
        shutil.rmtree(folder)
