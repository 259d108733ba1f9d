"""One repository and one server for all tests of a module, most of which only look."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.restic import find_pyrestic
from tests.support.webserver import WebServer, serving, why_no_server
from tools.make_home import make_home

HOSTILE = "Hostile"
SCRIPT = b"<script>document.title = 'owned'</script>"


def put_hostile_files(home: Path) -> None:
    """Add a folder of names and contents that would do harm on a page that believes them."""
    folder = os.fsencode(home / HOSTILE)
    os.mkdir(folder)
    for name, content in {
        b"page.html": b"<!doctype html>" + SCRIPT,
        b"drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>",
        b"picture.png": b"<html>" + SCRIPT,
        b"gif and script.gif": b"GIF89a" + SCRIPT,
        b"<img src=x onerror=alert(1)>": b"1",
        b'"quoted"; filename=evil.exe': b"2",
        b"line\r\nset-cookie: a=b": b"3",
        "\u202etxt.exe".encode(): b"4",
        b"not \xff utf-8": b"5",
        b"%2e%2e": b"6",
        b"..\\up": b"7",
        b"50% & more?x=1#y": b"8",
        "übung".encode(): b"9",
    }.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of the made-up home."""
    reason = why_no_server()
    if reason:
        pytest.skip(reason)
    return make_home(tmp_path_factory.mktemp("home"), put_hostile_files)


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server that was entered."""
    program = find_pyrestic(tmp_path_factory.mktemp("program"))
    with serving(program, repository) as running:
        running.enter()
        yield running
