"""The words of a command in an option, split as restic does."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.command_words import find_program, split_command, split_option
from pyrestic.errors import AccessError, UsageError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ssh", ["ssh"]),
        ("  ssh -p   22 ", ["ssh", "-p", "22"]),
        ("'a b' c", ["a b", "c"]),
        ("\"a 'b'\" c", ["a 'b'", "c"]),
        ("a'b c'd", ["a", "b c", "d"]),
        (r"\"a b", ['"a', "b"]),
        (r"a\ b", ["a", "b"]),
        (r"'a\b'", [r"a\b"]),
        ('echo "say \\"hi\\""', ["echo", 'say \\"hi\\"']),
        ("echo '' x", ["echo", "x"]),
        ("a\u00a0b\u2003c\x1cd", ["a", "b", "c\x1cd"]),
    ],
)
def test_words_end_at_spaces_quotes_and_backslashes(text: str, words: list[str]) -> None:
    assert split_command(text) == words


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("'a", "single-quoted string not terminated"),
        ('a"b', "double-quoted string not terminated"),
        ("", "empty"),
        ("''", "empty"),
        (" \\ ", "empty"),
    ],
)
def test_what_is_no_command_is_refused_and_the_option_named(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=rf"sftp\.args.*{problem}"):
        split_option(text, "sftp.args")


@given(st.lists(st.text(alphabet="abc-=/ ", min_size=1), min_size=1))
def test_words_in_quotes_come_back_as_they_are(words: list[str]) -> None:
    assert split_command(" ".join(f"'{word}'" for word in words)) == words


@given(st.text(alphabet="ab '\"\\\t\n"))
def test_any_text_gives_words_or_a_usage_error(text: str) -> None:
    try:
        words = split_command(text)
    except UsageError:
        return
    assert words
    assert all(words)


def test_a_program_of_the_current_directory_runs_only_if_its_path_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path
    (folder / "ssh").write_text("#!/bin/sh\n")
    (folder / "ssh").chmod(0o755)
    monkeypatch.chdir(folder)
    for search in ("", ".", "nowhere"):
        with pytest.raises(AccessError, match=r"no program 'ssh'") as caught:
            find_program(["ssh", "host"], {"PATH": search}, "sftp.command")
        assert "sftp.command" in caught.value.hint
    assert find_program(["./ssh", "host"], {"PATH": ""}, "sftp.command") == ["./ssh", "host"]
    assert find_program(["ssh", "host"], {"PATH": str(folder)}, "sftp.command") == [str(folder / "ssh"), "host"]
