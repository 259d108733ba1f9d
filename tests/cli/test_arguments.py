"""Values on the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.cli.arguments import parse_bool, parse_tags, split_list
from pyrestic.cli.features import DEVICE_ID_FOR_HARDLINKS, parse_features
from pyrestic.errors import UsageError
from pyrestic.golang import parse_duration, parse_integer, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), ("-2s", -2), ("100ms", 0.1), ("2µs", 2e-6), (".5h", 1800)],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5", "missing unit in duration"),
        ("5y", 'unknown unit "y"'),
        ("", "invalid duration"),
        ("m", "invalid duration"),
        ("1h 2m", "unknown unit"),
        ("1m5", "missing unit"),
    ],
)
def test_what_is_no_duration_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [("0", 0), ("500", 500), ("1b", 1), ("2K", 2048), ("3m", 3 << 20), ("1G", 1 << 30), ("1t", 1 << 40)],
)
def test_sizes_count_in_1024(text: str, length: int) -> None:
    assert parse_size(text) == length


@pytest.mark.parametrize("text", ["", "k", "1.5M", "1KB", "1 M", "x", "9999999999T", "-1"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_every_number_of_64_bits_is_read(number: int) -> None:
    assert parse_integer(str(number), signed=True) == number
    assert parse_integer(f"{'-' * (number < 0)}0x{abs(number):x}", signed=True) == number
    assert parse_integer(f"{'-' * (number < 0)}0{abs(number):o}", signed=True) == number


@pytest.mark.parametrize("text", ["", "x", " 1", "1 ", "1.0", "--1", "08"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid syntax"):
        parse_integer(text, signed=True)


def test_numbers_without_sign_have_no_sign() -> None:
    for text in ("-1", "+1"):
        with pytest.raises(UsageError, match="ParseUint"):
            parse_integer(text, signed=False)
    with pytest.raises(UsageError, match="out of range"):
        parse_integer(str(1 << 64), signed=False)


@given(st.text(max_size=10))
def test_a_text_is_true_or_false_or_refused(text: str) -> None:
    try:
        value = parse_bool(text)
    except UsageError:
        return
    assert text.lower() in (("1", "t", "true") if value else ("0", "f", "false"))


def test_lists_are_split_at_commas_outside_quotes() -> None:
    assert split_list(["a,b", '"c,d",e', "f"]) == ["a", "b", "c,d", "e", "f"]


def test_tags_within_one_flag_belong_together() -> None:
    assert parse_tags(["a, b", "c", ""]) == (("a", "b"), ("c",), ("",))


def test_features_are_switched_by_name() -> None:
    assert DEVICE_ID_FOR_HARDLINKS not in parse_features("")
    assert DEVICE_ID_FOR_HARDLINKS in parse_features("device-id-for-hardlinks")
    assert DEVICE_ID_FOR_HARDLINKS in parse_features("s3-restore=false,device-id-for-hardlinks=1")
    assert "safe-forget-keep-tags" in parse_features("safe-forget-keep-tags=false")


@pytest.mark.parametrize("text", ["nonsense", "s3-restore=maybe", ","])
def test_unknown_features_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_features(text)
