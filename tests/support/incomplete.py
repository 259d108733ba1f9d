"""What ours says and restic 0.19 does not: hints, and that a snapshot or tree could not be found or read (code 1).

The texts are those of the code that prints them, line by line as a whole, so nothing else is passed over.
"""

import re
from typing import get_args

from pyrestic.cli.commands.find import UNREAD
from pyrestic.cli.commands.ls import NOT_THERE
from pyrestic.cli.incomplete import UNUSABLE
from pyrestic.nearest import MEANT, THERE_ARE, Kind
from pyrestic.repository.snapshots import NO_MATCH

# A line of restic's own is "Did you mean this?".
_NAMES = r"(?!this\?$)[^\n]+"
_KINDS = "|".join(get_args(Kind))


def _pattern(text: str, *parts: str) -> str:
    """Return the expression for a text in which a part takes the place of each {}."""
    first, *others = (re.escape(piece) for piece in text.split("{}"))
    return first + "".join(f"(?:{part}){other}" for part, other in zip(parts, others, strict=True))


_NEAREST = f"{_pattern(MEANT, _NAMES)}|{_pattern(THERE_ARE, _KINDS, _NAMES)}"
_UNFOUND = _pattern(NO_MATCH, f"(?:{_NEAREST})(?: (?:{_NEAREST}))*")
_HINT = re.compile(rf"^(?:{_NEAREST}|{_UNFOUND}|{_pattern(NOT_THERE, _NAMES)})(?:\n|\Z)", re.MULTILINE)

_REASON = f"{_pattern(UNUSABLE, '1 snapshot|[0-9]+ snapshots')}|{_pattern('Fatal: ' + UNREAD, '[0-9]+')}"
_IN_JSON = re.escape('{"message_type":"exit_error","code":1,"message":"') + f"(?:{_REASON})" + re.escape('"}')
_LAST_LINE = re.compile(rf"^(?:{_REASON}|{_IN_JSON})\n\Z", re.MULTILINE)


def without_hints(errors: str) -> str:
    """Return errors without the lines that name the nearest thing there is."""
    return _HINT.sub("", errors)


def as_restic(theirs: int, ours: int, errors: str) -> tuple[int, str]:
    """Return exit code and errors of ours as restic has them, if that is all that differs."""
    errors = without_hints(errors)
    if theirs == 0 and ours == 1 and _LAST_LINE.search(errors):
        return 0, _LAST_LINE.sub("", errors)
    return ours, errors
