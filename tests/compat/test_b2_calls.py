"""No command asks more of B2 than the real restic does."""

from pathlib import Path

import pytest

from tests.support.restic import Program
from tools.b2_calls import STEPS, format_counts, measure


@pytest.mark.restic
@pytest.mark.slow
def test_no_command_makes_more_calls_of_any_class_than_restic(newest: Program, tmp_path: Path) -> None:
    del newest  # only that it is there
    counts = measure(tmp_path)
    for step in STEPS:
        ours, theirs = counts[step]["pyrestic"], counts[step]["restic"]
        # A new key is read back before it is relied on, which is worth a class B call once in a repository's life.
        more = 1 if step == "init" else 0
        # Class A is free, and how many upload URLs either tool asks for is a matter of timing.
        assert ours.a <= theirs.a + 2, format_counts(counts)
        assert ours.b <= theirs.b + more, format_counts(counts)
        assert ours.c <= theirs.c, format_counts(counts)
