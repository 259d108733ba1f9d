"""A command line of one's own for each test."""

from pathlib import Path

import pytest

from tests.support.cli import Caller


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    """The program, in this process, with an empty home."""
    return Caller(tmp_path)


@pytest.fixture
def made(call: Caller) -> Caller:
    """The program, and a repository that was just made."""
    call.create()
    return call
