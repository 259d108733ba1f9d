"""What is passed over when messages of both programs are compared."""

import pytest

from pyrestic.nearest import suggest
from tests.support.incomplete import as_restic, without_hints

KEPT = (
    "no snapshot matches the filter",
    "no snapshot matches the filter. The end is near.",
    "Did you mean this?",
    "Did you mean it",
    "Did you mean a? No.",
    "Note: Did you mean a?",
    "The packs there are: damaged.",
    "The packs there are: x",
    "The hosts there are: x, and more",
    "/a is not in the snapshot, nor anywhere",
    "option b2.x is not known. Did you mean b2.as-of?",
    'Ignoring "x": no matching ID found for prefix "x"',
)
LAST = "Fatal: 2 snapshots could not be found or read\n"
TREES = "Fatal: 1 trees could not be read, so the results may be incomplete\n"


@pytest.mark.parametrize("line", KEPT)
def test_a_line_that_is_no_hint_is_compared(line: str) -> None:
    for text in (line, f"{line}\n", f"before\n{line}\nafter\n"):
        assert without_hints(text) == text


@pytest.mark.parametrize(
    "line",
    [
        suggest("alphs", ["alpha", "this"], "hosts"),
        suggest("zz", ["one", "two"], "tags"),
        "no snapshot matches the filter. Did you mean laptop?",
        "no snapshot matches the filter. The hosts there are: one. Did you mean weekly?",
        "/photo is not in the snapshot",
    ],
)
def test_a_hint_is_passed_over(line: str) -> None:
    assert without_hints(line) == ""
    assert without_hints(f"before\n{line}\nafter\n") == "before\nafter\n"


@pytest.mark.parametrize(
    "last", [LAST, TREES, '{"message_type":"exit_error","code":1,"message":"' + LAST[:-1] + '"}\n']
)
def test_code_1_stands_for_0_where_the_last_line_says_why(last: str) -> None:
    assert as_restic(0, 1, f"before\n{last}") == (0, "before\n")
    for theirs, ours, errors in ((0, 3, last), (1, 1, last), (0, 1, f"{last}more\n"), (0, 1, f"Also {last}")):
        assert as_restic(theirs, ours, errors) == (ours, errors)
