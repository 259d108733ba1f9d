"""What hatchling runs when it builds a package: README.md for a package index, man pages and completion in the wheel.

The wheel's pages come from the program itself, so its requirements are installed where the wheel is built.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

COMPLETIONS = {
    "bash": "share/bash-completion/completions/pyrestic",
    "fish": "share/fish/vendor_completions.d/pyrestic.fish",
    "zsh": "share/zsh/site-functions/_pyrestic",
}
MAN_PAGES = "share/man/man1"


class ReadmeHook(MetadataHookInterface):  # type: ignore[misc] # seen as Any: not in every environment of the tests
    """Gives the package README.md with links that work outside the repository."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the description of the package."""
        version = metadata["version"]
        reference = "main" if "dev" in version else f"v{version}"
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = make_absolute(text, metadata["urls"]["Source"], reference)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def make_absolute(text: str, source: str, reference: str) -> str:
    """Return Markdown whose links and pictures lead to a commit, branch or tag of the repository on GitHub."""
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?://|#)", rf"\1{source}/raw/{reference}/", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?://|#)", rf"\1{source}/blob/{reference}/", text)


class DataHook(BuildHookInterface):  # type: ignore[misc] # seen as Any, as above
    """Adds man pages and completion files to the wheel's data."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the files and name them; an editable installation has none."""
        if version == "editable":
            return
        self.folder = tempfile.TemporaryDirectory()
        made = make_data(Path(self.root), Path(self.folder.name))
        build_data["shared_data"].update({str(path): name for name, path in made.items()})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the files."""
        if version != "editable":
            self.folder.cleanup()


def make_data(root: Path, folder: Path) -> dict[str, Path]:
    """Have the program in `root` write its pages into a folder; return their paths by their names in the data."""
    pages = folder / "man"
    pages.mkdir()
    command = [sys.executable, "-m", "pyrestic", "--quiet", "generate", "--man", str(pages)]
    for shell in COMPLETIONS:
        command += [f"--{shell}-completion", str(folder / shell)]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path})
    found = {name: folder / shell for shell, name in COMPLETIONS.items()}
    return found | {f"{MAN_PAGES}/{page.name}": page for page in sorted(pages.iterdir())}
