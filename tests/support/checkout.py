"""A clone of this checkout, for tests that change what is committed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.restic import ROOT


class Checkout:
    """A clone of what is committed."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("git") is None or not (ROOT / ".git").exists():
            pytest.skip("this is no checkout")
        self.folder = folder
        self.changelog = folder / "CHANGELOG.md"
        subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, folder], check=True)

    def set_version(self, version: str) -> None:
        """Change the version, without committing that."""
        module = self.folder / "pyrestic" / "__init__.py"
        line = f'__version__ = "{version}"'
        module.write_text(re.sub(r"^__version__ = .*$", line, module.read_text(), flags=re.MULTILINE))

    def commit(self) -> None:
        """Commit all changes."""
        who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        command = ["git", *who, "commit", "--quiet", "--all", "--message", "Release"]
        subprocess.run(command, cwd=self.folder, check=True)

    def release(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run tools/release.py there."""
        command = [sys.executable, "tools/release.py", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
