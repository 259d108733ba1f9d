"""Locations on SSH servers and the commands that they lead to; tests/compat/test_places.py compares with restic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.location import open_backend, parse_location
from pyrestic.backend.sftp.place import SftpPlace, parse_sftp
from pyrestic.errors import UsageError


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("sftp://user@host/dir/sub", SftpPlace("user", "host", "", "dir/sub")),
        ("sftp://host//dir/sub", SftpPlace("", "host", "", "/dir/sub")),
        ("sftp://user@host:22//dir", SftpPlace("user", "host", "22", "/dir")),
        ("sftp://user@host/dir/../other///x/", SftpPlace("user", "host", "", "other/x")),
        ("sftp://user:secret@host/dir", SftpPlace("user", "host", "", "dir")),
        ("sftp://user@[::1]:22/dir", SftpPlace("user", "::1", "22", "dir")),
        ("sftp://us%40er@host/a%20b%3Fc", SftpPlace("us@er", "host", "", "a b?c")),
        ("sftp://host/", SftpPlace("", "host", "", ".")),
        ("sftp://host///", SftpPlace("", "host", "", "/")),
        ("sftp:user@host:/dir/sub", SftpPlace("user", "host", "", "/dir/sub")),
        ("sftp:user@domain@host:dir", SftpPlace("user@domain", "host", "", "dir")),
        ("sftp:host:../dir:x", SftpPlace("", "host", "", "../dir:x")),
        ("sftp:host:", SftpPlace("", "host", "", ".")),
    ],
)
def test_both_forms_are_read_as_restic_reads_them(location: str, place: SftpPlace) -> None:
    assert parse_sftp(parse_location(location).address) == place


@pytest.mark.parametrize(
    "location",
    [
        "sftp:host",
        "sftp://host",
        "sftp://host:dir",
        "sftp://host:port/dir",
        "sftp://[::1/dir",
        "sftp://host/a%zz",
        "sftp:::dir",
        "sftp:///dir",
        "sftp:host:~/dir",
        "sftp://host/~user",
        "sftp:-oProxyCommand=touch evil:dir",
        "sftp://-oProxyCommand=touch%20evil/dir",
    ],
)
def test_what_names_no_folder_of_a_server_is_refused(location: str) -> None:
    with pytest.raises(UsageError):
        open_backend(parse_location(location), {})


@given(st.text(alphabet="ab@:/%[]#?~-. \x00\x7fé4"))
def test_any_text_is_a_place_or_a_usage_error(text: str) -> None:
    try:
        place = parse_sftp(text)
    except UsageError:
        return
    assert place.host
    assert not place.host.startswith("-")
    assert place.path == "." or not set(place.path.split("/")[1:]) & {"", "."} or place.path == "/"


def test_arguments_go_before_the_subsystem() -> None:
    place = SftpPlace("user", "host", "22", "dir")
    assert place.command("", "-i key -v") == [
        *("ssh", "host", "-p", "22", "-l", "user"),
        *("-i", "key", "-v", "-s", "sftp"),
    ]
    assert place.command("ssh -F x me -s sftp", "") == ["ssh", "-F", "x", "me", "-s", "sftp"]
    with pytest.raises(UsageError, match=r"both sftp\.command and sftp\.args"):
        place.command("ssh", "-v")


def test_options_are_checked_before_anything_starts() -> None:
    place = parse_location("sftp:host:dir")
    assert open_backend(place, {}).connections == 5
    assert open_backend(place, {"sftp.connections": "0x10"}).connections == 16
    for options in ({"sftp.connections": "0"}, {"sftp.arg": "-v"}, {"sftp.command": "'ssh"}):
        with pytest.raises(UsageError, match=next(iter(options))):
            open_backend(place, options)
