"""XML of object stores: read as it was written, refused where it is hostile."""

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.plain_xml import MAX_DEPTH, MAX_ELEMENTS, Element, parse_xml
from pyrestic.errors import FormatError

_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,10}", fullmatch=True)
_texts = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"))
_trees = st.recursive(
    st.builds(Element, _names, _texts),
    lambda children: st.builds(Element, _names, _texts, st.lists(children, max_size=4)),
    max_leaves=12,
)


def write(element: Element) -> str:
    inside = escape(element.text) + "".join(map(write, element.children))
    return f"<{element.name}>{inside}</{element.name}>"


@given(_trees)
def test_what_is_written_is_read(tree: Element) -> None:
    assert parse_xml(write(tree).encode()) == tree


@given(st.binary() | st.text().map(str.encode) | st.text("<>/?!&;ax =\"'[]-").map(str.encode))
def test_any_bytes_are_a_tree_or_refused(data: bytes) -> None:
    try:
        parse_xml(data)
    except FormatError:
        pass


LAUGHS = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><a>&c;</a>'
OUTSIDE = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
PARAMETER = b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://host/x"> %b;]><a/>'
DEEP = b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1)
LONG = b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>"


@pytest.mark.parametrize(
    "data",
    [
        LAUGHS,
        OUTSIDE,
        PARAMETER,
        DEEP,
        LONG,
        b"",
        b" ",
        b"<a>",
        b"<a/><b/>",
        b"<a>&x;</a>",
        b"<html><br></html>",
        b"{}",
        b'<?xml version="1.0" encoding="none"?><a/>',
        b"\xff\xfe<",
        b"<a>\x00</a>",
        b'<?xml version="1.0"?>',
    ],
)
def test_what_no_store_sends_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_xml(data)


def test_namespaces_are_dropped_and_paths_of_names_lead_to_texts() -> None:
    root = parse_xml(b'<x:A xmlns:x="u" xmlns="v"><x:B><C k="v"> t </C></x:B><B/></x:A>')
    assert (root.name, root.read("B", "C"), root.read("B", "D"), root.read("D", "C")) == ("A", " t ", "", "")
    assert len(root.find_all("B")) == 2
