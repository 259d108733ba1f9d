"""The nearest names to one that is misspelt."""

import pytest

from pyrestic.nearest import find_nearest, join, suggest


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("snaphots", ["snapshots", "stats"], ["snapshots"]),
        ("rest", ["restore", "repair"], ["restore"]),
        ("HOST", ["host"], ["host"]),
        ("", ["a"], []),
        ("zzz", ["a", "b"], []),
        ("srd", ["src", "dst"], ["src"]),
        ("Docs", ["docs", "DOCS"], ["DOCS", "docs"]),
        ("x", [], []),
    ],
)
def test_nearest_are_those_that_it_begins_or_is_like(name: str, known: list[str], near: list[str]) -> None:
    assert find_nearest(name, known) == near


def test_few_names_are_all_told_and_many_none() -> None:
    assert suggest("zzz", ["b", "a", "b"], "hosts") == "The hosts there are: a, b."
    assert suggest("zzz", [f"{number}" for number in range(9)]) == ""
    assert suggest("alphs", ["alpha", "beta"]) == "Did you mean alpha?"
    assert suggest("x", []) == ""
    assert suggest("a", ["a\nb"]) == r"Did you mean a\nb?"
    assert join(["a", "b", "c"]) == "a, b or c"
