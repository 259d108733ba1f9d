"""JSON as Go's encoding/json writes it, because an ID is the hash of exactly these bytes.

Three things differ from a typical JSON library: Go escapes `<`, `>`, `&`, U+2028 and U+2029; times are RFC 3339 with up
to nine digits and the zone of the writer; and restic passes file names through Go's strconv.Quote before JSON, so that
any bytes can be a name (restic design document, "Trees and Data").
"""

import re
from functools import lru_cache

import msgspec

from pyrestic.errors import FormatError
from pyrestic.format.printable import is_printable

SECOND = 1_000_000_000
_DAY = 86_400
_DAYS_TO_1970 = 719_468  # from 0000-03-01, the first day of a leap cycle

_ESCAPED = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
)
_WRONG_BYTE = re.compile("[\udc80-\udcff]")  # in the form of surrogateescape
# An escape, which is a surrogate pair, an unpaired surrogate, or anything else.
_JSON_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_SEPARATORS_START = b"\xe2\x80"
_SEPARATORS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)


def escape(document: bytes) -> bytes:
    """Return a JSON document with Go's escapes; none of these characters occurs outside strings."""
    for character, replacement in _ESCAPED:
        if character in document:
            document = document.replace(character, replacement)
    if _SEPARATORS_START in document:
        for character, replacement in _SEPARATORS:
            document = document.replace(character, replacement)
    return document


def encode_invalid(raw: bytes) -> bytes:
    """Return Go's JSON string for bytes that are not UTF-8: every invalid byte becomes `\\ufffd`."""
    pieces = _WRONG_BYTE.split(raw.decode("utf-8", "surrogateescape"))
    return b'"' + b"\\ufffd".join(msgspec.json.encode(piece)[1:-1] for piece in pieces) + b'"'


def is_utf8(raw: bytes) -> bool:
    """Tell whether bytes are valid UTF-8, by Python's definition, which is also Go's."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def replace_invalid(raw: bytes) -> bytes:
    """Return bytes with every byte that is not part of valid UTF-8 replaced by U+FFFD, as Go's decoder does."""
    return _WRONG_BYTE.sub("\ufffd", raw.decode("utf-8", "surrogateescape")).encode("utf-8")


def replace_invalid_text(document: bytes) -> bytes:
    """Return a JSON document with the replacements of Go's decoder.

    U+FFFD replaces every byte that is not part of valid UTF-8, and every escaped unpaired surrogate.
    """
    if not is_utf8(document):
        document = replace_invalid(document)
    return _JSON_ESCAPE.sub(lambda match: match[0] if match[1] is None else rb"\ufffd", document)


# Times


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    """Return a day, counted from 1970-01-01, as YYYY-MM-DD, with the year limited to 0000…9999 as restic does."""
    day += _DAYS_TO_1970
    era, day_of_era = divmod(day, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day_of_month = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (month <= 2)
    if year > 9999:
        year = 9999
        if (month, day_of_month) == (2, 29):
            month, day_of_month = 3, 1
    return f"{max(year, 0):04}-{month:02}-{day_of_month:02}"


@lru_cache(maxsize=256)
def _zone(offset_seconds: int) -> str:
    if offset_seconds == 0:
        return "Z"
    # Go truncates the seconds of odd offsets (local mean time before 1900) toward zero.
    hours, minutes = divmod(abs(offset_seconds) // 60, 60)
    return f"{'-' if offset_seconds < 0 else '+'}{hours:02}:{minutes:02}"


@lru_cache(maxsize=1024)
def _second(second: int, offset_seconds: int) -> str:
    day, rest = divmod(second + offset_seconds, _DAY)
    minutes, seconds = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{_date(day)}T{hours:02}:{minutes:02}:{seconds:02}"


def format_time(ns: int, offset_seconds: int) -> str:
    """Return nanoseconds since 1970 (UTC) as RFC 3339 in a zone offset_seconds east of UTC, as Go's RFC3339Nano."""
    second, fraction = divmod(ns, SECOND)
    if not fraction:
        return _second(second, offset_seconds) + _zone(offset_seconds)
    digits = f"{fraction:09}".rstrip("0")
    return f"{_second(second, offset_seconds)}.{digits}{_zone(offset_seconds)}"


_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)", re.ASCII)
_FRACTION_AND_ZONE = re.compile(r"(?:[.,]([0-9]+))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))")
_PREFIX_LENGTH = len("2006-01-02T15:04:05")
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_time(text: str) -> int:
    """Return the time in an RFC 3339 text, in nanoseconds since 1970 (UTC); raise FormatError.

    Digits after the ninth are dropped, as in Go.
    """
    seconds = _parse_second(text[:_PREFIX_LENGTH])
    match = _FRACTION_AND_ZONE.fullmatch(text, _PREFIX_LENGTH)
    if match is None or seconds is None:
        raise FormatError(f"{text[:60]!r} is not a time")
    fraction, sign, hours, minutes = match.groups()
    ns = seconds * SECOND
    if fraction is not None:
        ns += int(fraction[:9].ljust(9, "0"))
    if sign is not None:
        offset = int(hours) * 3600 + int(minutes) * 60
        ns += (offset if sign == "-" else -offset) * SECOND
    return ns


@lru_cache(maxsize=1024)
def _parse_second(text: str) -> int | None:
    """Return a date and time of day as seconds since 1970, None if it does not exist."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    if not (1 <= month <= 12 and 1 <= day <= _month_days(year, month) and hour < 24 and minute < 60 and second < 60):
        return None
    return _days(year, month, day) * _DAY + hour * 3600 + minute * 60 + second


def _month_days(year: int, month: int) -> int:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and is_leap else _MONTH_DAYS[month - 1]


@lru_cache(maxsize=4096)
def _days(year: int, month: int, day: int) -> int:
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - _DAYS_TO_1970


# Names

_PLAIN_NAME = re.compile(rb"[ !#-\[\]-~]*")
_PLAIN_QUOTED = re.compile('[^"\\\\\n]*')
_SHORT_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))")
_UNESCAPED = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}


def quote_name(name: bytes) -> str:
    """Return a file name as restic writes it into a tree: Go's strconv.Quote without the outer quotes."""
    if _PLAIN_NAME.fullmatch(name):
        return name.decode("ascii")
    return "".join(map(_quote_character, name.decode("utf-8", "surrogateescape")))


@lru_cache(maxsize=8192)
def _quote_character(character: str) -> str:
    code = ord(character)
    if code in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[code]
    if is_printable(code):
        return character
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def unquote_name(text: str) -> bytes:
    """Return the bytes of a file name in a tree; raise FormatError if Go's Unquote rejects it."""
    if _PLAIN_QUOTED.fullmatch(text):
        return text.encode("utf-8")
    parts: list[bytes] = []
    position = 0
    while position < len(text):
        if text[position] != "\\":
            end = text.find("\\", position)
            end = len(text) if end < 0 else end
            plain = text[position:end]
            if '"' in plain or "\n" in plain:
                break
            parts.append(plain.encode("utf-8"))
            position = end
            continue
        match = _ESCAPE.match(text, position)
        if match is None:
            break
        parts.append(_unescape(match))
        position = match.end()
    else:
        return b"".join(parts)
    raise FormatError(f"{text[:80]!r} is not a quoted name")


def _unescape(match: re.Match[str]) -> bytes:
    short, byte, four, eight, octal = match.groups()
    if short is not None:
        return bytes([_UNESCAPED[short]])
    if byte is not None:
        return bytes.fromhex(byte)
    code = int(octal, 8) if octal is not None else int(four or eight, 16)
    limit = 0xFF if octal is not None else 0x10FFFF
    if code > limit or 0xD800 <= code <= 0xDFFF:
        raise FormatError(f"{match[0]!r} is not a character of a name")
    return bytes([code]) if octal is not None else chr(code).encode("utf-8")
