"""Names of snapshots."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.repository.snapshot_name import SnapshotName, parse_name
from pyrestic.repository.timespec import parse_point

NOW = 1_711_796_400 * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("latest", SnapshotName("latest")),
        ("latest:", SnapshotName("latest")),
        ("latest~3", SnapshotName("latest~3", back=3)),
        ("latest~0:/a:b", SnapshotName("latest~0", "/a:b")),
        ("latest~", SnapshotName("latest~", id="latest~")),
        ("Latest", SnapshotName("Latest", id="Latest")),
        ("abcd:dir", SnapshotName("abcd", "dir", id="abcd")),
        ("", SnapshotName("", id="")),
        (":/x", SnapshotName("", "/x", id="")),
    ],
)
def test_names_without_a_moment_are_restics_and_go_back(text: str, name: SnapshotName) -> None:
    assert parse_name(text, NOW) == name


@pytest.mark.parametrize(
    ("text", "moment", "back", "folder"),
    [
        ("@2024-03-01", "2024-03-01", 0, ""),
        ("@2024-03-01:/home", "2024-03-01", 0, "/home"),
        ("@2024-03-01 14:30", "2024-03-01 14:30", 0, ""),
        ("@2024-03-01 14:30:15", "2024-03-01 14:30:15", 0, ""),
        ("@2024-03-01 14:30:/15", "2024-03-01 14:30", 0, "/15"),
        ("@2024-03-01 14:30:15:/a:b 12:00", "2024-03-01 14:30:15", 0, "/a:b 12:00"),
        ("@2024-03-01T14:30:15Z:x", "2024-03-01T14:30:15Z", 0, "x"),
        ('@"2024-03-01 14:30"', "2024-03-01 14:30", 0, ""),
        ("@yesterday~2:/a~b", "yesterday", 2, "/a~b"),
        ("@3 days ago", "3 days ago", 0, ""),
        ("@2w:", "2w", 0, ""),
        ("@yesterday 14:00:/home", "yesterday 14:00", 0, "/home"),
        ("@21:07:07", "21:07:07", 0, ""),
        ("@21:07:/07", "21:07", 0, "/07"),
        ('@"last week"~1:x', "last week", 1, "x"),
    ],
)
def test_a_moment_may_be_followed_by_a_folder(text: str, moment: str, back: int, folder: str) -> None:
    name = parse_name(text, NOW)
    assert (name.id, name.back, name.folder) == (None, back, folder)
    assert name.not_after_ns == parse_point(moment, NOW, end=True)


@pytest.mark.parametrize("text", ["@", "@:", "@tomorrow", "@2024-13-01", "@2024-03-01~x", "@~1", "@/home"])
def test_what_is_no_moment_is_refused_with_advice(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid time") as raised:
        parse_name(text, NOW)
    assert "@2026-03-01" in raised.value.hint


@given(st.text(max_size=30) | st.from_regex(r"@?[0-9:~@ -]{0,20}(:.{0,5})?", fullmatch=True))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = parse_name(text, time.time_ns())
    except UsageError:
        assert text.startswith("@")
        return
    assert text in (name.text, f"{name.text}:{name.folder}")
