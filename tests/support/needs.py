"""Programs and packages of Debian that only some tests need."""

import os
import shutil
from pathlib import Path

import pytest


def need_program(name: str, package: str) -> str:
    """Return the path of a program; without it the test is skipped, but fails in CI."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin:/usr/lib/systemd")
    if path is None:
        miss(f"there is no {name}: apt-get install {package}")
    assert path is not None
    return path


def need_file(path: str, package: str) -> str:
    """Return a path that a package installs; without it the test is skipped, but fails in CI."""
    if not Path(path).exists():
        miss(f"there is no {path}: apt-get install {package}")
    return path


def miss(reason: str) -> None:
    """Skip the test, or fail it in CI, where everything is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
