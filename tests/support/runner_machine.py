"""A home with a profile and a repository, and the program that runs it in a process of its own."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program, find_pyrestic

PROFILES = """
version = 1
[profile.home]
repo = "{folder}/repository"
password = {{ file = "{folder}/password" }}
[profile.home.backup]
source = ["{folder}/source"]
priority = "normal"
[profile.home.when]
power = "any"
battery-min = 0
[profile.home.forget]
keep-last = 5
[profile.home.check]
every = "off"
[profile.home.drill]
every = "off"
"""


class RunnerMachine:
    """The machine; calling it runs the program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program: Program = find_pyrestic(folder)
        self.repository = make_quick_repository(folder / "repository")
        self.source = folder / "source"
        self.source.mkdir()
        (self.source / "file").write_text("content")
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o600)
        self.profiles = folder / "config" / "pyrestic" / "profiles.toml"
        self.profiles.parent.mkdir(parents=True)
        self.write(PROFILES)
        self.variables = {
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            # It must have no effect.
            "RESTIC_PASSWORD": "another",
        }
        self.state = folder / "state" / "pyrestic"

    def write(self, text: str) -> None:
        """Replace the file of profiles."""
        self.profiles.write_text(text.format(folder=self.folder))
        self.profiles.chmod(0o600)

    def environment(self) -> dict[str, str]:
        """Return the environment of the program."""
        return self.program.environment(**self.variables)

    def __call__(self, *words: str, code: int | None = 0, **variables: str) -> str:
        """Run a command and return all that it prints."""
        environment: dict[str, Any] = self.variables | variables
        done = self.program.run(*words, code=code, **environment)
        return done.text + done.stderr.decode()

    def record(self, task: str = "backup") -> dict[str, Any]:
        """Return what the state remembers of a task of the profile."""
        document = json.loads((self.state / "runs.json").read_text())
        found: dict[str, Any] = document["profiles"]["home"]["tasks"].get(task, {})
        return found


def find_session(leader: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def kill_session(leader: int) -> None:
    """Kill all processes of a session."""
    for pid in find_session(leader):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
