"""Names in zip archives that do no harm, whoever unpacks them."""

import io
import ntpath
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.operations.archive_names import safe_zip_name
from tests.support.cli import Caller

HARMLESS = [
    b"home/ann/notes.txt",
    b"My%20File.pdf",
    "übung/漢字".encode(),
    b"not \xff utf-8",
    b"ab:c",
    b"10:30 notes",
    b".hidden",
    b"...",
    b"..a",
    b"a..",
    b"quote\"'<>|?*",
    "\u200fעברית".encode(),
]
HARMFUL = {
    b"..\\up": b".._up~",
    b"..": b"__~",
    b".": b"_~",
    b"": b"_~",
    b"C:": b"C_~",
    b"a:b": b"a_b~",
    b"c:evil.exe": b"c_evil~",
    b"\\\\host\\share": b"__host_share~",
    b"line\r\nbreak.txt": b"line__break~",
    b"\x1b[2J": b"_[2J~",
    b"\x7f": b"_~",
    "\u202etxt.exe".encode(): b"_txt~",
    "\u2028".encode(): b"_~",
    "\u2066x".encode(): b"_x~",
    "\x9b2J".encode(): b"_2J~",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_names_stay_as_they_are(name: bytes) -> None:
    assert safe_zip_name(name) == name


@pytest.mark.parametrize("name", HARMFUL)
def test_harmful_names_are_changed_wherever_they_stand(name: bytes) -> None:
    changed = safe_zip_name(name)
    assert changed.startswith(HARMFUL[name])
    assert safe_zip_name(b"a/" + name + b"/b") == b"a/" + changed + b"/b"


@given(st.lists(st.sampled_from([*HARMLESS, *HARMFUL]) | st.binary(max_size=8), min_size=1).map(b"/".join))
def test_no_name_leads_out_on_any_system_or_is_changed_twice(path: bytes) -> None:
    changed = safe_zip_name(path)
    assert safe_zip_name(changed) == changed
    assert b"\\" not in changed
    assert not changed.startswith(b"/")
    assert ntpath.splitdrive(changed)[0] == b""
    assert not {b"", b".", b".."} & set(changed.split(b"/"))
    assert min(changed) >= 0x20


def test_names_that_differ_stay_apart() -> None:
    names = [b"a\\b", b"a_b", b"a\x01b", b"a\x02b", b"C:", b"C_"]
    assert len({safe_zip_name(name) for name in names}) == len(names)


def test_an_archive_has_such_names_alone_and_all_contents(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    folder = tmp_path / "source" / "..\\out"
    folder.mkdir(parents=True)
    for name in ("..\\..\\up", "C:evil.exe", "line\nbreak", "plain.txt"):
        (folder / name).write_text(name)
    call("backup", "source")
    call("dump", "--archive", "zip", "--target", str(tmp_path / "all.zip"), "latest", "/source")
    with zipfile.ZipFile(io.BytesIO((tmp_path / "all.zip").read_bytes())) as archive:
        names = [info.orig_filename for info in archive.infolist() if not info.is_dir()]
        contents = {archive.read(info).decode() for info in archive.infolist() if not info.is_dir()}
    assert contents == {"..\\..\\up", "C:evil.exe", "line\nbreak", "plain.txt"}
    assert all(name.isprintable() and "\\" not in name and "C:" not in name for name in names)
    assert sum(name.endswith("/plain.txt") for name in names) == 1
