"""The recovery sheet has all that is needed, and shows any password as it is."""

import re
import shlex
from html.parser import HTMLParser

import pytest

from pyrestic.cli.recovery_sheet import Sheet

SECRETS = {"RESTIC_PASSWORD": '<b>&"it\'s" $x', "B2_ACCOUNT_KEY": "K0021 f"}
SHEET = Sheet("home", "laptop", "2026-03-01", "b2:bucket:x", SECRETS)


class Reader(HTMLParser):
    """Keeps the texts of an element."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self._tag, self._inside = tag, False
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == self._tag:
            self._inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != self._tag

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def read(tag: str) -> list[str]:
    reader = Reader(tag)
    reader.feed(SHEET.as_page())
    return reader.texts


def exported(lines: list[str]) -> dict[str, str]:
    words = [shlex.split(line) for line in lines if line.strip().startswith("export ")]
    return dict(word[1].split("=", 1) for word in words)


def test_the_commands_of_both_forms_contain_place_password_and_keys() -> None:
    wanted = {"RESTIC_REPOSITORY": "b2:bucket:x", **SECRETS}
    assert exported(SHEET.as_text()) == wanted
    (commands,) = read("pre")
    assert exported(commands.splitlines()) == wanted
    assert "restic restore latest --target /tmp/restored" in commands
    assert dict(zip(read("th"), read("td"), strict=True)) == wanted


def test_the_page_loads_nothing_and_names_machine_and_date() -> None:
    page = SHEET.as_page()
    assert not re.search(r"src=|href=|<script|@import|url\(", page)
    assert read("title") == read("h1") == ["Recovery sheet: profile home of laptop, 2026-03-01"]


@pytest.mark.parametrize("line", ["apt install restic", "pipx install"])
def test_both_programs_can_be_installed(line: str) -> None:
    assert any(line in one for one in SHEET.as_text())
    assert any(line in one for one in read("li"))
