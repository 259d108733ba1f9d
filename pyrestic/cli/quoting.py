r"""Makes foreign text safe for a terminal: it cannot move the cursor, rename the window, reorder or forge lines.

Other people write the names of files, hosts, users, tags and the messages of servers. Their control characters are
shown in the form of Go's strconv.Quote, such as \x1b. So are bidirectional marks, Unicode line breaks, and bytes that
are not UTF-8. Tabs stay, because they separate columns.
"""

import re

_SUSPECT = (
    "\x00-\x08\x0a-\x1f\x7f-\x9f"  # control characters except the tab: C0, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks
    "\u200b\u2060-\u2064\ufeff"  # zero width: two names look the same (joiners stay, scripts and emoji need them)
    "\u2028\u2029"  # line and paragraph separators
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags, which no terminal shows
    "\ud800-\udfff"  # bytes that are not UTF-8
)
_suspects = re.compile(f"[{_SUSPECT}]")
_SHORT = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\v": r"\v"}


def quote(text: str) -> str:
    """Return the text as one line that is safe to show."""
    return text if text.isascii() and text.isprintable() else _suspects.sub(_escape, text)


def escape_json(document: str) -> str:
    """Return the same JSON with unsafe characters escaped."""
    return document if document.isascii() and "\x7f" not in document else _suspects.sub(_escape_json, document)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return _SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_json(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        # Only between values, where the text is ours.
        return match[0]
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
