"""JSON, times and names as Go writes them. Expected texts were taken from trees that restic 0.19 wrote."""

import datetime as dt
import json
import unicodedata
from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyrestic.errors import DamageError, FormatError
from pyrestic.format import gojson
from pyrestic.format.printable import is_printable

SECOND = gojson.SECOND
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - times of day in a zone of their own


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", b'"plain"'),
        ("<a> & b", b'"\\u003ca\\u003e \\u0026 b"'),
        ("\u2028\u2029", b'"\\u2028\\u2029"'),
        ("\u2027\u202a", '"\u2027\u202a"'.encode()),
        ("\x01\x08\x09\x0a\x0b\x0c\x0d\x1f\x7f", b'"\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\x7f"'),
        ("\"\\/'", b'"\\"\\\\/\'"'),
        ("\ufffd\x80\U0001f600", '"\ufffd\x80\U0001f600"'.encode()),
    ],
)
def test_strings_are_escaped_as_go_escapes_them(text: str, expected: bytes) -> None:
    assert gojson.escape(msgspec.json.encode(text)) == expected


@given(st.text())
def test_escaped_documents_keep_their_meaning(text: str) -> None:
    escaped = gojson.escape(msgspec.json.encode({text: [text]}))
    assert json.loads(escaped) == {text: [text]}
    assert not set(escaped) & set(b"<>&")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\xff\xef\xbf\xbd\xff", b'"\\ufffd\xef\xbf\xbd\\ufffd"'),
        (b"\xff\xf0\x9f\x98\x80\xfe", b'"\\ufffd\xf0\x9f\x98\x80\\ufffd"'),
        (b"\xed\xa0\x80 surrogate", b'"\\ufffd\\ufffd\\ufffd surrogate"'),
        (b"\xf4\x90\x80\x80\xc0\x80", b'"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd"'),
        (b"\xe2\x82A", b'"\\ufffd\\ufffdA"'),
        (b'\xff"\\\x08', b'"\\ufffd\\"\\\\\\b"'),
        (b"", b'""'),
    ],
)
def test_each_byte_that_is_not_utf8_becomes_one_escape(raw: bytes, expected: bytes) -> None:
    assert gojson.encode_invalid(raw) == expected
    assert json.loads(expected) == gojson.replace_invalid(raw).decode()


@given(st.binary())
def test_any_bytes_become_a_json_string(raw: bytes) -> None:
    text = json.loads(gojson.encode_invalid(raw))
    assert text.encode() == gojson.replace_invalid(raw)
    assert gojson.is_utf8(raw) == (gojson.replace_invalid(raw) == raw)


# Times


@pytest.mark.parametrize(
    ("ns", "offset_seconds", "expected"),
    [
        (0, 0, "1970-01-01T00:00:00Z"),
        (-1, 0, "1969-12-31T23:59:59.999999999Z"),
        (1_700_000_000_120_000_000, 3600, "2023-11-14T23:13:20.12+01:00"),
        (1_700_000_000_000_000_001, -12_600, "2023-11-14T18:43:20.000000001-03:30"),
        (1_709_164_800 * SECOND, 0, "2024-02-29T00:00:00Z"),
        (951_782_400 * SECOND, 0, "2000-02-29T00:00:00Z"),
        (-2_203_977_600 * SECOND, 0, "1900-02-28T00:00:00Z"),
        ((1 << 63) * 1, 0, "2262-04-11T23:47:16.854775808Z"),
        (-(1 << 63) - 1, 0, "1677-09-21T00:12:43.145224191Z"),
        (-62_135_596_800 * SECOND, 0, "0001-01-01T00:00:00Z"),
        (-62_167_219_200 * SECOND, 0, "0000-01-01T00:00:00Z"),
        (253_402_300_799 * SECOND + 999_999_999, 0, "9999-12-31T23:59:59.999999999Z"),
        # Local mean time: seconds of the offset shift the clock, but are not shown.
        (-2_717_640_001 * SECOND, -17_762, "1883-11-18T15:03:57-04:56"),
        (-3_000_000_000 * SECOND, 2_584, "1874-12-07T19:23:04+00:43"),
        # Years that four digits do not hold become the nearest that they do; the year of the zone counts.
        (253_402_300_800 * SECOND, 0, "9999-01-01T00:00:00Z"),
        (253_402_299_000 * SECOND, 3600, "9999-01-01T00:30:00+01:00"),
        (253_402_300_800 * SECOND, -3600, "9999-12-31T23:00:00-01:00"),
        (253_407_441_600 * SECOND, 0, "9999-03-01T12:00:00Z"),
        (-62_167_219_201 * SECOND, 0, "0000-12-31T23:59:59Z"),
        (4_611_686_018_427_387_904 * SECOND, 0, "9999-06-19T07:45:04Z"),
    ],
)
def test_times_are_written_as_restic_writes_them(ns: int, offset_seconds: int, expected: str) -> None:
    assert gojson.format_time(ns, offset_seconds) == expected


@given(
    st.datetimes(EPOCH.replace(year=1, day=2), EPOCH.replace(year=9999, month=12, day=30)),
    st.integers(0, 999),
    st.integers(-24 * 60 + 1, 24 * 60 - 1),
)
def test_times_agree_with_the_standard_library_and_are_read_back(
    moment: dt.datetime, ns: int, offset_minutes: int
) -> None:
    delta = moment - EPOCH
    total = (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1000 + ns
    text = gojson.format_time(total, offset_minutes * 60)
    assert gojson.parse_time(text) == total
    local = moment + dt.timedelta(minutes=offset_minutes)
    assert text[:19] == local.isoformat()[:19]


@given(st.integers(-(10**30), 10**30), st.integers(-86_000, 86_000))
def test_every_moment_has_a_time_of_four_digit_years(ns: int, offset_seconds: int) -> None:
    text = gojson.format_time(ns, offset_seconds)
    assert text[4] == "-"
    assert gojson.parse_time(text) is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0001-01-01T00:00:00Z", -62_135_596_800 * SECOND),
        ("1970-01-01T00:00:00.1234567899Z", 123_456_789),
        ("1970-01-01T00:00:00,5Z", 500_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T20:29:59.999999999-03:30", -1),
        ("2024-02-29T12:00:00Z", 1_709_208_000 * SECOND),
    ],
)
def test_times_that_go_reads_are_read(text: str, expected: int) -> None:
    assert gojson.parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01t00:00:00z",
        "2024-01-01 00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00+0100",
        "2024-01-01T00:00:00Zx",
        "2024-01-01T00:00:00Z\n",
        "12024-01-01T00:00:00Z",
        "\u0662\u0660\u0662\u0664-01-01T00:00:00Z",
        "2024-01-01T00:00:00.\u0661Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        gojson.parse_time(text)


@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,12})?(Z|[+-]\d\d:\d\d)", fullmatch=True))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with suppress(DamageError):
        assert isinstance(gojson.parse_time(text), int)


# Names

QUOTED = [
    (b"plain name.txt", "plain name.txt"),
    (b"<a> & 'b' `c`", "<a> & 'b' `c`"),
    (b'"', '\\"'),
    (b"back\\slash", "back\\\\slash"),
    (b"\x01\x07\x08\t\n\x0b\x0c\r\x1b\x7f", "\\x01\\a\\b\\t\\n\\v\\f\\r\\x1b\\x7f"),
    (b"\xff\xfe", "\\xff\\xfe"),
    (b"\xe2\x82", "\\xe2\\x82"),
    (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
    ("ünïcödé 漢字 \U0001f600".encode(), "ünïcödé 漢字 \U0001f600"),
    ("\ufffd".encode(), "\ufffd"),
    ("\u0085\u00a0\u00ad\u2028\ufeff".encode(), "\\u0085\\u00a0\\u00ad\\u2028\\ufeff"),
    ("\U000e0001\U0010ffff".encode(), "\\U000e0001\\U0010ffff"),
    # New in Unicode 15.0, which Go knows and Python 3.11 does not; and new in 16.0, which Go does not know.
    ("\u0cf3\U00031350".encode(), "\u0cf3\U00031350"),
    ("\u1c89\U000105c0".encode(), "\\u1c89\\U000105c0"),
]


@pytest.mark.parametrize(("name", "quoted"), QUOTED)
def test_names_are_quoted_as_go_quotes_them(name: bytes, quoted: str) -> None:
    assert gojson.quote_name(name) == quoted
    assert gojson.unquote_name(quoted) == name


@given(st.binary() | st.text().map(str.encode))
@example(bytes(range(256)))
def test_any_name_is_read_back(name: bytes) -> None:
    quoted = gojson.quote_name(name)
    quoted.encode("utf-8")
    assert gojson.unquote_name(quoted) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("\\101\\377\\000", b"A\xff\0"),
        ("\\u00e9", "é".encode()),
        ("\\U0001F600", "\U0001f600".encode()),
        ("\\xE9", b"\xe9"),
    ],
)
def test_escapes_that_go_reads_but_does_not_write_are_read(text: str, name: bytes) -> None:
    assert gojson.unquote_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        '"',
        'a"b',
        "a\nb",
        "\\",
        "\\'",
        "\\x1",
        "\\xgg",
        "\\u12",
        "\\ud800",
        "\\U00110000",
        "\\400",
        "\\8",
        "\\z",
        'a\\\\"',
    ],
)
def test_what_go_cannot_unquote_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        gojson.unquote_name(text)


@given(st.text() | st.text(alphabet='\\xuU0123456789abcdefn"', max_size=20))
def test_any_text_is_a_quoted_name_or_refused(text: str) -> None:
    with suppress(DamageError):
        assert isinstance(gojson.unquote_name(text), bytes)


@pytest.mark.slow
def test_the_table_of_printable_characters_agrees_with_python_on_what_both_know() -> None:
    known = [code for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    differing = [code for code in known if is_printable(code) != chr(code).isprintable()]
    if unicodedata.unidata_version <= "15.0.0":
        assert differing == []
    else:
        assert all(chr(code).isprintable() for code in differing)  # characters that Go does not know yet
    assert sum(map(is_printable, range(0x80, 0x110000))) == 148_903
