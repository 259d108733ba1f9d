"""What ours says and restic 0.19 does not: hints, and that a snapshot or tree could not be found or read (code 1)."""

import re

_LAST_LINE = re.compile(r"[^\n]*(?:snapshots? could not be found or read|trees could not be read)[^\n]*\n\Z")

_HINT = re.compile(
    r"^(?:no snapshot matches the filter|Did you mean (?!this\?)|The \w+ there are: |.* is not in the snapshot$)"
    r"[^\n]*\n?",
    re.MULTILINE,
)


def without_hints(errors: str) -> str:
    """Return errors without the lines that name the nearest thing there is."""
    return _HINT.sub("", errors)


def as_restic(theirs: int, ours: int, errors: str) -> tuple[int, str]:
    """Return exit code and errors of ours as restic has them, if that is all that differs."""
    errors = without_hints(errors)
    if theirs == 0 and ours == 1 and _LAST_LINE.search(errors):
        return 0, _LAST_LINE.sub("", errors)
    return ours, errors
