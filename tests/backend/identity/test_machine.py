"""Programs of the machine that sign in."""

import sys

import pytest

from pyrestic.backend.identity.machine import run_program


@pytest.mark.process
def test_a_program_that_signs_in_does_not_get_the_password() -> None:
    words = [sys.executable, "-c", "import os; print(sorted({'OWN', 'RESTIC_PASSWORD'} & set(os.environ)))"]
    output = run_program(words, {"OWN": "1", "RESTIC_PASSWORD": "topsecret"}, "signing in", "")
    assert output == b"['OWN']\n"
