"""What a part of the benchmark is: something to work on, and steps that both tools do with it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

from pyrestic.backend.local import LocalBackend
from pyrestic.format.keyfile import ScryptParams
from pyrestic.handle import FileType
from pyrestic.repository.keys import add_key
from pyrestic.repository.repository import Repository
from tools.benchmark.measuring import PASSWORD, BenchmarkError, Run, Tool, cache_of, run
from tools.make_history import POLYNOMIAL

CHEAP_KEY = ScryptParams(2, 8, 1)
_CREATED = "2024-01-01T00:00:00Z"
Step = Callable[[Tool], Run]


class Setting(NamedTuple):
    """What all parts share: pyrestic and restic, the share of the full data, what keys cost (None: what is usual)."""

    tools: tuple[Tool, Tool]
    scale: float = 1.0
    key: ScryptParams | None = None


class Part:
    """Something to work on, made below a folder of its own, and `steps`, which are done in their order.

    A step checks its result before it returns what the tool took; those in `same_output` have to print the same.
    """

    name: ClassVar[str]
    same_output: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, setting: Setting, work: Path) -> None:
        self.tools, self.scale, self.key = setting
        self.work = work
        work.mkdir(parents=True)
        self.steps: dict[str, Step] = {}
        self.make()

    def make(self) -> None:
        """Make what the steps work on, and name the steps."""
        raise NotImplementedError

    def measure(self, step: str, *, reverse: bool) -> tuple[Run, Run]:
        """Do a step with both tools, with the real one first if `reverse`; return what pyrestic and restic took."""
        order = self.tools[::-1] if reverse else self.tools
        runs = {tool.name: self.steps[step](tool) for tool in order}
        ours, theirs = (runs[tool.name] for tool in self.tools)
        if step in self.same_output and sorted(ours.output.splitlines()) != sorted(theirs.output.splitlines()):
            raise BenchmarkError(f"{self.name} {step}: the tools did not print the same")
        return ours, theirs

    def amount(self, full: int, least: int = 1) -> int:
        """Return that many things at the scale of this run."""
        return max(least, round(full * self.scale))

    def create(self, repository: Path, key: ScryptParams | None) -> None:
        """Make an empty repository that cuts files as all others here."""
        backend = LocalBackend(str(repository))
        Repository.create(
            backend,
            PASSWORD,
            polynomial=POLYNOMIAL,
            hostname="host",
            username="user",
            created=_CREATED,
            params=key,
        ).close()

    def replace_key(self, repository: Path) -> None:
        """Give a repository that was filled with a cheap key the one to measure with."""
        opened = Repository.open(LocalBackend(str(repository)), PASSWORD)
        add_key(
            opened.backend, opened.key, PASSWORD, hostname="host", username="user", created=_CREATED, params=self.key
        )
        opened.remove(FileType.KEY, opened.key_id)
        opened.close()

    def run(self, tool: Tool, repository: Path, *arguments: str | Path) -> Run:
        """Run a command of the tool on a repository."""
        return run(tool, [str(word) for word in ("-r", repository, *arguments)], self.work)

    def real(self, repository: Path, *arguments: str | Path) -> bytes:
        """Run a command of the real restic and return what it printed."""
        return self.run(self.tools[1], repository, *arguments).output

    def check(self, repository: Path) -> None:
        """Let the real restic check a repository that was just written."""
        self.real(repository, "check", "-q", "--no-cache")

    def forget_cache(self, tool: Tool) -> None:
        """Remove the cache of a tool."""
        shutil.rmtree(cache_of(tool, self.work), ignore_errors=True)


def copy_folder(source: Path, target: Path) -> None:
    """Make `target` a copy of the folder, whatever it was before."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
