"""The packets of SFTP: values come back as they were, and any bytes give a value or one of our errors."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.sftp import packets
from pyrestic.backend.sftp.packets import RemoteAttributes, ReplyFields
from pyrestic.errors import AccessError, TransientError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(0, (1 << 32) - 1)


def encoded(attributes: RemoteAttributes, *, owner: bool, times: bool, extended: list[str]) -> bytes:
    """Encode attributes as a server does."""
    flags = bool(attributes.length is not None) | owner << 1 | (attributes.mode is not None) << 2 | times << 3
    flags |= bool(extended) << 31
    parts = [packets.number_field(flags)]
    if attributes.length is not None:
        parts.append(attributes.length.to_bytes(8))
    parts.append(bytes(8) if owner else b"")
    if attributes.mode is not None:
        parts.append(packets.number_field(attributes.mode))
    parts.append(bytes(8) if times else b"")
    if extended:
        parts += [packets.number_field(len(extended)), *(2 * packets.text_field(text) for text in extended)]
    return b"".join(parts)


@given(
    st.lists(
        st.tuples(NAMES, st.builds(RemoteAttributes, st.none() | st.integers(0, (1 << 64) - 1), st.none() | NUMBERS)),
        max_size=5,
    ),
    st.booleans(),
    st.booleans(),
    st.lists(NAMES, max_size=3),
)
def test_names_and_attributes_come_back(
    entries: list[tuple[str, RemoteAttributes]], owner: bool, times: bool, extended: list[str]
) -> None:
    body = packets.number_field(len(entries))
    for name, attributes in entries:
        body += packets.text_field(name) + packets.text_field("a long name")
        body += encoded(attributes, owner=owner, times=times, extended=extended)
    assert packets.parse_names(body) == entries


@given(st.dictionaries(NAMES, NAMES, max_size=4))
def test_extensions_come_back(extensions: dict[str, str]) -> None:
    body = packets.number_field(3) + b"".join(
        packets.text_field(name) + packets.text_field(value) for name, value in extensions.items()
    )
    assert packets.parse_version(body) == extensions


@given(st.binary())
def test_a_name_that_is_not_utf_8_comes_back_as_the_same_bytes(name: bytes) -> None:
    assert packets.text_field(ReplyFields(packets.bytes_field(name)).text()) == packets.bytes_field(name)


def test_a_status_may_lack_its_message() -> None:
    assert packets.parse_status(packets.number_field(4)) == (4, "")
    assert packets.parse_status(packets.number_field(4) + packets.text_field("no")) == (4, "no")


def test_free_space_is_counted_in_fragments() -> None:
    numbers = [4096, 512, 1000, 900, 800, 100, 90, 80, 0, 0, 255]
    assert packets.parse_space(b"".join(number.to_bytes(8) for number in numbers)) == (512 * 800, 80)


@pytest.mark.parametrize(
    "parse",
    [
        packets.parse_version,
        packets.parse_names,
        packets.parse_status,
        packets.parse_space,
        packets.parse_limits,
        lambda body: ReplyFields(body).attributes(),
        lambda body: ReplyFields(body).string(),
    ],
)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_value_or_one_of_our_errors(parse: Callable[[bytes], Any], body: bytes) -> None:
    try:
        parse(body)
    except (TransientError, AccessError):
        return
