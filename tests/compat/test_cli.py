"""The simple commands beside the real restic: same arguments, same output, same exit code."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.cli import Caller
from tests.support.incomplete import as_restic
from tests.support.restic import Program

pytestmark = pytest.mark.restic

SNAPSHOTS = [
    ["snapshots"],
    ["snapshots", "--json"],
    ["snapshots", "-c"],
    ["snapshots", "--latest=1"],
    ["snapshots", "--last"],
    ["snapshots", "--host", "other"],
    ["snapshots", "--host", "one", "--host=other"],
    ["snapshots", "--tag", "a,b", "--tag", ""],
    ["snapshots", "--path", "/nowhere"],
    ["snapshots", "--path", "source"],
    ["snapshots", "latest"],
    ["snapshots", "latest", "--path", "source/dir"],
    ["snapshots", "latest", "--host", "none", "--tag", "a,b", "--tag", "q", "--path", "foo"],
    ["snapshots", "nothing", "{short}"],
    ["snapshots", "{short}", "--host", "x"],
    ["snapshots", "{short}:dir"],
    ["snapshots", "latest:dir"],
    ["snapshots", "-g", "host", "--host", "other"],
    ["snapshots", "-g", "tags,paths", "--tag", "a", "--json"],
    ["-q", "snapshots"],
]
LS = [
    ["ls", "latest"],
    ["ls", "{short}", "-l"],
    ["ls", "{short}", "-l", "--human-readable"],
    ["ls", "{short}", "--json"],
    ["ls", "{short}", "--ncdu"],
    ["ls", "{short}", "{source}/dir", "--ncdu"],
    ["ls", "{short}", "{source}/dir", "--recursive"],
    ["ls", "{short}", "{source}/dir", "--json"],
    ["ls", "{short}", "{source}/dir/", "{source}/a.txt"],
    ["ls", "{short}:{source}/dir", "-l"],
    ["ls", "{short}", "/"],
    ["ls", "{short}", "/nothing"],
    ["ls", "{short}", "--sort", "size", "-l"],
    ["ls", "{short}", "--sort", "mtime", "--reverse"],
    ["ls", "{short}", "-s", "extension", "--json"],
    ["ls", "{short}", "--reverse"],
]
OBJECTS = [
    ["cat", "config"],
    ["cat", "masterkey"],
    ["cat", "snapshot", "{snapshot}"],
    ["cat", "snapshot", "{short}"],
    ["cat", "tree", "{short}"],
    ["cat", "tree", "{short}:{source}"],
    ["cat", "index", "{index}"],
    ["cat", "key", "{key}"],
    ["cat", "pack", "{pack}"],
    ["cat", "blob", "{blob}"],
    ["list", "packs"],
    ["list", "index"],
    ["list", "snapshots"],
    ["list", "keys"],
    ["list", "locks"],
    ["list", "blobs"],
    ["key", "list"],
    ["key", "list", "--json"],
    ["unlock"],
]
REFUSED = [
    ["snapshots", "--frob"],
    ["--frob", "snapshots"],
    ["--json", "snapshots", "--frob"],
    ["snapshots", "--frob", "--json"],
    ["snapshots", "-qZx"],
    ["snapshots", "--latest"],
    ["snapshots", "--latest", "x"],
    ["snapshots", "--latest", "99999999999999999999"],
    ["snapshots", "--compact=maybe"],
    ["snapshots", "-g", "foo"],
    ["snapshots", "---x"],
    ["ls", "--sort", "foo"],
    ["ls"],
    ["ls", "latest", "dir"],
    ["ls", "latest", "--ncdu", "--json"],
    ["ls", "latest", "--ncdu", "--reverse"],
    ["ls", "latest", "--ncdu", "-s", "size"],
    ["list"],
    ["list", "a", "b"],
    ["cat"],
    ["cat", "foo"],
    ["cat", "pack"],
    ["cat", "pack", "abc"],
    ["cat", "blob", "00" * 32],
    ["key", "remove", "{key}"],
    ["snapshots", "--compression", "foo"],
    ["snapshots", "--pack-size", "foo"],
    ["snapshots", "--pack-size=-1"],
    ["snapshots", "--limit-upload=x"],
    ["snapshots", "--retry-lock", "5"],
    ["snapshots", "--retry-lock", "5y"],
    ["snapshots", "--retry-lock", "x"],
    ["snapshots", "-q", "-v"],
    ["snapshots", "-o", "=x"],
    ["snapshots", "-o", "a=b", "-o", "a=c"],
    ["snapshots", "--repository-file", "y"],
    ["snapshots", "--insecure-no-password"],
    ["snapshots", "-p", "x", "--password-command", "y"],
    ["snapshots", "-p", "/nonexistent"],
    ["snapshots", "--password-command", "false"],
    ["snapshots", "--password-command", "'abc"],
    ["snapshots", "--password-command", "echo nope"],
    ["--json", "snapshots", "--password-command", "echo nope"],
    ["init", "--from-repo", "x"],
    ["init", "--repository-version", "x"],
]


def fill(newest: Program, folder: Path) -> dict[str, str]:
    """Make a repository with a few snapshots; return what the arguments of the commands stand for."""
    source = folder / "source"
    (source / "dir" / "sub").mkdir(parents=True)
    (source / "a.txt").write_bytes(b"hello\n")
    (source / "dir" / 'we<i>&rd "name".md').write_bytes(os.urandom(5000))
    (source / "dir" / "uml äö €.tar.gz").touch()
    os.symlink("../a.txt", source / "dir" / "link")
    os.mkfifo(source / "dir" / "pipe")
    (source / "dir" / "sub").chmod(0o1777)
    (source / "a.txt").chmod(0o4755)
    with open(os.fsencode(source) + b"/dir/bad\xffname", "wb") as file:
        file.write(b"x")
    os.utime(source / "a.txt", (-315_000_000, -315_000_000.25))
    repository = folder / "repository"
    # A key that costs nothing to derive: there are many commands to compare.
    Caller(folder).create()
    newest.run("backup", "--host=one", source, repository=repository, TZ="Europe/Berlin")
    newest.run("backup", "--host=other", "--tag=a,b", "--tag=<&>", source / "dir", source, repository=repository)
    newest.run("backup", "--host=other", "--time=2020-01-01 10:00:00", source / "dir", repository=repository)

    def first(*arguments: str) -> str:
        return newest.run(*arguments, repository=repository).text.split("\n")[0]

    snapshot = newest.run("snapshots", "--json", "--host=one", repository=repository).json[0]["id"]
    return {
        "source": str(source),
        "snapshot": snapshot,
        "short": snapshot[:10],
        "index": first("list", "index"),
        "key": first("list", "keys"),
        "pack": first("list", "packs"),
        "blob": first("list", "blobs").split()[1],
    }


def run_both(
    newest: Program, pyrestic: Program, words: list[str], zone: str, host: str
) -> list[tuple[int, bytes, str]]:
    """Return exit code, output and errors of both programs."""
    repository = newest.home.parent / "repository"
    results: list[tuple[int, bytes, str]] = []
    for program in (newest, pyrestic):
        done = program.run(
            "--no-lock",
            *words,
            repository=repository,
            code=None,
            cwd=newest.home.parent,
            XDG_CACHE_HOME=str(newest.home),
            TZ=zone,
            RESTIC_HOST=host,
        )
        before = results[0][0] if results else 0
        code, errors = as_restic(before, done.code, done.stderr.decode("utf-8", "surrogateescape"))
        results.append((code, done.stdout, _comparable(errors.encode("utf-8", "surrogateescape"))))
    return results


def _comparable(errors: bytes) -> str:
    """Return messages without what differs on purpose: `Fatal:` where restic forgets or repeats it, and advice."""
    text = re.sub(r'(^|"|: )(Fatal: )+', r"\1", errors.decode("utf-8", "replace"))
    return text.replace(" to restic to disable", " to disable").split("\nRESTIC_")[0].split("\nOpen the")[0].strip()


def compare(newest: Program, pyrestic: Program, commands: list[list[str]], *, zone: str = "UTC", host: str = "") -> int:
    """Run the commands with both programs; fail with all that differ, and return how many were compared."""
    names = fill(newest, newest.home.parent)
    different = []
    for command in commands:
        words = [word.format(**names) for word in command]
        theirs, ours = run_both(newest, pyrestic, words, zone, host)
        if command[0] == "list":
            theirs, ours = ((code, b"".join(sorted(out.splitlines(True))), err) for code, out, err in (theirs, ours))
        if theirs != ours:
            different.append(f"{command}\nrestic:   {theirs}\npyrestic: {ours}")
    assert not different, "\n".join(different)
    return len(commands)


def test_snapshots_are_listed_byte_for_byte_alike(newest: Program, pyrestic: Program) -> None:
    assert compare(newest, pyrestic, SNAPSHOTS, zone="Europe/Berlin") == len(SNAPSHOTS)


def test_files_are_listed_byte_for_byte_alike(newest: Program, pyrestic: Program) -> None:
    assert compare(newest, pyrestic, LS, zone="Europe/Berlin") == len(LS)


def test_objects_are_shown_byte_for_byte_alike(newest: Program, pyrestic: Program) -> None:
    assert compare(newest, pyrestic, OBJECTS) == len(OBJECTS)


def test_what_is_wrong_is_refused_in_the_same_words(newest: Program, pyrestic: Program) -> None:
    assert compare(newest, pyrestic, REFUSED) == len(REFUSED)


def test_the_host_of_the_environment_filters_alike(newest: Program, pyrestic: Program) -> None:
    commands = [["snapshots"], ["snapshots", "--host", ""], ["ls", "latest"], ["snapshots", "--host=one"]]
    assert compare(newest, pyrestic, commands, host="other") == len(commands)


@pytest.mark.parametrize("version", ["1", "2"])
def test_every_release_opens_what_init_makes(restic: Program, pyrestic: Program, tmp_path: Path, version: str) -> None:
    repository = tmp_path / "repository"
    pyrestic.run("init", "--repository-version", version, repository=repository)
    assert restic.run("cat", "config", repository=repository).json["version"] == int(version)
    restic.run("check", repository=repository)
    assert pyrestic.run("snapshots", "--json", repository=repository).json == []


def test_every_release_opens_with_keys_of_ours_and_we_with_theirs(
    restic: Program, pyrestic: Program, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    restic.run("init", repository=repository)
    file = tmp_path / "new"
    for number, (adds, opens) in enumerate(((pyrestic, restic), (restic, pyrestic))):
        file.write_text(f"password ä {number}\n")
        adds.run("key", "add", "--new-password-file", file, repository=repository)
        listed = opens.run("key", "list", repository=repository, RESTIC_PASSWORD=f"password ä {number}").text
        assert len(listed.splitlines()) == 5 + number
    file.write_text("last\n")
    pyrestic.run("key", "passwd", "--new-password-file", file, repository=repository)
    restic.run("cat", "config", repository=repository, RESTIC_PASSWORD="last")
    assert restic.run("cat", "config", repository=repository, code=None).code != 0


def test_locks_exclude_one_another_across_programs(newest: Program, pyrestic: Program, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    newest.run("init", repository=repository)
    (key,) = newest.run("list", "keys", repository=repository).text.split()
    os.mkfifo(tmp_path / "pipe")
    for holder, other in ((newest, pyrestic), (pyrestic, newest)):
        process = subprocess.Popen(
            [*holder.command, "-r", str(repository), "key", "passwd", "--new-password-file", str(tmp_path / "pipe")],
            env=holder.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not os.listdir(repository / "locks"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        try:
            assert other.run("snapshots", repository=repository, code=11).code == 11
            assert other.run("list", "locks", repository=repository).text.count("\n") == 1
        finally:
            # Ends the wait with an empty password, which is refused.
            (tmp_path / "pipe").write_text("")
        assert process.wait(60) == 1
        assert os.listdir(repository / "locks") == []
    assert pyrestic.run("list", "keys", repository=repository).text.split() == [key]
