"""Every flag of restore, by both programs into folders that hold the same before: the same files and messages."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.compared_output import SideBySide
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import NEWEST, find_restic

pytestmark = pytest.mark.restic
OLD, SAME, NEW = 1_500_000_000, 1_600_000_000, 1_700_000_000


def write(path: Path, content: bytes, moment: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (moment, moment))


def fill(folder: Path) -> None:
    """Make what is backed up."""
    write(folder / "a.txt", b"a", SAME)
    write(folder / "B.TXT", b"b" * 70_000, SAME)
    write(folder / "dir" / "c.o", b"c", SAME)
    write(folder / "dir" / "sub" / "d.txt", b"d", SAME)
    write(folder / "dir" / "sub" / "[e]", b"e", SAME)
    write(folder / "sparse", bytes(3 << 20) + b"end" + bytes(1 << 20), SAME)
    write(folder / "changed", b"as it was", SAME)
    write(folder / "newer here", b"as it was", SAME)
    write(folder / "older here", b"as it was", SAME)
    write(folder / "same", b"the same", SAME)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("a.txt")
    os.link(folder / "a.txt", folder / "dir" / "hard link")
    os.setxattr(folder / "a.txt", b"user.one", b"1")
    os.setxattr(folder / "a.txt", b"user.two", b"2")
    os.setxattr(folder / "dir", b"user.one", b"1")
    (folder / "dir" / "c.o").chmod(0o4751)
    os.chown(folder / "dir" / "c.o", os.geteuid(), os.getegid())
    for name in ("dir/sub", "dir", "empty"):
        os.utime(folder / name, (SAME, SAME))


def prepare(target: Path) -> None:
    """Fill a target with what may be in the way."""
    shutil.rmtree(target, ignore_errors=True)
    write(target / "changed", b"otherwise", SAME)
    write(target / "newer here", b"newer and longer", NEW)
    write(target / "older here", b"older and longer", OLD)
    write(target / "same", b"the same", SAME)
    write(target / "extra", b"extra", SAME)
    write(target / "dir" / "extra", b"extra", SAME)
    write(target / "dir" / "sub" / "extra.o", b"extra", SAME)
    (target / "a.txt").mkdir()
    (target / "link").symlink_to("elsewhere")


def describe(folder: Path) -> dict[str, Any]:
    """Return what is in a folder: types, modes, times, owners, contents, attributes, and which files are one."""
    found: dict[str, Any] = {}
    first: dict[int, str] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        name = str(path.relative_to(folder))
        kind = stat.S_IFMT(status.st_mode)
        content: Any = None
        if kind == stat.S_IFREG:
            content = path.read_bytes()
        elif kind == stat.S_IFLNK:
            content = os.readlink(path)
        attributes = {each: os.getxattr(path, each) for each in os.listxattr(path, follow_symlinks=False)}
        # The target itself, and folders that were only passed through, have the time of the restore.
        moment = status.st_mtime_ns if status.st_mtime < NEW + 1000 else "now"
        one = first.setdefault(status.st_ino, name) if kind == stat.S_IFREG else ""
        found[name] = (kind, status.st_mode, moment, status.st_uid, status.st_gid, content, attributes, one)
    return found


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SideBySide]:
    """A repository with two snapshots; the first has an older state and another host, path and tag."""
    folder = tmp_path_factory.mktemp("restore")
    source, lists = folder / "source", folder / "lists"
    fill(source)
    lists.mkdir()
    (lists / "includes").write_text("# comment\n\n/dir\n*.txt\n")
    (lists / "patterns").write_text("*.TXT\n")
    restic = find_restic(NEWEST, folder)
    repository = make_quick_repository(folder / "repository")
    early, late = "--time=2024-01-01 12:00:00", "--time=2024-01-02 12:00:00"
    restic.run("backup", "--host=one", "--tag=x,y", early, source / "dir", repository=repository)
    restic.run("backup", "--host=two", "--tag=z", late, source, repository=repository)
    side = SideBySide(folder, repository)
    first, second = restic.snapshots(repository)
    side.names = {"source": str(source), "lists": str(lists), "s1": first["id"], "s2": second["id"]}
    yield side
    shutil.rmtree(folder)


WHOLE = "latest:{source}"
LINES = [
    f"restore {WHOLE}",
    f"restore {WHOLE} --json",
    f"restore {WHOLE} -v",
    f"restore {WHOLE} -vv",
    f"restore {WHOLE} -vv --json",
    f"restore {WHOLE} --dry-run",
    f"restore {WHOLE} --dry-run -vv --json",
    f"restore {WHOLE} --quiet",
    f"restore {WHOLE} --overwrite=always",
    f"restore {WHOLE} --overwrite=if-changed -vv --json",
    f"restore {WHOLE} --overwrite=if-newer -vv --json",
    f"restore {WHOLE} --overwrite=never -vv --json",
    f"restore {WHOLE} --overwrite=sometimes",
    f"restore {WHOLE} --overwrite=never --dry-run --json",
    f"restore {WHOLE} --delete -vv --json",
    f"restore {WHOLE} --delete --dry-run -vv",
    f"restore {WHOLE} --delete --overwrite=never --json",
    f"restore {WHOLE} --delete --exclude=*.o --json -vv",
    f"restore {WHOLE} --delete --include=/dir --json -vv",
    f"restore {WHOLE} --exclude=*.txt",
    f"restore {WHOLE} -e dir",
    f"restore {WHOLE} --exclude=/dir --exclude=!/dir/sub",
    f"restore {WHOLE} --exclude-file={{lists}}/includes",
    f"restore {WHOLE} --iexclude=*.TXT",
    f"restore {WHOLE} --iexclude-file={{lists}}/patterns",
    f"restore {WHOLE} --include=/dir/sub",
    f"restore {WHOLE} -i *.txt --include=empty",
    f"restore {WHOLE} --include=*.txt --include=!/dir/sub/*",
    f"restore {WHOLE} --include-file={{lists}}/includes",
    f"restore {WHOLE} --iinclude=*.TXT",
    f"restore {WHOLE} --iinclude-file={{lists}}/patterns",
    f"restore {WHOLE} --include=nothing --json",
    f"restore {WHOLE} --include=a --exclude=b",
    f"restore {WHOLE} --include=[",
    f"restore {WHOLE} --include-file={{lists}}/nowhere",
    f"restore {WHOLE} --exclude-xattr=user.one",
    f"restore {WHOLE} --exclude-xattr=*",
    f"restore {WHOLE} --include-xattr=user.t*",
    f"restore {WHOLE} --include-xattr=user.one --exclude-xattr=user.two",
    f"restore {WHOLE} --include-xattr=security.*",
    f"restore {WHOLE} --ownership-by-name",
    f"restore {WHOLE} --sparse",
    f"restore {WHOLE} --sparse --verify --json",
    f"restore {WHOLE} --verify",
    f"restore {WHOLE} --no-lock --no-cache",
    "restore latest --host=one",
    "restore latest --host=one --include=c.o",
    "restore latest -H one -H two --tag=z",
    "restore latest --path={source}/dir",
    "restore latest --tag=x,y",
    "restore latest --tag=x,z",
    "restore latest --tag=x --tag=z",
    "restore latest --host=nobody",
    "restore {s1}:{source}/dir/sub",
    "restore {s1}:/nowhere",
    "restore {s2}",
    "restore ffffffff",
    "restore",
    "restore latest latest",
]


@pytest.mark.parametrize("line", LINES)
def test_the_same_line_restores_the_same(side: SideBySide, line: str) -> None:
    targets = {name: side.folder / f"target-{name}" for name in ("restic", "pyrestic")}
    for target in targets.values():
        prepare(target)
    theirs, ours = side.run(f"{line} --target={{folder}}/target-{{program}}", reading=True)
    assert ours.code == theirs.code, ours.errors
    assert describe(targets["pyrestic"]) == describe(targets["restic"])
    # What ours says before it begins is its own.
    assert [one for one in ours.messages if one["message_type"] != "preflight"] == theirs.messages
    if theirs.code == 0:
        assert ours.out == theirs.out


def test_without_a_target_nothing_is_restored(side: SideBySide) -> None:
    theirs, ours = side.run("restore latest")
    assert (ours.code, ours.out) == (theirs.code, theirs.out)


def test_holes_take_no_space(side: SideBySide) -> None:
    for target in ("restic", "pyrestic"):
        shutil.rmtree(side.folder / f"target-{target}", ignore_errors=True)
    theirs, ours = side.run(f"restore {WHOLE} --sparse --target={{folder}}/target-{{program}}")
    assert (theirs.code, ours.code) == (0, 0), theirs
    taken = [(side.folder / f"target-{name}" / "sparse").stat().st_blocks for name in ("restic", "pyrestic")]
    assert taken[1] <= taken[0]
