"""Locations: read, shown without secrets, opened."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.local import LocalBackend
from pyrestic.backend.location import (
    SCHEMES,
    Location,
    deadline_seconds,
    extended_options,
    open_backend,
    parse_location,
    strip_password,
)
from pyrestic.errors import UnsupportedError, UsageError
from pyrestic.handle import FileType, Handle


@pytest.mark.parametrize(
    ("text", "scheme", "address"),
    [
        ("/srv/repo", "local", "/srv/repo"),
        ("repo", "local", "repo"),
        ("../repo:old", "local", "../repo:old"),
        ("/srv/a:b", "local", "/srv/a:b"),
        ("c:/repo", "local", "c:/repo"),
        ("local:/srv/repo", "local", "/srv/repo"),
        ("local:a:b", "local", "a:b"),
        ("b2:bucket:some/prefix", "b2", "bucket:some/prefix"),
        ("rest:https://user:secret@host:8000/x/", "rest", "https://user:secret@host:8000/x/"),
        ("sftp://user@host:22//srv", "sftp", "//user@host:22//srv"),
    ],
)
def test_locations_are_read_as_restic_reads_them(text: str, scheme: str, address: str) -> None:
    assert parse_location(text) == Location(scheme, address)


@pytest.mark.parametrize("text", ["", "local:", "b2:", "ftp:x", "htp://user:secret@host/", "foobar:/dir", "a:b"])
def test_a_location_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_location(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/repo", "/srv/repo"),
        ("b2:bucket:prefix", "b2:bucket:prefix"),
        ("rest:http://host:8000/a@b/", "rest:http://host:8000/a@b/"),
        ("rest:http://user@host/", "rest:http://user@host/"),
        ("rest:https://user:secret@host:8000/x/", "rest:https://user:***@host:8000/x/"),
        ("rest:https://:secret@host/", "rest:https://:***@host/"),
        ("rest:https://user:sec:ret@host/", "rest:https://user:***@host/"),
        ("rest:https://user:se@cret@host/a@b", "rest:https://user:***@host/a@b"),
        ("rest:https://user:sec/ret@host/x", "rest:https://user:***@host/x"),
    ],
)
def test_a_password_is_never_shown(text: str, shown: str) -> None:
    assert strip_password(text) == shown
    location = parse_location(text)
    for form in (str(location), repr(location), f"{location}"):
        assert "secret" not in form
        assert shown in form


@given(st.text(min_size=1), st.text(alphabet="abc/@:#?%", max_size=20))
def test_any_text_is_a_location_or_a_usage_error(text: str, tail: str) -> None:
    for candidate in (text, f"rest:http://{tail}", f"local:{text}"):
        try:
            location = parse_location(candidate)
        except UsageError:
            continue
        assert location.scheme in SCHEMES
        assert strip_password(strip_password(candidate)) == strip_password(candidate)


def test_a_local_location_opens_a_folder(tmp_path: Path) -> None:
    backend = open_backend(parse_location(str(tmp_path / "r")), {"local.connections": "7", "b2.connections": "9"})
    assert isinstance(backend, LocalBackend)
    assert backend.connections == 7
    backend.create()
    backend.save(Handle(FileType.CONFIG, ""), b"x")
    assert (tmp_path / "r" / "config").read_bytes() == b"x"


def test_a_local_backend_has_two_connections_unless_told() -> None:
    assert open_backend(Location("local", "x"), {}).connections == 2


@pytest.mark.parametrize("options", [{"local.connections": "0"}, {"local.connections": "two"}, {"local.layout": "s3"}])
def test_options_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        open_backend(Location("local", "x"), options)


def test_how_long_to_try_is_up_to_the_user_or_to_what_fails() -> None:
    place = Location("rest", "http://host/")
    assert deadline_seconds(place, {}) is None
    assert deadline_seconds(place, {"rest.deadline": "900", "b2.deadline": "5"}) == 900
    with pytest.raises(UsageError, match=r"rest\.deadline"):
        deadline_seconds(place, {"rest.deadline": "0"})


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_of_restic_has_options_of_its_own(scheme: str) -> None:
    assert f"{scheme}.connections" in extended_options()


def test_a_scheme_that_nothing_implements_is_refused_in_a_clear_sentence() -> None:
    with pytest.raises(UnsupportedError, match="no package has a backend for ftp:"):
        open_backend(Location("ftp", "x"), {})
