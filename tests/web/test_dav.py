"""WebDAV: a real client, and requests that mean harm."""

import base64
import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.web.propfind import MAX_BODY_BYTES, Asked, Resource, http_date, make_answer, parse_propfind
from tests.support.restic import Program
from tests.support.servers import find_tool
from tests.support.webserver import Answer, WebServer
from tests.web.conftest import HOSTILE

DAV = "{DAV:}"
BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE bomb [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<D:propfind xmlns:D="DAV:"><D:prop><D:displayname>&c;</D:displayname></D:prop></D:propfind>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY out SYSTEM "file:///etc/hostname">]>
<D:propfind xmlns:D="DAV:"><D:prop><x>&out;</x></D:prop></D:propfind>"""
SOME = b'<propfind xmlns="DAV:"><prop><getetag/><x xmlns="urn:other&quot;"/></prop></propfind>'


@pytest.fixture(scope="module")
def password(server: WebServer) -> str:
    return server.printed.partition("with this password:")[2].split()[0]


class Client:
    """Asks with the password of WebDAV and no cookie."""

    def __init__(self, server: WebServer, password: str) -> None:
        self._server = server
        self._secret = base64.b64encode(f"anybody:{password}".encode()).decode()

    def ask(
        self, target: str, method: str = "PROPFIND", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        given = {"Cookie": "", "Authorization": f"Basic {self._secret}", "Depth": "1"}
        return self._server.request(target, method, body, given | dict(headers or {}))

    def names(self, target: str) -> list[bytes]:
        """Return the paths that the answer names, the folder itself first."""
        root = ET.fromstring(self.ask(target).body)
        return [unquote_to_bytes(href.text or "") for href in root.iter(f"{DAV}href")]


@pytest.fixture(scope="module")
def client(server: WebServer, password: str) -> Client:
    return Client(server, password)


@pytest.fixture
def rclone(server: WebServer, password: str, tmp_path: Path) -> "Rclone":
    return Rclone(server.base, password, tmp_path)


class Rclone:
    """The real rclone, told of the server by variables."""

    def __init__(self, base: str, password: str, folder: Path) -> None:
        self._program = str(find_tool("rclone"))
        obscured = subprocess.run([self._program, "obscure", "-"], input=password, capture_output=True, text=True)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RCLONE_CONFIG": str(folder / "none"),
            "RCLONE_WEBDAV_URL": f"{base}/dav/",
            "RCLONE_WEBDAV_USER": "anybody",
            "RCLONE_WEBDAV_PASS": obscured.stdout.strip(),
            "RCLONE_RETRIES": "1",
        }

    def __call__(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self._program, *map(str, words)], env=self._environment, capture_output=True, text=True, timeout=120
        )


def test_rclone_lists_and_copies_what_restic_restores(
    rclone: Rclone, repository: Path, newest: Program, tmp_path: Path
) -> None:
    assert rclone("lsf", ":webdav:").stdout.split() == ["hosts/", "ids/", "snapshots/", "tags/"]
    snapshots = newest.snapshots(repository)
    assert rclone("lsf", ":webdav:ids").stdout.split() == sorted(f"{each['short_id']}/" for each in snapshots)
    newest.run("restore", snapshots[-1]["id"], "--target", tmp_path / "theirs", repository=repository)
    done = rclone("copy", f":webdav:ids/{snapshots[-1]['short_id']}", tmp_path / "ours")
    assert done.returncode == 0, done.stderr
    ours, theirs = contents(tmp_path / "ours"), contents(tmp_path / "theirs")
    # Rclone has its own way of writing names that are not UTF-8 or that some systems do not bear.
    assert sorted(ours.values()) == sorted(theirs.values())
    assert {path for path in ours if HOSTILE.encode() not in path} == {
        path for path in theirs if HOSTILE.encode() not in path
    }
    done = rclone("copy", tmp_path / "ours", ":webdav:snapshots/latest")
    assert done.returncode != 0


def contents(folder: Path) -> dict[bytes, str]:
    found = {}
    for path, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            full = os.path.join(path, name)
            if os.path.isfile(full) and not os.path.islink(full):
                with open(full, "rb") as file:
                    found[os.path.relpath(full, os.fsencode(folder))] = hashlib.sha256(file.read()).hexdigest()
    return found


def test_latest_is_a_folder_and_every_name_leads_to_its_content(client: Client) -> None:
    assert b"/dav/snapshots/latest/" in client.names("/dav/snapshots")
    base = f"/dav/snapshots/latest/home/ann/{HOSTILE}"
    names = client.names(base)
    assert names[0] == f"{base}/".encode()
    assert len(names) > 10
    assert any(b"\xff" in name for name in names)
    assert any(b"\r\n" in name for name in names)
    for name in names[1:]:
        answer = client.ask(quote(name), "GET")
        assert answer.status == 200
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-security-policy"].startswith("sandbox")
        head = client.ask(quote(name), "HEAD")
        assert head.headers["content-length"] == str(len(answer.body))
        about = ET.fromstring(client.ask(quote(name), headers={"Depth": "0"}).body)
        assert about.findtext(f".//{DAV}getcontentlength") == str(len(answer.body))
        assert about.findtext(f".//{DAV}getetag") == answer.headers["etag"]
        assert len(answer.body) < 2 or client.ask(quote(name), "GET", headers={"Range": "bytes=1-"}).status == 206


def test_links_are_not_shown_and_nothing_leads_out_of_a_snapshot(client: Client) -> None:
    for target in ("/dav/..", "/dav/ids/../../etc/passwd", "/dav/%2e%2e/%2e%2e/etc", "/dav/nowhere", "/dav/ids/0/x"):
        assert client.ask(target).status == 404, target
        assert client.ask(target, "GET").status == 404, target


def test_only_asked_properties_are_told_and_others_are_named_as_missing(client: Client) -> None:
    target = f"/dav/snapshots/latest/home/ann/{HOSTILE}/page.html"
    answer = ET.fromstring(client.ask(target, body=SOME).body)
    found, missing = answer.findall(f".//{DAV}propstat")
    assert [one.tag for one in found.iterfind(f"{DAV}prop/*")] == [f"{DAV}getetag"]
    assert [one.tag for one in missing.iterfind(f"{DAV}prop/*")] == ['{urn:other"}x']
    assert "404" in (missing.findtext(f"{DAV}status") or "")
    names = client.ask(target, body=b'<propfind xmlns="DAV:"><propname/></propfind>')
    assert "<D:getetag/>" in names.text
    every = client.ask(target, body=b'<propfind xmlns="DAV:"><allprop/></propfind>')
    assert "<D:getcontentlength>" in every.text
    assert (every.status, every.headers["content-type"]) == (207, "application/xml; charset=utf-8")


def test_strangers_other_names_and_other_sites_are_refused(client: Client, server: WebServer) -> None:
    assert client.ask("/dav/").status == 207
    asked = client.ask("/dav/", headers={"Authorization": ""})
    assert (asked.status, asked.headers["www-authenticate"][:5]) == (401, "Basic")
    for wrong in ("Basic bm9ib2R5Ong=", "Bearer x", "Basic \xff", "Basic " + "A" * 4000):
        assert client.ask("/dav/", headers={"Authorization": wrong}).status == 401
    assert client.ask("/dav/", headers={"Host": f"evil.example:{server.port}"}).status == 421
    assert client.ask("/dav/", headers={"Origin": "http://evil.example"}).status == 403
    # The password opens WebDAV and nothing else.
    assert client.ask("/", "GET").status == 403
    assert client.ask("/davx", "GET").status == 403


@pytest.mark.parametrize(
    "method", ["PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK", "POST", "PATCH", "TRACE"]
)
def test_nothing_can_be_written(client: Client, method: str) -> None:
    answer = client.ask("/dav/snapshots/latest/new", method, b"x", {"Destination": "/dav/snapshots/other"})
    assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, GET, HEAD, PROPFIND")


def test_requests_that_mean_harm_are_refused(client: Client) -> None:
    assert client.ask("/dav/", "OPTIONS").headers["dav"] == "1"
    for depth in ("infinity", "", "2", "1,noroot", "\xff"):
        answer = client.ask("/dav/", headers={"Depth": depth})
        assert answer.status == 403
        assert "propfind-finite-depth" in answer.text
    for body in (
        BOMB,
        OUTSIDE,
        b"<",
        b"<propfind/>",
        b'<propfind xmlns="DAV:"/>',
        b"\xff\xfe<",
        b"x" * MAX_BODY_BYTES * 2,
    ):
        answer = client.ask("/dav/", body=body)
        assert answer.status == 400, body[:80]
        assert "Traceback" not in answer.text
    chunked = b"%x\r\n%s\r\n" % (MAX_BODY_BYTES, b" " * MAX_BODY_BYTES) * 4 + b"0\r\n\r\n"
    assert (
        client.ask("/dav/", body=chunked, headers={"Transfer-Encoding": "chunked", "Content-Length": ""}).status == 400
    )
    assert client.ask("/dav/").status == 207


def test_what_asks_for_too_much_is_refused() -> None:
    many = b"".join(b"<p%d/>" % number for number in range(300))
    for inside in (many, b"<" + b"x" * 300 + b"/>"):
        with pytest.raises(UsageError, match="too many"):
            parse_propfind(b'<propfind xmlns="DAV:"><prop>' + inside + b"</prop></propfind>")


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: f"<?xml version='1.0'?>{text}".encode()))
)
def test_any_bytes_ask_for_something_or_are_refused(body: bytes) -> None:
    try:
        asked = parse_propfind(body)
    except UsageError:
        return
    assert asked == Asked()


TEXT = st.text(max_size=30)


@given(
    names=st.lists(st.binary(max_size=20).map(lambda name: name.decode("utf-8", "surrogateescape")), max_size=450),
    namespace=TEXT,
    plain=st.one_of(TEXT, st.just("plain")),
    moment=st.integers(-(1 << 64), 1 << 64),
)
@example(names=["a"], namespace="", plain="x", moment=0)
@example(names=["a"], namespace="\0", plain="x", moment=0)
@example(names=["a"], namespace="http://www.w3.org/XML/1998/namespace", plain="x", moment=0)
@example(names=["a"], namespace="http://www.w3.org/2000/xmlns/", plain="x", moment=0)
@example(names=["a"], namespace="\"' <>&{}\n", plain="x", moment=0)
def test_any_answer_is_xml_that_says_what_was_meant(names: list[str], namespace: str, plain: str, moment: int) -> None:
    asked = Asked((f"{DAV}displayname", f"{DAV}getlastmodified", f"{{{namespace}}}{plain}"))
    resources = [Resource("/dav/" + quote(os.fsencode(name)), name, moment, is_folder=True) for name in names]
    root = ET.fromstring(b"".join(make_answer(resources, asked)))
    hrefs = [href.text for href in root.iter(f"{DAV}href")]
    assert hrefs == [resource.href for resource in resources]
    shown = [each.text or "" for each in root.iter(f"{DAV}displayname")]
    assert [text for text, name in zip(shown, names, strict=True) if name.isprintable()] == [
        name for name in names if name.isprintable()
    ]
    dated = [each.text for each in root.iter(f"{DAV}getlastmodified")]
    assert dated == ([http_date(moment)] * len(names) if http_date(moment) else [])


def test_dates_are_as_http_writes_them() -> None:
    assert http_date(784_111_777 * 1_000_000_000 + 5) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} 1969 [\d:]{8} GMT", http_date(-1))
    assert http_date(1 << 70) == ""
