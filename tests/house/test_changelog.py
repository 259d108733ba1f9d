"""CHANGELOG.md: real versions, known headings, and one short sentence for each change."""

import re
from itertools import pairwise
from pathlib import Path

from packaging.version import Version

import pyrestic

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "CHANGELOG.md").read_text()
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
MAX_LENGTH = 200
HEADING = re.compile(r"^## \[([\w.]+)\](?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)
NEXT_SENTENCE = re.compile(r"[.!?] +[A-Z`]")


def read_entries() -> list[str]:
    """The entries, each on one line."""
    found: list[str] = []
    for line in TEXT.splitlines():
        if line.startswith("- "):
            found.append(line.removeprefix("- "))
        elif line.startswith("  ") and found:
            found[-1] += " " + line.strip()
    return found


def test_what_is_not_released_comes_first_then_the_versions_from_the_newest_on() -> None:
    (first, no_date), *released = HEADING.findall(TEXT)
    assert (first, no_date) == ("Unreleased", "")
    assert released
    assert len(HEADING.findall(TEXT)) == TEXT.count("\n## ")
    for (version, date), (older, earlier) in pairwise(released):
        assert Version(version) > Version(older)
        assert date >= earlier
    assert all(date for _, date in released)
    assert Version(pyrestic.__version__) >= Version(released[0][0])


def test_each_version_has_known_headings_once_and_in_order() -> None:
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds]


def test_an_entry_is_one_short_sentence() -> None:
    entries = read_entries()
    assert entries
    for entry in entries:
        assert len(entry) <= MAX_LENGTH, f"{len(entry)} characters: {entry}"
        assert entry.endswith("."), entry
        assert not NEXT_SENTENCE.search(entry), f"more than a sentence: {entry}"


def test_no_entry_is_there_twice() -> None:
    entries = read_entries()
    assert len(set(entries)) == len(entries)
