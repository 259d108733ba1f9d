"""Parts that back up a set of files, restore and check it; and rescans beside short and long histories."""

import shutil
from collections import Counter
from pathlib import Path

from tools.benchmark.datasets import DATA, compare, length_of
from tools.benchmark.measuring import PASSWORD, Run, Tool, run, wait_for_others, warm_memory
from tools.benchmark.part import Part, Step, copy_folder
from tools.make_history import MIB, make_history


class FilesPart(Part):
    """A set of files: backup, the same again, with one file changed, restore, check."""

    def make(self) -> None:
        """Make the files and an empty repository."""
        self.source = self.work / "source"
        self.source.mkdir()
        DATA[self.name](self.source, self.scale)
        self.empty = self.work / "empty"
        self.create(self.empty, self.key)
        self._changes: Counter[str] = Counter()
        # Both repositories and what is restored from one, with some room.
        warm_memory(self.work, 7 * length_of(self.source) // 2)
        self.steps = {
            "backup": self.backup,
            "rescan": self.rescan,
            "one-changed": self.one_changed,
            "restore": self.restore,
            "check": self.check_data,
        }

    def repository(self, tool: Tool) -> Path:
        """Return the tool's own repository; it is filled if no step has done that."""
        folder = self.work / f"repository-{tool.name}"
        if not folder.exists():
            self.backup(tool)
        return folder

    def backup(self, tool: Tool) -> Run:
        """First backup into an empty repository."""
        self.forget_cache(tool)
        repository = self.work / f"repository-{tool.name}"
        copy_folder(self.empty, repository)
        result = self.rescan(tool)
        self.check(repository)
        return result

    def rescan(self, tool: Tool) -> Run:
        """The same again, nothing changed."""
        return self.run(tool, self.repository(tool), "backup", "-q", self.source)

    def one_changed(self, tool: Tool) -> Run:
        """The same again, one small file changed, by the same bytes for both tools."""
        self._changes[tool.name] += 1
        (self.source / "changed.txt").write_text(f"changed {self._changes[tool.name]} times")
        return self.rescan(tool)

    def restore(self, tool: Tool) -> Run:
        """Restore everything to an empty folder, and compare it."""
        target = self.work / f"target-{tool.name}"
        result = self.run(tool, self.repository(tool), "restore", "-q", f"latest:{self.source}", "--target", target)
        compare(self.source, target)
        shutil.rmtree(target)
        return result

    def check_data(self, tool: Tool) -> Run:
        """Read and verify all data."""
        return self.run(tool, self.repository(tool), "check", "-q", "--read-data")


class RandomPart(FilesPart):
    """1 GiB in one file that does not compress."""

    name = "random"


class TextPart(FilesPart):
    """400 MB of words."""

    name = "text"


class SmallPart(FilesPart):
    """100,000 small files."""

    name = "small"


class FirstPart(Part):
    """5,001 small files, backed up by who was never run before: there is neither a cache nor compiled code."""

    name = "first"

    def make(self) -> None:
        """Make the files and an empty repository."""
        self.source = self.work / "source"
        self.source.mkdir()
        DATA["small"](self.source, self.scale / 20)
        (self.source / "one more").write_bytes(b"content")
        self.empty = self.work / "empty"
        self.create(self.empty, self.key)
        warm_memory(self.work, 3 * length_of(self.source))
        self.steps = {"backup": self.backup}

    def backup(self, tool: Tool) -> Run:
        """First backup of a new home."""
        home, repository = self.work / f"home-{tool.name}", self.work / f"repository-{tool.name}"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        copy_folder(self.empty, repository)
        result = run(tool, ["-r", str(repository), "backup", "-q", str(self.source)], self.work, home)
        # What compiles beside the run goes on after it, and must not slow what is measured next.
        wait_for_others(str(home))
        self.check(repository)
        return result


class HistoriesPart(Part):
    """10,000 unchanged files beside 10 and beside 2,000 snapshots, each of which left packs and an index file."""

    name = "histories"
    _COUNTS = (10, 2000)

    def make(self) -> None:
        """Make the files and a repository for each tool and each number of snapshots."""
        self.source = self.work / "source"
        self.source.mkdir()
        DATA["small"](self.source, self.scale / 10)
        for count in self._COUNTS:
            made = self.work / f"history-{count}"
            make_history(made, count=self.amount(count, 2), length=4 * MIB, password=PASSWORD, params=self.key)
            for tool in self.tools:
                shutil.copytree(made, self.repository(tool, count))
                self._rescan(tool, count)
            shutil.rmtree(made)
        self.steps = {f"rescan-{count}": self._step(count) for count in self._COUNTS}

    def repository(self, tool: Tool, count: int) -> Path:
        """Return the tool's own repository with that many snapshots."""
        return self.work / f"repository-{count}-{tool.name}"

    def _step(self, count: int) -> Step:
        return lambda tool: self._rescan(tool, count)

    def _rescan(self, tool: Tool, count: int) -> Run:
        return self.run(tool, self.repository(tool, count), "backup", "-q", self.source)
