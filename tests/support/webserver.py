"""The pages of `pyrestic serve`, run as a process of its own, and a plain client that believes nothing."""

import contextlib
import http.client
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import usage
from tests.support.restic import Program


@dataclass(frozen=True)
class Answer:
    """What came back; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass
class WebServer:
    """A running server, its link of one use, and what it has printed so far."""

    process: "subprocess.Popen[bytes]"
    link: str
    printed: str
    cookie: str = ""

    @property
    def host(self) -> str:
        """What stands in the Host header."""
        return urlsplit(self.link).netloc

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.host.rpartition(":")[2])

    @property
    def base(self) -> str:
        """The address without a path."""
        return f"http://{self.host}"

    def request(
        self, target: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask for exactly this target; the cookie is sent unless the headers have another or an empty one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            given = {"Host": self.host} | ({"Cookie": self.cookie} if self.cookie else {}) | dict(headers or {})
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            if body is not None:
                given = {"Content-Length": str(len(body))} | given
            for name, value in given.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def enter(self) -> Answer:
        """Use the link up and keep the cookie."""
        parts = urlsplit(self.link)
        answer = self.request(f"{parts.path}?{parts.query}")
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    def interrupt(self) -> int:
        """Send what Ctrl-C sends, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextlib.contextmanager
def serving(program: Program, repository: Path | None, *flags: str, **environment: str) -> Iterator[WebServer]:
    """Serve a repository, None for that of a profile, for the time of a with block."""
    words = ["serve", "--listen", "127.0.0.1:0", *flags]
    usage.note(program.name, words, environment)
    process = subprocess.Popen(
        [*program.command, *(["-r", str(repository)] if repository else []), *words],
        env=program.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        printed = ""
        while "Quit with" not in printed:
            line = process.stdout.readline().decode()
            if not line:
                pytest.fail(f"it did not serve: {printed}")
            printed += line
        link = next(word for word in printed.split() if "/enter?" in word)
        yield WebServer(process, link, printed)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        process.stdout.close()


def why_no_server() -> str:
    """Return why pages cannot be served here, "" if they can."""
    try:
        import jinja2  # noqa: F401 - only whether it is there
        import starlette  # noqa: F401 - only whether it is there
        import uvicorn  # noqa: F401 - only whether it is there
    except ImportError as error:
        return f"the extra web is not installed: {error}" if os.environ.get("CI") != "true" else ""
    return ""
