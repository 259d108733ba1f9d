"""The real restic for tests: three releases, each with a home of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import usage
from tests.support.engines import keep_all_code

ROOT = Path(__file__).resolve().parent.parent.parent
RELEASES = ("0.14", "0.18", "0.19")
NEWEST = RELEASES[-1]
PASSWORD = "a test password"


@dataclass(frozen=True)
class Result:
    """What a program said."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The JSON objects on standard output, one for each line."""
        return [json.loads(line) for line in self.stdout.splitlines() if line.startswith(b"{")]

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Program:
    """A program with restic's command line, run with a clean environment and folders of its own."""

    command: tuple[str, ...]
    home: Path
    name: str

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of the program: nothing of ours but the path."""
        self.home.mkdir(parents=True, exist_ok=True)
        if self.name == "pyrestic":
            keep_all_code(self.home / "cache" / "pyrestic")
        base = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "TMPDIR": str(self.home),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "RESTIC_PASSWORD": PASSWORD,
            "PYTHONPATH": str(ROOT),
        }
        return base | more

    def run(
        self,
        *arguments: str | bytes | Path,
        repository: Path | None = None,
        code: int | None = 0,
        stdin: bytes | None = None,
        cwd: Path | None = None,
        **environment: str,
    ) -> Result:
        """Run a command; fail unless it ends with `code` (None takes any)."""
        words: list[str | bytes | Path] = [*self.command]
        if repository is not None:
            words += ["--repo", repository]
        done = subprocess.run(
            [*words, *arguments],
            env=self.environment(**environment),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            cwd=cwd or self.home,
            timeout=240,
        )
        usage.note(self.name, arguments, environment, done.returncode)
        result = Result(done.returncode, done.stdout, done.stderr)
        if code is not None and result.code != code:
            shown = (done.stdout[-3000:] + done.stderr[-3000:]).decode("utf-8", "replace")
            pytest.fail(f"{self.name} {arguments!r} ended with {result.code} instead of {code}:\n{shown}")
        return result

    def snapshots(self, repository: Path) -> list[dict[str, Any]]:
        """Return the snapshots of a repository, oldest first."""
        found = self.run("snapshots", "--json", "--no-lock", repository=repository).json
        return sorted(found, key=lambda snapshot: str(snapshot["time"]))


def find_restic(release: str, home: Path) -> Program:
    """Return a release of the real restic; without it the test is skipped, in CI it fails."""
    folder = Path(os.environ.get("PYRESTIC_TEST_TOOLS", ROOT / ".tools"))
    path = folder / f"restic-{release}"
    if not path.exists():
        message = f"restic {release} is not installed: run python3 tools/install_restic.py"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return Program((str(path),), home / f"home-restic-{release}", f"restic {release}")


def find_pyrestic(home: Path) -> Program:
    """Return this checkout's program, as a process of its own."""
    return Program((sys.executable, "-m", "pyrestic"), home / "home-pyrestic", "pyrestic")
