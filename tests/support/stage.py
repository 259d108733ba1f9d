"""A repository with a past, another one to copy into, and command lines that name what is in them."""

from pathlib import Path

from tests.support.cli import PASSWORD, Caller


class Stage:
    """Both repositories, a folder `source`, and a file with the password; subclasses make the past."""

    def __init__(self, folder: Path, *, version: int = 2) -> None:
        self.folder = folder
        self.call = Caller(folder)
        self.call.create(version=version)
        self.call.create(name="other")
        self.source = folder / "source"
        self.source.mkdir()
        (folder / "password").write_text(PASSWORD)

    def names(self) -> dict[str, str | Path]:
        """Return what stands in braces in a command line."""
        return {"folder": self.folder}

    def arguments(self, line: str) -> list[str]:
        """Return the words of a command line; `copy` goes from the repository into the other one."""
        words = line.format(**self.names()).split()
        if words[0] == "copy":
            words += ["--from-repo", str(self.call.repository), "--from-password-file", str(self.folder / "password")]
            words += ["--repo", str(self.folder / "other")]
        return words
