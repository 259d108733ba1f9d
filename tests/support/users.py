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
    """Give a folder of an ordinary user's while this process acts as that user; one who is no root stays who he is.

    The process works in that folder meanwhile: it could not go back by name to a checkout that only root may enter.
    Neither could it import anything from there, so what the test needs has to be imported before.
    """
    folder = Path(tempfile.mkdtemp(prefix="pyrestic-test-"))
    was_root = os.geteuid() == 0
    here = os.open(".", os.O_PATH | os.O_DIRECTORY)
    os.chdir(folder)
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
        os.fchdir(here)
        os.close(here)
        for path, _, _ in os.walk(folder):
            Path(path).chmod(0o700)
        shutil.rmtree(folder)
