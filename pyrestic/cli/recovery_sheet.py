"""The recovery sheet: all that is needed to restore without this machine, as text and as a page to print."""

import html
import shlex
from collections.abc import Mapping
from typing import NamedTuple

_TITLE = "Recovery sheet"
_WARNING = "Keep this away from the computer: whoever has it can read the backups, and without it nobody can."
_INSTALL = (
    "With restic, which every Linux distribution has: apt install restic (or: dnf install restic)",
    "With pyrestic: pipx install its wheel",
)


class Sheet(NamedTuple):
    """What is printed. `variables` are the password and the keys of the backend, by variable."""

    profile: str
    host: str
    date: str
    repository: str
    variables: Mapping[str, str]

    def as_text(self) -> list[str]:
        """Return the lines."""
        return [
            f"{_TITLE}: {self._subject()}",
            "",
            _WARNING,
            "",
            *(f"{name:<24}{value}" for name, value in self._facts()),
            "",
            "Install one of the two programs:",
            *(f"  {line}" for line in _INSTALL),
            "",
            "Restore all files of the newest snapshot (the same with pyrestic instead of restic):",
            *(f"  {line}" for line in self._commands()),
        ]

    def as_page(self) -> str:
        """Return an HTML page."""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td><code>{html.escape(value)}</code></td></tr>\n"
            for name, value in self._facts()
        )
        installs = "".join(f"<li>{html.escape(line)}</li>\n" for line in _INSTALL)
        commands = html.escape("\n".join(self._commands()))
        title = html.escape(f"{_TITLE}: {self._subject()}")
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 12pt/1.4 serif; max-width: 45em; margin: 2em auto; padding: 0 1em; color: #000; background: #fff; }}
th {{ text-align: left; padding-right: 1em; white-space: nowrap; vertical-align: top; }}
code, pre {{ font: 12pt/1.4 monospace; white-space: pre-wrap; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p><strong>{html.escape(_WARNING)}</strong></p>
<table>
{rows}</table>
<h2>Install one of the two programs</h2>
<ul>
{installs}</ul>
<h2>Restore all files of the newest snapshot</h2>
<p>The same with <code>pyrestic</code> instead of <code>restic</code>.</p>
<pre>{commands}</pre>
</body>
</html>
"""

    def _subject(self) -> str:
        return f"profile {self.profile} of {self.host}, {self.date}"

    def _facts(self) -> list[tuple[str, str]]:
        facts = {"RESTIC_REPOSITORY": self.repository, **self.variables}
        return list(facts.items())

    def _commands(self) -> list[str]:
        return [
            *(f"export {name}={shlex.quote(value)}" for name, value in self._facts()),
            "restic snapshots",
            "restic restore latest --target /tmp/restored",
        ]
