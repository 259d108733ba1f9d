"""Numbers that only look like ones: other digits of Unicode, and too many of them, are errors with a sentence."""

import pytest

from tests.support.cli import Caller

ODD = ["²", "٣", "9" * 5000, "+1", " 1", "1_0", ""]


@pytest.fixture
def call(made: Caller) -> Caller:
    return made


@pytest.mark.parametrize("number", ODD, ids=lambda number: number[:5])
def test_a_subset_of_packs_is_given_by_plain_digits(call: Caller, number: str) -> None:
    for words in (f"{number}/3", f"1/{number}"):
        outcome = call("check", f"--read-data-subset={words}")
        assert outcome.code == 1
        assert "check flag --read-data-subset" in outcome.err
        assert "Traceback" not in outcome.err
        assert "internal error" not in outcome.err


@pytest.mark.parametrize("number", ODD, ids=lambda number: number[:5])
def test_a_port_to_listen_on_is_given_by_plain_digits(call: Caller, number: str) -> None:
    outcome = call("serve", "--listen", f"127.0.0.1:{number}")
    assert outcome.code == 1
    assert "not an address and a port" in outcome.err
