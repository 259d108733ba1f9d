"""The form of a restore as a browser without JavaScript has it, and what its switch for rights does."""

import os
import stat
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.cli import PASSWORD, Caller
from tests.support.restic import find_pyrestic
from tests.support.webserver import Answer, WebServer, serving, why_no_server

ROOT = os.geteuid() == 0
HINT = (
    "No devices are created, and files are restored without set-user-ID and set-group-ID bits and without capabilities."
    " Select this if the server runs as root and other users wrote the files."
)


class Form(HTMLParser):
    """The one form with fields of a page: what a browser sends of it, and the boxes that it leaves out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.unticked: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name"), given.get("value") or ""
        if tag != "input" or not name or given.get("type") == "search":
            return
        if given.get("type") in ("checkbox", "radio") and "checked" not in given:
            self.unticked.setdefault(name, value)
        else:
            self.fields[name] = value

    def tick(self, name: str) -> None:
        """Tick a box."""
        self.fields[name] = self.unticked.pop(name)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    """A server of a repository with files that give rights."""
    reason = why_no_server()
    if reason:
        pytest.skip(reason)
    call = Caller(tmp_path)
    call.create()
    folder = tmp_path / "source" / "tools"
    folder.mkdir(parents=True)
    for name, mode in (("suid", 0o4755), ("sgid", 0o2755), ("plain", 0o644)):
        (folder / name).write_text(name)
        (folder / name).chmod(mode)
    if ROOT:
        os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert call("backup", "source").code == 0
    with serving(find_pyrestic(tmp_path), call.repository, RESTIC_PASSWORD=PASSWORD) as running:
        running.enter()
        yield running


def open_form(server: WebServer) -> tuple[str, Answer]:
    """Return the address of the form for the folder, and its page."""
    newest = server.request("/").text.split('href="/files/')[1].split('"')[0].split("/")[0]
    place = f"/restore/{newest}/source/tools"
    return place, server.request(place)


def send(server: WebServer, place: str, fields: dict[str, str]) -> Answer:
    """Send a form as a browser does."""
    headers = {"Origin": server.base, "Content-Type": "application/x-www-form-urlencoded"}
    return server.request(place, "POST", urlencode(fields).encode(), headers)


def wait(server: WebServer, page: str, until: str) -> str:
    """Load the page of a restore again and again, as its own header asks where there is no JavaScript."""
    deadline = time.monotonic() + 60
    while f">{until}<" not in (text := server.request(page).text):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return " ".join(text.split())


@pytest.mark.parametrize("ticked", [False, True])
def test_what_gives_rights_is_left_out_on_request(server: WebServer, tmp_path: Path, ticked: bool) -> None:
    place, page = open_form(server)
    assert HINT in page.text
    form = Form(page.text)
    assert form.unticked.get("no_privileged") == "1"
    form.fields["target"] = str(tmp_path / "target")
    if ticked:
        form.tick("no_privileged")
    answer = send(server, place, form.fields)
    assert answer.status == 303
    job = answer.headers["location"]
    shown = wait(server, job, "ready")
    devices = "1 devices, " if ROOT else ""
    assert f"Privileges: {devices}2 files with set-user-ID or set-group-ID bits. " in shown
    assert ("They are left out: no devices are created" in shown) is ticked
    assert ("All of them are restored." in shown) is not ticked
    assert send(server, f"{job}/start", {}).status == 303
    assert "3 files verified" in wait(server, job, "done")
    restored = tmp_path / "target" / "tools"
    modes = [stat.S_IMODE((restored / name).stat().st_mode) for name in ("suid", "sgid", "plain")]
    assert modes == ([0o755, 0o755, 0o644] if ticked else [0o4755, 0o2755, 0o644])
    assert (restored / "null").exists() == (ROOT and not ticked)


def test_the_box_stays_ticked_when_the_form_comes_back(server: WebServer) -> None:
    place, page = open_form(server)
    form = Form(page.text)
    form.tick("no_privileged")
    answer = send(server, place, {**form.fields, "target": "nowhere"})
    assert answer.status == 400
    again = Form(answer.text)
    assert (again.fields["no_privileged"], "no_privileged" in again.unticked) == ("1", False)
