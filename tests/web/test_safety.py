"""What a stranger, another site or a hostile file can do to the pages: nothing. Asked by a plain client."""

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlencode

import pytest

from tests.support.restic import ROOT, Program
from tests.support.webserver import Answer, WebServer, serving
from tests.web.conftest import HOSTILE, SCRIPT

UNREADABLE = quote(b"not \xff utf-8")
HOST = ("--allow-host", "backup.example")


def newest(server: WebServer) -> str:
    """Return the digits of the newest snapshot as they stand in addresses."""
    found = re.search(r'href="/files/([0-9a-f]+)', server.request("/").text)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def hostile(server: WebServer) -> str:
    """The address of the folder of hostile files, without the verb."""
    return f"{newest(server)}/home/ann/{HOSTILE}"


def test_the_link_works_once_and_gives_a_cookie_that_scripts_and_other_sites_never_get(
    pyrestic: Program, repository: Path
) -> None:
    with serving(pyrestic, repository) as server:
        assert server.request("/").status == 403
        answer = server.enter()
        assert (answer.status, answer.headers["location"]) == (303, "/")
        attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= attributes
        assert server.request("/").status == 200
        token = server.link.partition("?")[2]
        again = server.request(f"/enter?{token}", headers={"Cookie": ""})
        assert again.status == 403
        assert "already been used" in again.text
        assert "set-cookie" not in again.headers
        # Who has the cookie is only led on.
        assert server.request(f"/enter?{token}").status == 303


def test_an_interrupt_ends_it_with_130_and_leaves_no_lock(pyrestic: Program, repository: Path) -> None:
    with serving(pyrestic, repository) as server:
        assert len(list((repository / "locks").iterdir())) >= 1
        server.enter()
        before = set((repository / "locks").iterdir())
        assert server.interrupt() == 130
        rest = server.process.stdout.read().decode() if server.process.stdout else ""
        assert "Traceback" not in rest
        assert server.link.partition("token=")[2] not in rest
    assert len(set((repository / "locks").iterdir())) == len(before) - 1


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/", {"Cookie": ""}, 403),
        ("/", {"Cookie": "pyrestic=1; other=2"}, 403),
        ("/", {"Cookie": "pyrestic-{port}=wrong"}, 403),
        ("/", {"Cookie": 'x"; broken \x7f'}, 403),
        ("/enter", {"Cookie": ""}, 403),
        ("/enter?token=wrong", {"Cookie": ""}, 403),
        ("/static/style.css", {"Cookie": ""}, 200),
        ("/static/../app.py", {}, 404),
        ("/static/%2e%2e/app.py", {}, 404),
        ("/static//etc/passwd", {}, 404),
        ("/dav/", {"Cookie": ""}, 401),
        ("/", {"Host": "evil.example"}, 421),
        ("/", {"Host": "evil.example:{port}"}, 421),
        ("/", {"Host": "127.0.0.1:1"}, 421),
        ("/", {"Host": ""}, 400),
        ("/", {"Host": "localhost:{port}"}, 200),
        ("/", {"Host": "LOCALHOST.:{port}"}, 200),
        ("/", {"Host": "[::1]:{port}"}, 200),
        ("/", {"Origin": "http://evil.example"}, 403),
        ("/", {"Origin": "null"}, 403),
        ("/", {"Origin": "http://127.0.0.1:1"}, 403),
        ("/", {"Origin": "http://127.0.0.1:{port}"}, 200),
        ("/", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/", {"Sec-Fetch-Site": "same-site"}, 403),
        ("/", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("/nothing", {}, 404),
        ("/files/", {}, 404),
        ("/files/zz", {}, 404),
        ("/files/0", {}, 404),
        ("/files/{id}/../../etc/passwd", {}, 404),
        ("/files/{id}/%2e%2e/%2e%2e/etc/passwd", {}, 404),
        ("/files/{id}/home%00", {}, 404),
        ("/files/{id}/%ff", {}, 404),
        ("/download/{id}/home/ann", {}, 404),
        ("/archive/{id}/home/ann/notes.txt", {}, 404),
        ("/image/{id}/home/ann/notes.txt", {}, 404),
        ("/?page=99999999999999999999&month=%00", {}, 200),
    ],
)
def test_each_request_gets_what_it_may(server: WebServer, target: str, headers: dict[str, str], status: int) -> None:
    values = {"port": str(server.port), "id": newest(server)}
    for name, value in values.items():
        target = target.replace("{" + name + "}", value)
        headers = {key: each.replace("{" + name + "}", value) for key, each in headers.items()}
    answer = server.request(target, headers=headers)
    assert answer.status == status, answer.text
    assert "Traceback" not in answer.text
    assert "cookie" not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 403),
        ("POST", {"Origin": "http://evil.example"}, 403),
        ("POST", {"Origin": "http://{host}"}, 405),
        ("POST", {"Origin": "http://{host}", "Content-Length": "100000000"}, 413),
        ("POST", {"Origin": "http://{host}", "Transfer-Encoding": "chunked", "Content-Length": ""}, 413),
        ("DELETE", {"Origin": "http://{host}"}, 405),
        ("HEAD", {}, 200),
    ],
)
def test_what_changes_something_has_to_come_from_our_own_pages(
    server: WebServer, method: str, headers: dict[str, str], status: int
) -> None:
    given = {name: value.replace("{host}", server.host) for name, value in headers.items()}
    answer = server.request("/", method, b"", given)
    assert answer.status == status


def test_the_password_is_for_dav_alone(server: WebServer) -> None:
    wrong = "Basic " + base64.b64encode(b"ann:wrong").decode()
    for header in (wrong, "Basic ???", "Bearer x", "Basic"):
        assert server.request("/dav/", headers={"Cookie": "", "Authorization": header}).status == 401
        assert server.request("/", headers={"Cookie": "", "Authorization": header}).status == 403


def test_every_answer_says_that_nothing_foreign_may_be_loaded_or_run(server: WebServer) -> None:
    for target in ("/", "/nothing", "/static/page.js", f"/files/{newest(server)}/home/ann/Documents"):
        headers = server.request(target).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    page = server.request("/").text
    assert not re.search(r"<script(?! src=)|\son\w+=|style=|javascript:", page)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def names_in(server: WebServer, hostile: str) -> Iterator[bytes]:
    """Iterate the names that a page of the folder links to."""
    prefix = f"/files/{hostile}/"
    for target in re.findall(r'href="([^"]+)"', server.request(f"/files/{hostile}").text):
        if target.startswith(prefix):
            yield unquote_to_bytes(target.removeprefix(prefix))


def test_every_name_is_shown_as_text_and_leads_to_its_file(server: WebServer, hostile: str) -> None:
    names = list(names_in(server, hostile))
    assert len(names) == 13
    for name in names:
        target = quote(name, safe="")
        page = server.request(f"/files/{hostile}/{target}")
        assert page.status == 200, name
        assert "<img src=x" not in page.text
        assert "\u202e" not in page.text
        answer = server.request(f"/download/{hostile}/{target}")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/octet-stream"
        kept = answer.headers["content-disposition"]
        assert kept.startswith('attachment; filename="')
        assert re.fullmatch(
            r"attachment; filename=\"[A-Za-z0-9 ._()+=@-]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", kept
        )
        assert "%2F" not in kept
        assert "%5C" not in kept
        assert "set-cookie" not in answer.headers


def test_a_file_is_what_its_content_says_and_no_content_may_run(server: WebServer, hostile: str) -> None:
    for name in ("page.html", "drawing.svg", "picture.png"):
        page = server.request(f"/files/{hostile}/{name}")
        assert SCRIPT.decode() not in page.text
        assert "&lt;script&gt;" in page.text
        assert server.request(f"/image/{hostile}/{name}").status == 404
        kept = server.request(f"/download/{hostile}/{name}").headers
        assert kept["content-security-policy"].startswith("sandbox;")
        assert kept["content-disposition"].startswith("attachment")
    shown = server.request(f"/image/{hostile}/{quote('gif and script.gif')}")
    assert shown.headers["content-type"] == "image/gif"
    assert shown.headers["content-security-policy"].startswith("sandbox;")
    assert shown.headers["x-content-type-options"] == "nosniff"


def test_parts_of_a_file_can_be_asked_for(server: WebServer) -> None:
    target = f"/download/{newest(server)}/home/ann/Documents/recipes.md"
    whole = server.request(target)
    assert whole.headers["content-length"] == str(len(whole.body))
    length = len(whole.body)
    tag = whole.headers["etag"]
    for asked, more, status, body in (
        ("bytes=2-5", {}, 206, whole.body[2:6]),
        ("bytes=5-", {}, 206, whole.body[5:]),
        ("bytes=-4", {}, 206, whole.body[-4:]),
        (f"bytes={length}-", {}, 416, b""),
        ("bytes=9-2", {}, 416, b""),
        ("bytes=0-0,2-3", {}, 200, whole.body),
        ("lines=1-2", {}, 200, whole.body),
        ("bytes=2-5", {"If-Range": tag}, 206, whole.body[2:6]),
        ("bytes=2-5", {"If-Range": '"other"'}, 200, whole.body),
    ):
        answer = server.request(target, headers={"Range": asked} | more)
        assert (answer.status, answer.body) == (status, body), asked
    head = server.request(target, "HEAD")
    assert (head.headers["content-length"], head.body) == (str(length), b"")


def test_it_serves_nothing_where_it_may_not_listen(pyrestic: Program, repository: Path, server: WebServer) -> None:
    for listen, said in (
        (f"127.0.0.1:{server.port}", "is not possible"),
        ("nonsense", "not an address and a port"),
        ("127.0.0.1:99999", "not an address and a port"),
        ("no.such.host.invalid:1", "is not an address to listen on"),
    ):
        result = pyrestic.run("serve", "--listen", listen, repository=repository, code=1)
        assert said in result.stderr.decode()
        assert "Traceback" not in result.stderr.decode()


def test_without_the_extra_it_says_what_to_install(pyrestic: Program, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ImportError('there is none', name='starlette')")
    result = pyrestic.run("serve", repository=repository, code=1, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert "serve needs starlette" in result.stderr.decode()
    assert "pip install 'pyrestic[web]'" in result.stderr.decode()


def test_an_allowed_name_is_answered_to_and_only_chosen_snapshots_are_shown(
    pyrestic: Program, repository: Path
) -> None:
    with serving(pyrestic, repository, *HOST, "--host", "laptop", "--tag", "monthly", "--path", "/home/ann") as server:
        server.enter()
        assert '<p class="quiet">7 snapshots' in server.request("/").text
        assert server.request("/", headers={"Host": "backup.example"}).status == 200
        assert server.request("/", headers={"Host": "other.example"}).status == 421


def test_before_and_after_choose_the_snapshots_that_are_shown(pyrestic: Program, repository: Path) -> None:
    for flag, shown in (("--after", True), ("--before", False)):
        with serving(pyrestic, repository, flag, "2001-01-01") as server:
            server.enter()
            assert ('href="/files/' in server.request("/").text) is shown


def restore(server: WebServer, place: str, **fields: str) -> Answer:
    """Ask for a restore as the form does, start it, and return the last answer."""
    headers = {"Origin": server.base, "Content-Type": "application/x-www-form-urlencoded"}
    answer = server.request(f"/restore/{place}", "POST", urlencode(fields).encode(), headers)
    if answer.status != 303:
        return answer
    page = answer.headers["location"]
    for begin, until in ((None, ">ready<"), ("/start", ">done<")):
        if begin:
            assert server.request(page + begin, "POST", b"", headers).status == 303
        deadline = time.monotonic() + 30
        while until not in (answer := server.request(page)).text:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.02)
    return answer


def test_a_restore_writes_below_its_target_alone(server: WebServer, hostile: str, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    target.mkdir()
    elsewhere.mkdir()
    (target / HOSTILE).symlink_to(elsewhere)
    answer = restore(server, hostile, target=str(target), overwrite="always", verify="1")
    assert "13 files verified" in answer.text
    assert list(elsewhere.iterdir()) == []
    assert len(list((target / HOSTILE).iterdir())) == 13
    assert not (target / HOSTILE).is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "target"]


def test_no_target_is_taken_that_is_not_allowed(
    server: WebServer, hostile: str, pyrestic: Program, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(repository)
    for target in (
        "",
        "relative",
        "~",
        "/a\0b",
        str(repository),
        str(repository / "data" / "new"),
        str(repository.parent),
        str(tmp_path / "link" / "new"),
    ):
        answer = restore(server, hostile, target=target)
        assert answer.status == 400, target
        assert 'role="alert"' in answer.text
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "out").symlink_to(tmp_path)
    with serving(pyrestic, repository, "--restore-below", str(allowed)) as narrow:
        narrow.enter()
        for outside in (tmp_path, Path("/"), allowed / ".." / "x", allowed / "out" / "x"):
            assert "must be in" in restore(narrow, hostile, target=str(outside)).text
        assert ">done<" in restore(narrow, hostile, target=str(allowed / "in")).text
    result = pyrestic.run("serve", "--restore-below", tmp_path / "missing", repository=repository, code=1)
    assert "not a folder" in result.stderr.decode()


def test_another_site_can_restore_nothing(server: WebServer, hostile: str, tmp_path: Path) -> None:
    body = urlencode({"target": str(tmp_path)}).encode()
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": server.base, "Sec-Fetch-Site": "same-site"}):
        assert server.request(f"/restore/{hostile}", "POST", body, headers).status == 403
        assert server.request("/restores/1/start", "POST", b"", headers).status == 403
    for target, status in (("/restores/0", 404), ("/restores/x", 404), ("/restores/99999999999/state", 404)):
        assert server.request(target).status == status
    assert server.request("/restores/99/start", "POST", b"", {"Origin": server.base}).status == 404
    assert list(tmp_path.iterdir()) == []


def test_another_date_of_any_name_can_be_asked_for(server: WebServer, hostile: str) -> None:
    page = server.request(f"/files/{hostile}/{UNREADABLE}").text
    (target,) = re.findall(r'href="(/\?at=[^"]+)"', page)
    timeline = server.request(target).text
    assert f"/Hostile/{UNREADABLE}" in timeline
