"""What dump writes, beside what the real restic writes."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from pyrestic.operations.archive_names import safe_zip_name
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program
from tests.support.sourcetree import make_source


def tar_members(data: bytes) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            content = file.read() if file is not None else None
            # Python marks names that are not UTF-8 by a record of their own.
            records = {key: value for key, value in member.pax_headers.items() if key != "hdrcharset"}
            attributes = {key: value for key, value in records.items() if key.startswith("SCHILY.")}
            owner = (member.uid, member.gid, member.uname, member.gname)
            found.append(
                (member.name, member.type, member.mode, member.mtime, member.linkname, *owner, attributes, content)
            )
    return found


def zip_members(data: bytes) -> list[tuple[object, ...]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [
            (
                *_zip_name(info),
                info.file_size,
                info.CRC,
                info.external_attr >> 16,
                info.compress_type,
                *_zip_times(info),
            )
            for info in archive.infolist()
        ]


def _zip_name(info: zipfile.ZipInfo) -> tuple[object, ...]:
    """Return the name and whether it is marked as UTF-8; of a name that would do harm what we make of it."""
    is_utf8 = info.flag_bits & 0x800
    name = info.orig_filename.encode("utf-8" if is_utf8 else "cp437").rstrip(b"/")
    safe = safe_zip_name(name)
    return (safe,) if safe != name or b"~" in name else (name, is_utf8)


def _zip_times(info: zipfile.ZipInfo) -> tuple[object, ...]:
    """Return date and exact time; restic's dates go round within 1980 to 2107, and its seconds within 32 bits."""
    year = int.from_bytes(info.extra[5:9], "little", signed=True) // 31_556_952 + 1970 if info.extra else 0
    return (info.date_time, info.extra) if 1981 < year < 2038 else ()


@pytest.mark.restic
def test_archives_and_files_equal_those_of_the_real_restic(pyrestic: Program, newest: Program, tmp_path: Path) -> None:
    source, repository = tmp_path / "source", make_quick_repository(tmp_path / "repository")
    make_source(source, large=False)
    newest.run("backup", source, repository=repository)
    tars = [program.run("dump", "latest", source, repository=repository).stdout for program in (pyrestic, newest)]
    ours, theirs = map(tar_members, tars)
    assert len(ours) > 100
    assert ours == theirs
    zips = [
        program.run("dump", "--archive", "zip", "latest", source, repository=repository).stdout
        for program in (pyrestic, newest)
    ]
    assert zip_members(zips[0]) == zip_members(zips[1])
    for name in ("contents/some chunks", "contents/zeros", "contents/empty"):
        dumped = pyrestic.run("dump", "latest", source / name, repository=repository).stdout
        assert dumped == (source / name).read_bytes()
    pyrestic.run("dump", "latest", source / "no such file", repository=repository, code=1)
