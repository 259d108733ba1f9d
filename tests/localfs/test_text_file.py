"""Lists of files and patterns as people write them."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.localfs import text_file


@pytest.mark.parametrize(
    "data",
    [
        "ä\nb".encode(),
        b"\xef\xbb\xbf" + "ä\nb".encode(),
        b"\xff\xfe" + "ä\nb".encode("utf-16-le"),
        b"\xfe\xff" + "ä\nb".encode("utf-16-be"),
    ],
)
def test_byte_order_marks_decide_the_encoding(data: bytes) -> None:
    assert text_file.decode_text(data) == "ä\nb".encode()


@given(st.binary())
def test_any_bytes_decode_to_something(data: bytes) -> None:
    assert isinstance(text_file.decode_text(data), bytes)
    assert all(line and not line.startswith(b"#") for line in text_file.useful_lines(data))


@pytest.mark.parametrize(
    ("data", "lines"),
    [(b"", []), (b"a", [b"a"]), (b"a\n", [b"a"]), (b"a\r\nb\r\r\n\n", [b"a", b"b\r", b""]), (b"\n", [b""])],
)
def test_lines_end_with_newlines_or_both(data: bytes, lines: list[bytes]) -> None:
    assert text_file.split_lines(data) == lines


def test_trimming_takes_the_white_space_that_go_knows() -> None:
    assert text_file.trim("\u00a0\u2003\t x\x1c\u3000\v".encode()) == b"x\x1c"
    assert text_file.trim(b" \xff ") == b"\xff"


ENVIRONMENT = {"HOME": "/home/me", "A1": "one", "1": "digit"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$HOME/x", "/home/me/x"),
        ("${HOME}x", "/home/mex"),
        ("$A1/$UNKNOWN/", "one//"),
        ("$$HOME", "$HOME"),
        ("${$}", "$"),
        ("$1a", "digita"),
        ("a$", "a$"),
        ("a$/b", "a$/b"),
        ("${}a", "a"),
        ("${HOME", "HOME"),
        ("$*$@", ""),
    ],
)
def test_variables_expand_as_in_restic(text: str, expected: str) -> None:
    assert text_file.expand_variables(text, ENVIRONMENT) == expected


def test_pattern_files_have_comments_blank_lines_and_variables(tmp_path: Path) -> None:
    path = tmp_path / "patterns"
    path.write_bytes(b"\xef\xbb\xbf# comment\n\n  *.o  \r\n$HOME/cache\n#x\n!keep\n\xff*\n")
    found = text_file.read_patterns([str(path)], ENVIRONMENT)
    assert found == ["*.o", "/home/me/cache", "!keep", "\udcff*"]


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no-such-list"):
        text_file.read_patterns([str(tmp_path / "no-such-list")], {})
    with pytest.raises(UsageError, match="no-such-list"):
        text_file.read_sources_raw([str(tmp_path / "no-such-list")])


def test_sources_are_globbed_and_those_without_match_told(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c"):
        (tmp_path / name).touch()
    path = tmp_path / "list"
    path.write_text(f"# mine\n {tmp_path}/*.txt \n{tmp_path}/c\n{tmp_path}/none*\n\n")
    sources, without_match = text_file.read_sources([str(path)])
    assert sources == [bytes(tmp_path / name) for name in ("a.txt", "b.txt", "c")]
    assert without_match == [f"{tmp_path}/none*"]


def test_verbatim_sources_keep_blanks_and_comment_signs(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"# not a comment\n\n  spaces \n*\n\xff\n")
    assert text_file.read_sources_verbatim([str(path)]) == [b"# not a comment", b"  spaces ", b"*", b"\xff"]


def test_raw_sources_may_hold_newlines(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"\xef\xbb\xbfa\nb\0c\0")
    assert text_file.read_sources_raw([str(path)]) == [b"\xef\xbb\xbfa\nb", b"c"]


@pytest.mark.parametrize(("data", "message"), [(b"a", "trailing zero"), (b"a\0\0", "empty filename"), (b"\0", "empty")])
def test_unfinished_and_empty_raw_names_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        text_file.split_raw(data)


def test_a_dash_means_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    assert text_file.read_sources_verbatim(["-"]) == [b"one", b"two"]
