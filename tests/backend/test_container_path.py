"""Locations at azure:, gs: and swift: as restic reads them."""

import pytest

from pyrestic.backend.container_path import ContainerPath, clean_prefix, parse_container_path
from pyrestic.backend.swift.location import parse_swift
from pyrestic.errors import UsageError


@pytest.mark.parametrize(
    ("address", "container", "prefix"),
    [
        ("bucket:/", "bucket", ""),
        ("bucket:", "bucket", ""),
        ("bucket:prefix", "bucket", "prefix"),
        ("bucket:/a/b/", "bucket", "a/b"),
        ("bucket://a//b/./c/../d", "bucket", "a/b/d"),
        ("bucket:/a:b", "bucket", "a:b"),
        ("bucket:/../a", "bucket", "a"),
        ("bucket:/.", "bucket", ""),
    ],
)
def test_container_and_prefix_are_read(address: str, container: str, prefix: str) -> None:
    assert parse_container_path("gs", address) == ContainerPath(container, prefix)


@pytest.mark.parametrize(
    "address",
    ["", ":", ":/prefix", "bucket", "bucket/prefix", "a/b:/c", "b:../a", "b:a/../../c", "b:..", "a\nb:/", "..:/"],
)
def test_what_names_no_container_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        parse_container_path("gs", address)


@pytest.mark.parametrize(
    ("address", "prefix"),
    [("c:/", ""), ("c:/a", "a"), ("c:/a//b/", "a/b"), ("c://a", "/a"), ("c:/.", "")],
)
def test_a_swift_prefix_keeps_its_second_slash(address: str, prefix: str) -> None:
    assert parse_swift(address) == ContainerPath("c", prefix)


@pytest.mark.parametrize("address", ["c", "c:", "c:prefix", ":/prefix", "c:/../a"])
def test_a_swift_prefix_begins_with_a_slash_and_stays_in_its_container(address: str) -> None:
    with pytest.raises(UsageError):
        parse_swift(address)


def test_a_prefix_of_two_slashes_has_one() -> None:
    assert clean_prefix("//a/b") == "/a/b"
