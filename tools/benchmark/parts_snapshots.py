"""Parts that read, thin out and copy snapshots."""

import hashlib
import json
import shutil

from tools.benchmark.datasets import DATA
from tools.benchmark.measuring import PASSWORD, BenchmarkError, Run, Tool
from tools.benchmark.part import CHEAP_KEY, Part, copy_folder
from tools.make_history import FOLDER, LOCATION, MIB, make_history


class ListingPart(Part):
    """50 snapshots of 5,000 files, some of which changed in between: what is in them, and what differs."""

    name = "listing"
    same_output = frozenset(("snapshots", "ls", "find", "diff"))

    def make(self) -> None:
        """Let the real restic make the snapshots."""
        source, self.repository = self.work / "source", self.work / "repository"
        source.mkdir()
        DATA["small"](source, self.scale / 20)
        folders = sorted(path for path in source.glob("*/*"))
        self.create(self.repository, CHEAP_KEY)
        for number in range(self.amount(50, 3)):
            for folder in folders[number % 7 :: 7]:
                (folder / "file-07.txt").write_text(f"changed by {number}")
                (folder / f"new-{number}.txt").write_text(f"new in {number}")
            when = f"2024-{1 + number // 28:02}-{1 + number % 28:02} 12:00:00"
            self.real(self.repository, "backup", "-q", "--time", when, source)
        self.replace_key(self.repository)
        found = json.loads(self.real(self.repository, "snapshots", "--json"))
        first, last = found[0]["id"], found[-1]["id"]
        self.steps = {
            "snapshots": lambda tool: self.run(tool, self.repository, "snapshots"),
            "ls": lambda tool: self.run(tool, self.repository, "ls", "latest"),
            "find": lambda tool: self.run(tool, self.repository, "find", "file-07.txt"),
            "diff": lambda tool: self.run(tool, self.repository, "diff", first, last),
        }


class HistoryPart(Part):
    """2,000 hourly snapshots of a mail file of 64 MiB: that file as it was half way."""

    name = "history"

    def make(self) -> None:
        """Make the snapshots."""
        self.repository = self.work / "repository"
        length = self.amount(64 * MIB, MIB)
        versions = make_history(
            self.repository, count=self.amount(2000, 4), length=length, password=PASSWORD, params=self.key
        )
        self.version = versions[len(versions) // 2]
        self.steps = {"restore-one": self.restore_one}

    def restore_one(self, tool: Tool) -> Run:
        """Restore the file, and compare its hash."""
        target = self.work / f"target-{tool.name}"
        snapshot = f"{self.version.snapshot}:{FOLDER}"
        name = LOCATION.removeprefix(FOLDER)
        result = self.run(tool, self.repository, "restore", "-q", snapshot, "--include", name, "--target", target)
        with (target / name.lstrip("/")).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.version.sha256:
                raise BenchmarkError(f"{tool.name} restored another file")
        shutil.rmtree(target)
        return result


class PrunePart(Part):
    """500 hourly snapshots, of which 20 are kept."""

    name = "prune"
    _KEPT = 20

    def make(self) -> None:
        """Make the snapshots."""
        self.made = self.work / "made"
        count, length = self.amount(500, self._KEPT + 5), self.amount(64 * MIB, MIB)
        make_history(self.made, count=count, length=length, password=PASSWORD, params=self.key)
        self.steps = {"forget-prune": self.forget}

    def forget(self, tool: Tool) -> Run:
        """Forget and prune in a fresh copy, and let the real restic check what is left."""
        repository = self.work / f"repository-{tool.name}"
        self.forget_cache(tool)
        copy_folder(self.made, repository)
        result = self.run(tool, repository, "forget", "-q", "--keep-last", str(self._KEPT), "--prune")
        self.check(repository)
        left = json.loads(self.real(repository, "snapshots", "--json", "--no-cache"))
        if len(left) != self._KEPT:
            raise BenchmarkError(f"{tool.name} kept {len(left)} snapshots")
        shutil.rmtree(repository)
        return result


class CopyPart(Part):
    """Two snapshots of 200 MB of text and 10,000 small files, copied to an empty repository."""

    name = "copy"

    def make(self) -> None:
        """Let the real restic make the snapshots and the empty repository."""
        source, self.made, self.empty = self.work / "source", self.work / "made", self.work / "empty"
        self.create(self.made, self.key)
        self.create(self.empty, self.key)
        for kind, share in (("text", 2), ("small", 10)):
            (source / kind).mkdir(parents=True)
            DATA[kind](source / kind, self.scale / share)
            self.real(self.made, "backup", "-q", source)
        shutil.rmtree(source)
        self.steps = {"copy": self.copy}

    def copy(self, tool: Tool) -> Run:
        """Copy all, and let the real restic check what came out."""
        repository = self.work / f"repository-{tool.name}"
        self.forget_cache(tool)
        copy_folder(self.empty, repository)
        result = self.run(tool, repository, "copy", "-q", "--from-repo", self.made)
        self.check(repository)
        if len(json.loads(self.real(repository, "snapshots", "--json", "--no-cache"))) != 2:
            raise BenchmarkError(f"{tool.name} did not copy both snapshots")
        shutil.rmtree(repository)
        return result
