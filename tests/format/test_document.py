"""Bytes of repository files that are not what a JSON parser expects: the same answer from every decoder, any parser."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from pyrestic.errors import FormatError
from pyrestic.format import config, document, gojson, index_file, keyfile, lock, snapshot, tree
from pyrestic.format.crypto import MasterKey
from pyrestic.format.document import HexId
from pyrestic.operations import migrate

ID = "0f" * 32
SECRET = "AAECAwQFBgcICQoLDA0ODw=="
LONG_SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TIME = "2024-03-04T05:06:07.089+01:00"


class Format(NamedTuple):
    """A kind of file: its decoder, a document of it, the path to an integer in it, and to a text that it gives."""

    parse: Callable[[bytes], Any]
    value: Any
    integer: tuple[str | int, ...]
    text: tuple[str | int, ...] = ()
    given: Callable[[Any], str] = str


SNAPSHOT = {"time": TIME, "tree": ID, "paths": ["/"], "hostname": "text", "uid": 5, "summary": {"files_new": 5}}
LOCK = {"time": TIME, "exclusive": True, "hostname": "text", "username": "u", "pid": 5}
KEY_FILE = {
    "created": TIME, "username": "u", "hostname": "text", "kdf": "scrypt", "N": 2, "r": 1, "p": 1,
    "salt": "A" * 86 + "==", "data": "A" * 86 + "==",
}  # fmt: skip
MASTER_KEY = {"mac": {"k": SECRET, "r": SECRET}, "encrypt": LONG_SECRET}
CONFIG = {"version": 1, "id": ID, "chunker_polynomial": "35ec891fbde741"}
BLOB = {"id": ID, "type": "data", "offset": 5, "length": 100}
INDEX = {"packs": [{"id": ID, "blobs": [BLOB]}]}
NODE = {"name": "n", "type": "file", "size": 5, "user": "text", "content": None}
TREE = {"nodes": [NODE]}

FORMATS = {
    "snapshot": Format(snapshot.parse, SNAPSHOT, ("uid",), ("hostname",), lambda one: str(one.hostname)),
    "summary": Format(snapshot.parse, SNAPSHOT, ("summary", "files_new"), ("paths", 0), lambda one: str(one.paths[0])),
    "lock": Format(lock.parse, LOCK, ("pid",), ("hostname",), lambda one: str(one.hostname)),
    "key file": Format(keyfile.parse, KEY_FILE, ("p",), ("hostname",), lambda one: str(one.hostname)),
    "config": Format(config.Config.parse, CONFIG, ("version",)),
    "index": Format(index_file.parse, INDEX, ("packs", 0, "blobs", 0, "offset")),
    "oldest index": Format(index_file.parse, INDEX["packs"], (0, "blobs", 0, "offset")),
    "index columns": Format(index_file.parse_columns, INDEX, ("packs", 0, "blobs", 0, "offset")),
    "tree": Format(tree.parse_tree, TREE, ("nodes", 0, "size"), ("nodes", 0, "user"), lambda one: str(one[0].user)),
    "name": Format(tree.parse_tree, TREE, ("nodes", 0, "mode"), ("nodes", 0, "name"), lambda one: str(one[0].name)),
}
WITH_TEXT = {name: one for name, one in FORMATS.items() if one.text}
WITHOUT_INTEGER = {
    "links": Format(tree.parse_links, TREE, ()),
    "master key": Format(MasterKey.from_json, MASTER_KEY, ()),
    "migrated config": Format(migrate.upgraded, CONFIG, ()),
}
ALL = FORMATS | WITHOUT_INTEGER

# What stands between the quotes, and what Go's decoder makes of it (seen with restic 0.19, see tests/compat).
TEXTS = [
    (b"a\xffb", "a\ufffdb"),
    (b"\xc3\x28\xe2\x28\xa1", "\ufffd(\ufffd(\ufffd"),
    (b"\xed\xa0\x80", "\ufffd" * 3),  # a surrogate, encoded
    (b"\xc0\xaf", "\ufffd" * 2),  # longer than need be
    (b"\xf4\x90\x80\x80", "\ufffd" * 4),  # beyond Unicode
    (rb"\ud800", "\ufffd"),
    (rb"\udc00x\ud83d", "\ufffdx\ufffd"),
    (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    (rb"\\ud800", "\\ud800"),  # a backslash before plain letters
    (b"e\xcc\x81", "e\u0301"),  # not NFC, which stays
    (b"\xc3\xa9", "\xe9"),
]
NOT_INTEGERS = [
    "NaN", "Infinity", "-Infinity", "1e999", "1.0", "1.5", "1e2", "-1e-999", "0x10", "01", "+1", "1_000", ".5", "٣",
    '"5"', "true", "[5]", str(1 << 64), str(-(1 << 64)), "9" * 400, "9" * 5000,
]  # fmt: skip
BROKEN = [b"", b"{", b"\xef\xbb\xbf{}", b"{}{}", b"{}\0", b"\xff\xfe{\0}\0", b"{" * 100_000, b"[" * 100_000, b"NaN"]


def with_raw(value: Any, path: tuple[str | int, ...], raw: bytes) -> bytes:
    """The document with these bytes at this path."""
    document = json.loads(json.dumps(value))
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = "THE PLACE"
    return json.dumps(document).encode().replace(b'"THE PLACE"', raw)


def with_more(value: Any, raw: bytes) -> bytes:
    """The document with an unknown field that holds these bytes, in its first object."""
    return json.dumps(value).encode().replace(b"{", b'{"of later versions":%s,' % raw, 1)


@pytest.mark.parametrize(("raw", "text"), TEXTS)
@pytest.mark.parametrize("name", WITH_TEXT)
def test_text_is_read_as_go_reads_it(name: str, raw: bytes, text: str) -> None:
    form = WITH_TEXT[name]
    if name == "name" and "\\" in text:
        text = text.replace("\\", "\\\\")
        raw = raw.replace(b"\\", b"\\\\")
    assert form.given(form.parse(with_raw(form.value, form.text, b'"%s"' % raw))) == text


@pytest.mark.parametrize("raw", [raw for raw, _ in TEXTS])
@pytest.mark.parametrize("name", ALL)
def test_text_of_unknown_fields_never_costs_a_document(name: str, raw: bytes) -> None:
    form = ALL[name]
    found = form.parse(with_more(form.value, b'{"%s":"%s"}' % (raw, raw)))
    plain = form.parse(json.dumps(form.value).encode())
    if name in ("snapshot", "summary"):
        assert found.unknown.keys() == {"of later versions"}
        assert gojson.is_utf8(snapshot.encode(found))
        found = snapshot.without_unknown(found)
    if name == "migrated config":
        found, plain = config.Config.parse(found), config.Config.parse(plain)
    if name == "index columns":
        found, plain = found.ids.tolist(), plain.ids.tolist()
    assert found == plain


@pytest.mark.parametrize("number", NOT_INTEGERS)
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_no_integer_of_64_bits_is_refused(name: str, number: str) -> None:
    form = FORMATS[name]
    form.parse(with_raw(form.value, form.integer, b"1"))
    with pytest.raises(FormatError):
        form.parse(with_raw(form.value, form.integer, number.encode()))


@pytest.mark.parametrize("data", BROKEN, ids=lambda data: repr(data[:10]))
@pytest.mark.parametrize("name", ALL)
def test_what_is_no_json_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(FormatError):
        ALL[name].parse(data)


@pytest.mark.parametrize("name", ALL)
def test_a_control_character_in_text_is_refused(name: str) -> None:
    with pytest.raises(FormatError):
        ALL[name].parse(with_more(ALL[name].value, b'"a\x01b"'))


@pytest.mark.parametrize("key", ["user", "uid", "mode", "size", "mtime", "extended_attributes", "generic_attributes"])
def test_a_null_in_a_node_counts_as_absent(key: str) -> None:
    plain = tree.parse_tree(json.dumps(TREE | {"nodes": [{k: v for k, v in NODE.items() if k != key}]}).encode())
    assert tree.parse_tree(with_raw(TREE, ("nodes", 0, key), b"null")) == plain


def test_the_error_names_what_was_read() -> None:
    with pytest.raises(FormatError, match=r"^the index file is not as restic writes it: "):
        document.decode(msgspec.json.Decoder(dict[str, HexId]), b'{"id":"x"}', "the index file")
