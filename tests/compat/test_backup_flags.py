"""Every flag of backup, by both programs on copies of one repository: the same snapshots, messages, exit codes."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.support.compared_output import SideBySide
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import NEWEST, find_restic

pytestmark = pytest.mark.restic


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SideBySide]:
    """A folder with what the flags are about, and a repository with two snapshots of an older state of it."""
    folder = tmp_path_factory.mktemp("backup")
    # The folders above the source are backed up as well, and nobody may touch them between the two runs.
    quiet = tmp_path_factory.mktemp("quiet")
    source, lists = quiet / "source", quiet / "lists"
    for name in ("dir/sub", "cache/below", "not a cache", "skipped", "Mixed Case"):
        (source / name).mkdir(parents=True)
    lists.mkdir()
    for name in ("a.txt", "b.o", "dir/c.o", "dir/sub/keep.o", "Mixed Case/X.JPG", "dir/y.jpg", "skipped/file", "[x]"):
        (source / name).write_text(name)
    (source / "large").write_bytes(os.urandom(1_500_000))
    (source / "dir" / "exactly").write_bytes(bytes(1024))
    (source / "cache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\nmore")
    (source / "cache" / "below" / "file").write_text("cached")
    (source / "not a cache" / "CACHEDIR.TAG").write_text("Signature: something else")
    (source / "skipped" / ".nobackup").write_text("yes, skip it")
    (source / "link").symlink_to("a.txt")
    os.link(source / "a.txt", source / "dir" / "hard link")
    (lists / "excludes").write_text("# comment\n\n*.o\n!keep.o\n$NAMED\n")
    (lists / "iexcludes").write_text("*.jpg\n")
    (lists / "from").write_text(f"# comment\n{source}/*.txt\n\n{source}/dir\n")
    (lists / "from-verbatim").write_text(f"{source}/a.txt\n{source}/[x]\n")
    (lists / "from-raw").write_bytes(f"{source}/b.o\0{source}/[x]\0".encode())
    (lists / "none").write_text("# nothing but a comment\n")
    (lists / "missing").write_text(f"{source}/a.txt\n{source}/nowhere\n")
    restic = find_restic(NEWEST, folder)
    repository = make_quick_repository(folder / "repository")
    restic.run("backup", "--host=one", "--time=2024-01-01 12:00:00", "source", repository=repository, cwd=quiet)
    (source / "b.o").write_text("changed and longer")
    restic.run("backup", "--host=two", "--time=2024-01-02 12:00:00", source, repository=repository, cwd=quiet)
    (source / "dir" / "sub" / "new").write_text("new")
    side = SideBySide(folder, repository)
    side.cwd = quiet
    first, second = restic.snapshots(repository)
    side.names = {"source": str(source), "lists": str(lists), "s1": first["id"], "s2": second["id"]}
    yield side
    shutil.rmtree(folder)
    shutil.rmtree(quiet)


LINES = [
    "backup --host=one source",
    "backup --host=two {source}",
    "backup --hostname=two {source}",
    "backup --host=three source dir",
    "backup --host=one --exclude=*.o source",
    "backup --host=one -e *.o -e *.jpg source",
    "backup --host=one --exclude={source}/dir source",
    "backup --host=one --exclude=dir --exclude=!dir/sub source",
    "backup --host=one --exclude=*.o --exclude=!keep.o source",
    "backup --host=one --exclude=/source/dir source",
    "backup --host=one --exclude=**/sub/** source",
    "backup --host=one --iexclude=*.JPG --iexclude=MIXED\tcase source",
    "backup --host=one --exclude=*.JPG source",
    "backup --host=one --exclude-file={lists}/excludes source",
    "backup --host=one --exclude-file={lists}/nowhere source",
    "backup --host=one --iexclude-file={lists}/iexcludes source",
    "backup --host=one --exclude-caches source",
    "backup --host=one --exclude-if-present=.nobackup source",
    "backup --host=one --exclude-if-present=.nobackup:yes source",
    "backup --host=one --exclude-if-present=.nobackup:no source",
    "backup --host=one --exclude-if-present=CACHEDIR.TAG --exclude-if-present=.nobackup source",
    "backup --host=one --exclude-if-present=: source",
    "backup --host=one --exclude-larger-than=1M source",
    "backup --host=one --exclude-larger-than=1024 source",
    "backup --host=one --exclude-larger-than=1023b source",
    "backup --host=one --exclude-larger-than=x source",
    "backup --host=one --exclude=[ source",
    "backup --host=one --files-from={lists}/from",
    "backup --host=one --files-from={lists}/from --files-from-verbatim={lists}/from-verbatim link",
    "backup --host=one --files-from-verbatim={lists}/from-verbatim",
    "backup --host=one --files-from-raw={lists}/from-raw",
    "backup --host=one --files-from={lists}/nowhere",
    "backup --host=one --files-from=-",
    "backup --host=one --files-from-raw=-",
    "backup --host=one --files-from={lists}/none",
    "backup --host=one --files-from-verbatim={lists}/missing",
    "backup --host=one --dry-run source",
    "backup --host=one -n -v source",
    "backup --host=one --dry-run -vv source",
    "backup --host=one -v source",
    "backup --host=one -vv source",
    "backup --host=one --force source",
    "backup --host=one -f --json source",
    "backup --host=one --json --verbose=2 source",
    "backup --host=one --json --dry-run source",
    "backup --host=three --group-by=paths {source}",
    "backup --host=two --group-by=host source/dir",
    "backup --host=three --group-by='' source",
    "backup --host=one --group-by=tags,host source",
    "backup --host=one --group-by=nonsense source",
    "backup --host=one --parent={s2} source",
    "backup --host=one --parent=latest source",
    "backup --host=three --parent=latest source",
    "backup --host=one --parent=latest:/x source",
    "backup --host=one --parent=ffffffff source",
    "backup --host=one --parent={s1}:/dir source",
    "backup --host=one --ignore-ctime source",
    "backup --host=one --ignore-inode source",
    "backup --host=one --ignore-ctime --ignore-inode --json source",
    "backup --host=one --no-scan --json source",
    "backup --host=one --one-file-system source",
    "backup --host=one -x /dev/null source",
    "backup --host=one --read-concurrency=1 source",
    "backup --host=one --read-concurrency=7 source",
    "backup --host=one --read-concurrency=x source",
    "backup --host=one --skip-if-unchanged source",
    "backup --host=one --skip-if-unchanged --exclude=new source",
    "backup --host=one --skip-if-unchanged --exclude=new --json source",
    "backup --host=one --tag=a,b --tag=c source",
    "backup --host=one --tag='' source",
    "backup --host=one --tag=a,a,,b source",
    "backup --host=one --time=2024-05-06\t07:08:09 source",
    "backup --host=one --time=2024-03-31\t02:30:00 source",
    "backup --host=one --time=2024-05-06 source",
    "backup --host=one --time=yesterday source",
    "backup --host=one --with-atime source",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin --json",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin --stdin-filename=other\tname",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin --stdin-filename=/deep/name",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin --stdin-filename=/",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin --stdin-filename=../a//b/./c",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin --stdin-filename=''",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin -v",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin -vv --json --stdin-filename=deep/name",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin source",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin-from-command echo hello",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin-from-command --stdin-filename=x -- sh -c echo\thello",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin-from-command -- sh -c echo\thello;exit\t3",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin-from-command -- nowhere\tto\tbe\tfound",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin-from-command",
    "backup --host=one --time=2024-05-06\t07:08:09 --stdin --dry-run",
    "backup --host=one",
    "backup --host=one nowhere",
    "backup --host=one nowhere source",
    "backup --host=one nowhere source --json",
    "backup --host=one source source",
    "backup --host=one source --no-cache --no-extra-verify",
    "backup --host=one --compression=off source",
    "backup --host=one --pack-size=8 source",
    "backup --host=one --use-fs-snapshot source",
]


@pytest.mark.parametrize("line", LINES)
def test_the_same_line_makes_the_same_snapshot(side: SideBySide, line: str) -> None:
    stdin = b"source/a.txt" if "--stdin" in line or line.endswith("=-") else b""
    theirs, ours = side.run(line, stdin=stdin, environment={"NAMED": "y.jpg"})
    assert ours.code == theirs.code
    assert ours.snapshot == theirs.snapshot
    assert ours.messages == theirs.messages
    if theirs.code == 0:
        assert ours.out == theirs.out


@pytest.mark.parametrize(("variable", "value"), [("RESTIC_HOST", "two"), ("RESTIC_READ_CONCURRENCY", "3")])
def test_variables_stand_for_flags(side: SideBySide, variable: str, value: str) -> None:
    theirs, ours = side.run("backup --time=2024-05-06\t07:08:09 {source}", environment={variable: value})
    assert (ours.code, ours.snapshot, ours.messages, ours.out) == (0, theirs.snapshot, theirs.messages, theirs.out)
    if variable == "RESTIC_HOST":
        assert theirs.snapshot is not None
        assert theirs.snapshot["hostname"] == value
