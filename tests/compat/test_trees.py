"""Every byte of the trees that the real restic writes is understood here, and written just so."""

import os
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format.gojson import quote_name
from pyrestic.format.tree import encode_tree, parse_tree, reproducible
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program
from tests.support.sourcetree import make_source

SECOND = 1_000_000_000

TARGETS = (
    bytes(range(1, 128)),
    "\ufffd valid".encode(),
    b"\xff\xef\xbf\xbd\xff",
    b"\xff\xf0\x9f\x98\x80\xfe",
    b"\xed\xa0\x80 surrogate",
    b"\xf4\x90\x80\x80\xc0\x80",
    "\u2027\u2028\u2029\u202a \u0085\x7f".encode(),
    b"<&>\xe2\x80",
)

# File systems differ in how far their times reach: those of memory take all, others the nearest.
FAR_TIMES = (
    -(1 << 63) - 1,
    (1 << 63) - 1,
    1 << 63,
    -2_717_650_800 * SECOND,
    -2_717_640_001 * SECOND,
    -62_135_596_800 * SECOND,
    -62_167_219_201 * SECOND,
    253_402_300_799 * SECOND + 999_999_999,
    253_402_300_800 * SECOND,
    253_407_441_600 * SECOND,
    10**12 * SECOND,
    -(10**12) * SECOND,
    (1 << 62) * SECOND,
)


def make_awkward(folder: Path) -> None:
    """Fill a folder with what is hardest to write as JSON."""
    folder.mkdir()
    for number, target in enumerate(TARGETS):
        os.symlink(target, os.path.join(os.fsencode(folder), b"link %d" % number))
    for number, ns in enumerate(FAR_TIMES):
        path = folder / f"time {number:02}"
        path.write_bytes(b"x")
        os.utime(path, ns=(ns, ns))
    attributes = folder / "attributes"
    attributes.write_bytes(b"")
    for name in (b"user.a<b>&c", b"user.\x01\x08\x0c\x1f\x7f", "user.\u2028\ufffd".encode(), b'user.q"\\'):
        try:
            os.setxattr(attributes, name, b"value")
        except OSError:
            return  # the file system has no attributes


def trees(repository: Path) -> list[bytes]:
    """Return the bytes of all trees."""
    opened = Repository.open(LocalBackend(str(repository)), PASSWORD)
    opened.load_index(NullReporter())
    handles = {blob.handle for blob in opened.index.blobs() if blob.handle.type == BlobType.TREE}
    return [opened.load_blob(BlobHandle(BlobType.TREE, handle.id)) for handle in handles]


@pytest.mark.restic
def test_trees_of_every_release_are_read_and_written_back_byte_for_byte(restic: Program, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    make_source(folder, large=False)
    repository = make_quick_repository(tmp_path / "repository")
    restic.run("backup", ".", repository=repository, cwd=folder, TZ="America/St_Johns")
    found = trees(repository)
    assert len(found) > 50
    for data in found:
        nodes = parse_tree(data)
        if restic.name == "restic 0.14" and any(node.name == "link invalid target" for node in nodes):
            # Built with an older Go, and without the bytes of link targets that are not UTF-8: like restic itself.
            assert b"\\u0008" in data
            assert not reproducible(data, nodes)
        else:
            assert encode_tree(nodes) == data


@pytest.mark.restic
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Apia"])
def test_the_hardest_names_targets_and_times_give_the_same_tree(
    pyrestic: Program, newest: Program, tmp_path: Path, zone: str
) -> None:
    folder = tmp_path / "source"
    make_awkward(folder)
    repository = make_quick_repository(tmp_path / "repository")
    for program in (newest, pyrestic):
        program.run("backup", "--force", ".", repository=repository, cwd=folder, TZ=zone)
    theirs, ours = newest.snapshots(repository)
    assert ours["tree"] == theirs["tree"]
    (data,) = trees(repository)
    assert reproducible(data, parse_tree(data))


@pytest.mark.restic
@pytest.mark.slow
def test_every_character_is_quoted_as_the_newest_release_quotes_it(newest: Program, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    names: list[bytes] = []
    name = b""
    for code in range(0x80, 0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        character = chr(code).encode()
        if len(name) + len(character) > 255:
            names.append(name)
            name = b""
        name += character
    names.append(name)
    for name in names:
        os.close(os.open(os.path.join(os.fsencode(folder), name), os.O_WRONLY | os.O_CREAT))
    repository = make_quick_repository(tmp_path / "repository")
    newest.run("backup", ".", repository=repository, cwd=folder)
    (data,) = trees(repository)
    nodes = parse_tree(data)
    assert [node.raw_name for node in nodes] == sorted(names)
    assert [node.name for node in nodes] == [quote_name(name) for name in sorted(names)]


def test_devices_are_kept_for_hard_links_alone_where_that_is_asked_for(
    pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    make_source(source)
    repository = make_quick_repository(tmp_path / "repository")
    trees = []
    for value in ("device-id-for-hardlinks", "device-id-for-hardlinks=false"):
        for program in (newest, pyrestic):
            program.run("backup", "--force", "source", repository=repository, cwd=tmp_path, RESTIC_FEATURES=value)
            trees.append(newest.snapshots(repository)[-1]["tree"])
    assert trees[0] == trees[1]
    assert trees[2] == trees[3]
    assert trees[0] != trees[2]
