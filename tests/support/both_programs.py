"""Both programs on one repository: the real restic as a process, ours within the test's own."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from pyrestic.backend.local import LocalBackend
from pyrestic.handle import FileType
from pyrestic.repository.repository import Repository
from tests.support.cli import Caller
from tests.support.incomplete import as_restic
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import NEWEST, PASSWORD, Program, find_restic

ZONE = "Europe/Berlin"
CLOCK = re.compile(r"\[\d+:\d\d\]")


class Beside:
    """Runs command lines with both programs; `names` stand for IDs and paths in them."""

    def __init__(self, folder: Path, repository: Path, *, password: str = PASSWORD) -> None:
        self.folder = folder
        self.repository = repository
        self.names: dict[str, str] = {}
        self.theirs: Program = find_restic(NEWEST, folder)
        self.ours = Caller(folder)
        self._password = password

    def restic(self, *words: str | Path, code: int | None = 0, **environment: str) -> Any:
        """Run the real restic."""
        settings: dict[str, Any] = {"RESTIC_PASSWORD": self._password, "TZ": ZONE, **environment}
        return self.theirs.run(*words, repository=self.repository, code=code, **settings)

    def pyrestic(self, *words: str | Path, **environment: str | None) -> Any:
        """Run ours."""
        places = {"RESTIC_REPOSITORY": str(self.repository), "RESTIC_PASSWORD": self._password, "TZ": ZONE}
        settings: dict[str, Any] = {**places, **environment}
        return self.ours(*words, **settings)

    def both(self, line: str, **environment: str) -> tuple[tuple[int, str], tuple[int, str]]:
        """Return exit code and output of both; words that stand for names are replaced, `''` is an empty word.

        Both do without a lock, which takes a while, unless the line says something of locks itself.
        """
        words = ["" if word == "''" else word.format(**self.names).replace("\t", " ") for word in line.split(" ")]
        words = [word for word in words if word != "LOCKED"] if "LOCKED" in words else ["--no-lock", *words]
        theirs = self.restic(*words, code=None, **environment)
        ours = self.pyrestic(*words, **environment)
        out = theirs.stdout.decode("utf-8", "surrogateescape")
        code, _ = as_restic(theirs.code, ours.code, ours.err)
        return (theirs.code, CLOCK.sub("[time]", out)), (code, CLOCK.sub("[time]", ours.out))

    def differences(
        self, lines: list[str], *, unordered: tuple[str, ...] = (), without: str = "", **environment: str
    ) -> list[str]:
        """Return what differs.

        The order of lines does not matter for commands with one of the words `unordered`, and what the expression
        `without` matches does not count.
        """
        found = []
        for line in lines:
            theirs, ours = self.both(line, **environment)
            if without:
                theirs, ours = ((code, re.sub(without, "", out)) for code, out in (theirs, ours))
            if any(word in line.split(" ") for word in unordered):
                theirs, ours = (theirs[0], _sorted(theirs[1])), (ours[0], _sorted(ours[1]))
            if theirs != ours:
                found.append(f"{line}\nrestic:   {theirs}\npyrestic: {ours}")
            elif "--json" in line.split(" ") and ours[0] == 0 and not unordered:
                parse_json(ours[1])
        return found

    def copy(self, name: str) -> "Beside":
        """Return the same for a copy of the repository."""
        other = Beside(self.folder, self.folder / name, password=self._password)
        shutil.copytree(self.repository, other.repository)
        other.names = dict(self.names)
        return other


def _sorted(text: str) -> str:
    return "\n".join(sorted(text.split("\n")))


def parse_json(text: str) -> list[Any]:
    """Return the values on the lines of an output; fail if one is not JSON."""
    return [json.loads(line) for line in text.splitlines()]


def write_tree(folder: Path) -> None:
    """Make files of all kinds, with names and times that are hard to handle."""
    (folder / "dir" / "sub" / "deep").mkdir(parents=True)
    (folder / "Empty").mkdir()
    (folder / "a.txt").write_bytes(b"hello\n")
    (folder / "copy of a.txt").write_bytes(b"hello\n")
    os.link(folder / "a.txt", folder / "dir" / "hard link")
    (folder / "dir" / "big.bin").write_bytes(bytes(range(256)) * 12_000)
    (folder / "dir" / 'we<i>&rd "na\\me".MD').write_bytes(b"weird")
    (folder / "dir" / "Äöü €.tar.gz").write_bytes(b"\0" * 70_000)
    (folder / "dir" / "empty").touch()
    (folder / "dir" / "sub" / "deep" / "a.txt").write_bytes(b"deeper\n")
    (folder / "dir" / "sub" / "[b]").write_bytes(b"brackets")
    os.symlink("../a.txt", folder / "dir" / "link")
    os.symlink(b"bad\xfftarget", folder / "dir" / "bad link")
    os.mkfifo(folder / "dir" / "pipe")
    with open(os.fsencode(folder) + b"/dir/bad\xffname", "wb") as file:
        file.write(b"x")
    (folder / "dir" / "sub").chmod(0o1777)
    os.utime(folder / "a.txt", (1_000_000_000, 1_000_000_000))
    os.utime(folder / "copy of a.txt", (-315_000_000, -315_000_000.25))
    os.utime(folder / "dir" / "big.bin", (1_585_443_600, 1_585_443_600))


def make_beside(folder: Path) -> Beside:
    """Make a repository with snapshots of a folder that changes, named one to five and of several hosts."""
    repository = make_quick_repository(folder / "repository")
    beside = Beside(folder, repository)
    source = folder / "source"
    write_tree(source)

    def backup(number: int, *words: str | Path) -> None:
        beside.restic("backup", "-q", "--time", f"2024-0{number}-01 12:00:00", *words)

    backup(1, "--host=one", source)
    (source / "new").write_bytes(b"new\n")
    (source / "dir" / "sub" / "deep" / "a.txt").write_bytes(b"deeper and changed\n")
    backup(2, "--host=one", "--tag=a,b", source)
    (source / "dir" / "link").unlink()
    (source / "dir" / "link").write_bytes(b"no link any more")
    (source / "dir" / "empty").chmod(0o600)
    backup(3, "--host=two", "--tag=c", source)
    shutil.rmtree(source / "dir" / "sub")
    (source / "dir" / "more" / "below").mkdir(parents=True)
    (source / "dir" / "more" / "below" / "file").write_bytes(b"more")
    (source / "a.txt").unlink()
    backup(4, "--host=two", "--tag=<&>", source)
    backup(5, "--host=two", source / "dir", source)
    for number, snapshot in enumerate(beside.restic("snapshots", "--json").json, 1):
        beside.names |= {f"s{number}": snapshot["id"], f"short{number}": snapshot["short_id"]}
        beside.names[f"t{number}"] = snapshot["tree"]
    beside.names["source"] = str(source)
    return beside


def remove_pack_of(beside: Beside, kind: str, blob: str) -> str:
    """Remove the pack of a "blob" or "tree" and return its ID."""
    shown = beside.restic("find", "--show-pack-id", f"--{kind}", blob).text
    pack: str = next(line for line in shown.splitlines() if "belongs to pack" in line).split()[-1]
    (beside.repository / "data" / pack[:2] / pack).unlink()
    return pack


def add_until_ambiguous(beside: Beside) -> None:
    """Store the first snapshot again and again; the name `digit` stands for the beginning of several IDs then."""
    repository = Repository.open(LocalBackend(str(beside.repository)), PASSWORD)
    document = json.loads(repository.load_unpacked(FileType.SNAPSHOT, bytes.fromhex(beside.names["s1"])))
    for number in range(17):
        changed = {**document, "time": f"2023-01-01T00:00:{number:02}Z", "tags": [f"again{number}"]}
        repository.save_unpacked(FileType.SNAPSHOT, json.dumps(changed).encode())
    digits = [identifier.hex()[0] for identifier in repository.list_ids(FileType.SNAPSHOT)]
    beside.names["digit"] = max(digits, key=digits.count)
