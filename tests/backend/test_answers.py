"""Every status and every strange answer of every call, on REST servers and B2: which error, and how long it is retried.

What waiting cannot mend ends at once or after a few attempts; what it can is tried until the deadline.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from pyrestic.backend.base import Backend
from pyrestic.backend.http import SILENCED_STALL_SECONDS, SILENT_ATTEMPTS, Answer
from pyrestic.backend.http_settings import DEFAULT_STALL_SECONDS, HttpSettings
from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.redirects import Redirects
from pyrestic.backend.wrap.retry import FIRST_DELAY_SECONDS, RetryBackend
from pyrestic.cli.options import make_settings
from pyrestic.errors import (
    AccessError,
    BackendError,
    FormatError,
    NoAnswerError,
    NotFoundError,
    PyresticError,
    SilentError,
    TransientError,
    UnreachedError,
)
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.scripted import ScriptedServer, answer, scripted

DEADLINE = 120.0
AT_ONCE, SOON, LONG = "at once", "soon", "until the deadline"
SETTINGS = HttpSettings(stall_seconds=10)
DATA = b"content of a file"
PACK = Handle(FileType.PACK, hash_id(DATA).hex())
Call = Callable[[Backend], object]

CALLS: dict[str, Call] = {
    "create": lambda backend: backend.create(),
    "save": lambda backend: backend.save(PACK, DATA),
    "load": lambda backend: backend.load(PACK),
    "load a range": lambda backend: backend.load(PACK, 3, 4),
    "stat": lambda backend: backend.stat(PACK),
    "list": lambda backend: list(backend.list(FileType.PACK)),
    "remove": lambda backend: backend.remove(PACK),
}


class Row(NamedTuple):
    """What an answer means: the error, how long it is retried, words of its message."""

    kind: type[PyresticError]
    retried: str
    words: str


class Outcome(NamedTuple):
    """What a call came to: the error if there was one, how long it was retried."""

    error: PyresticError | None
    retried: str


def attempt(backend: Backend, call: Call) -> Outcome:
    """Make a call as commands do, with time that passes only while waiting."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    retrying = RetryBackend(backend, total_seconds=DEADLINE, clock=lambda: now[0], sleep=sleep, chance=lambda: 0.5)
    error = None
    try:
        call(retrying)
    except PyresticError as caught:
        error = caught
    return Outcome(error, AT_ONCE if now[0] == 0 else SOON if now[0] <= 32 else LONG)


def open_rest(server: ScriptedServer, path: str = "/r/") -> Backend:
    return open_backend(parse_location(f"rest:http://user:secret@{server.address}{path}"), {}, Access({}, SETTINGS))


def check(outcome: Outcome, row: Row) -> None:
    assert outcome.error is not None
    assert type(outcome.error) is row.kind, outcome.error
    assert row.words in str(outcome.error)
    assert outcome.retried == row.retried
    assert "secret" not in str(outcome.error)


FORBIDS = Row(AccessError, AT_ONCE, "forbids it")
ABSENT = Row(NotFoundError, AT_ONCE, "does not exist")
FULL = Row(AccessError, AT_ONCE, "no space left")
BUSY = Row(TransientError, LONG, "the server says")
REFUSED = Row(BackendError, AT_ONCE, "the server says")
REST: dict[int, Row] = {
    201: REFUSED,
    300: REFUSED,
    304: REFUSED,
    400: REFUSED,
    401: Row(AccessError, AT_ONCE, "rejects the user name or password"),
    402: REFUSED,
    403: FORBIDS,
    404: ABSENT,
    405: REFUSED,
    408: BUSY,
    409: REFUSED,
    410: REFUSED,
    411: REFUSED,
    413: FULL,
    418: REFUSED,
    421: REFUSED,
    425: BUSY,
    429: BUSY,
    451: REFUSED,
    500: BUSY,
    501: REFUSED,
    502: BUSY,
    503: BUSY,
    504: BUSY,
    505: REFUSED,
    507: FULL,
    508: REFUSED,
    511: Row(AccessError, AT_ONCE, "requires a sign-in"),
}
REST_EXCEPTIONS: dict[tuple[int, str], Row | None] = {
    (403, "remove"): Row(AccessError, AT_ONCE, "the server refuses it"),
    # A folder that was never made is empty.
    (404, "list"): None,
}


@pytest.mark.parametrize("status", REST)
def test_each_status_of_a_rest_server_means_the_same_for_every_call(status: int) -> None:
    with scripted(lambda method, _: answer(status, b"" if method == "HEAD" else b"<html>no</html>")) as server:
        backend = open_rest(server)
        for name, call in CALLS.items():
            row = REST_EXCEPTIONS.get((status, name), REST[status])
            outcome = attempt(backend, call)
            if row is None:
                assert outcome == (None, AT_ONCE)
            else:
                check(outcome, row)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NOT_AS_HTTP = Row(NoAnswerError, SOON, "is truncated, or is not valid HTTP")
STRANGE: dict[str, tuple[bytes, Row]] = {
    "closed": (b"", Row(NoAnswerError, SOON, "closed without a response")),
    "no length": (b"HTTP/1.1 200 OK\r\n\r\n", Row(NoAnswerError, SOON, "no valid length")),
    "no length, a body": (b"HTTP/1.0 200 OK\r\n\r\nabc", Row(NoAnswerError, SOON, "no valid length")),
    "cut headers": (b"HTTP/1.1 200 OK\r\nContent-", Row(NoAnswerError, SOON, "truncated in its headers")),
    "mail": (
        b"220 mail.example ESMTP\r\n",
        Row(NoAnswerError, SOON, "does not speak HTTP: it answered '220 mail.example ESMTP'"),
    ),
    "rubbish": (b"\0\xff" * 50, Row(NoAnswerError, SOON, r"does not speak HTTP: it answered '\x00\xff\x00")),
    "negative length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
        Row(NoAnswerError, SOON, "no valid length"),
    ),
    "no digits": (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nab", Row(NoAnswerError, SOON, "no valid length")),
    "gzip to the end": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
        Row(NoAnswerError, SOON, "no valid length"),
    ),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcdefg", NOT_AS_HTTP),
    "no chunk": (CHUNKED + b"zz\r\nabc", NOT_AS_HTTP),
    "negative chunk": (CHUNKED + b"-5\r\nabc", Row(NoAnswerError, SOON, "does not speak HTTP")),
    "short chunk": (CHUNKED + b"5\r\nab", Row(NoAnswerError, SOON, "was lost")),
    "short body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", Row(NoAnswerError, SOON, "was lost")),
    "endless": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
        Row(TransientError, SOON, "too long"),
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_answers_that_make_no_sense_are_not_retried_for_long(name: str) -> None:
    content, row = STRANGE[name]
    with scripted(lambda *_: content) as server:
        outcome = attempt(open_rest(server), CALLS["load"])
        check(outcome, row)
        assert server.address in str(outcome.error)
        if name == "closed":
            check(attempt(open_rest(server), CALLS["stat"]), row)


def test_a_chunked_answer_ends_where_its_chunks_do_whatever_length_it_tells() -> None:
    content = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 99\r\n\r\n") + b"11\r\n" + DATA + b"\r\n0\r\n\r\n"
    with scripted(lambda *_: content) as server:
        assert open_rest(server).load(PACK) == DATA


@pytest.mark.parametrize("text", ["\xb2", "-1", "1.5", "Fri, 31 Dec 1999 23:59:59 GMT", "9" * 5000])
def test_a_wait_that_is_no_number_of_seconds_is_not_obeyed(text: str) -> None:
    with scripted(lambda *_: answer(503, b"", f"Retry-After: {text}")) as server:
        check(attempt(open_rest(server), CALLS["stat"]), BUSY)


@pytest.mark.parametrize("size", ["-1", "1e3", "9007199254740992", '"5"', "null"])
def test_a_list_with_lengths_that_no_file_has_is_not_that_of_a_rest_server(size: str) -> None:
    body = f'[{{"name":"{PACK.name}","size":{size}}}]'.encode()
    with scripted(lambda *_: answer(200, body, "Content-Type: application/vnd.x.restic.rest.v2")) as server:
        outcome = attempt(open_rest(server), CALLS["list"])
        check(outcome, Row(BackendError, AT_ONCE, "not from a REST server"))


@pytest.mark.parametrize("name", ["two lengths", "no chunk", "short chunk", "short body"])
def test_once_a_server_was_understood_a_broken_answer_is_retried_until_the_deadline(name: str) -> None:
    contents = [answer(200, DATA)]
    with scripted(lambda *_: contents.pop() if contents else STRANGE[name][0]) as server:
        backend = open_rest(server)
        assert attempt(backend, CALLS["load"]) == (None, AT_ONCE)
        outcome = attempt(backend, CALLS["load"])
        assert (type(outcome.error), outcome.retried) == (NoAnswerError, LONG)


def test_a_server_that_speaks_first_is_not_asked_for_long() -> None:
    # Its connection ends by a reset, since it leaves unread what it was asked.
    with scripted(lambda *_: b"", greeting=b"\0\xff\r\n") as server:
        outcome = attempt(open_rest(server), CALLS["load"])
        assert (type(outcome.error), outcome.retried) == (NoAnswerError, SOON)
        assert server.address in str(outcome.error)


def test_a_server_that_was_never_reached_is_told_from_one_that_is_away() -> None:
    with scripted(lambda *_: answer(200, DATA)) as server:
        backend, stranger = open_rest(server), open_rest(server)
        assert attempt(backend, CALLS["load"]) == (None, AT_ONCE)
    for place, kind in ((backend, NoAnswerError), (stranger, UnreachedError)):
        with pytest.raises(NoAnswerError, match="refuses connections") as caught:
            place.load(PACK)
        assert type(caught.value) is kind


def test_a_name_that_is_not_known_was_never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    backend = open_backend(parse_location("rest:http://misspelt.example/"), {}, Access({}, SETTINGS))
    with pytest.raises(UnreachedError, match=r"misspelt\.example: the name of the server cannot be resolved"):
        backend.load(PACK)


def test_a_server_that_does_not_speak_tls_is_not_asked_for_long() -> None:
    with scripted(lambda *_: b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        location = parse_location(f"rest:https://{server.address}/")
        backend = open_backend(location, {}, Access({}, SETTINGS))
        check(attempt(backend, CALLS["stat"]), Row(NoAnswerError, SOON, "encrypted connection could not be set up"))


def test_two_requests_that_are_not_answered_end_an_operation_and_the_next_one_at_once() -> None:
    ended = threading.Event()

    def reply(_: str, __: str) -> bytes:
        ended.wait(30)
        return b""

    with scripted(reply) as server:
        settings = HttpSettings(stall_seconds=0.5)
        place = open_backend(parse_location(f"rest:http://{server.address}/"), {}, Access({}, settings))
        backend = RetryBackend(place, sleep=lambda _: None)
        with pytest.raises(SilentError, match="almost no data was transferred"):
            backend.load(PACK)
        assert len(server.requests) == 2
        with pytest.raises(BackendError, match="no request is sent for a minute"):
            backend.stat(PACK)
        with pytest.raises(BackendError, match="no request is sent for a minute"):
            backend.remove(PACK)
        assert len(server.requests) == 2
        # The release of a lock is tried, once.
        with pytest.raises(SilentError, match="almost no data was transferred"):
            backend.remove(Handle(FileType.LOCK, PACK.name))
        assert len(server.requests) == 3
        ended.set()


def test_by_default_a_service_that_never_answers_ends_a_command_within_five_minutes() -> None:
    # Two requests with the longest first wait between them, and one more that releases the lock.
    longest = SILENT_ATTEMPTS * DEFAULT_STALL_SECONDS + 1.5 * FIRST_DELAY_SECONDS + SILENCED_STALL_SECONDS
    assert longest < 280
    assert HttpSettings().stall_seconds == DEFAULT_STALL_SECONDS
    assert make_settings({}, {}).stuck_request_timeout_seconds == DEFAULT_STALL_SECONDS


# Redirections


@contextlib.contextmanager
def redirecting(location: Callable[[ScriptedServer], str], status: int) -> Iterator[ScriptedServer]:
    def reply(method: str, path: str) -> bytes:
        if path.startswith("/old/"):
            return answer(status, b"", f"Location: {location(server)}{path.removeprefix('/old/')}")
        if method == "GET":
            return answer(200, DATA)
        return answer(200)

    with scripted(reply) as server:
        yield server


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("form", ["/new/", "http://{}/new/", "//{}/new/"])
def test_a_redirection_within_the_host_is_followed_with_method_and_password_and_remembered(
    status: int, form: str
) -> None:
    with redirecting(lambda server: form.format(server.address), status) as server:
        backend = open_rest(server, "/old/")
        backend.create()
        backend.save(PACK, DATA)
        assert backend.load(PACK) == DATA
        backend.remove(PACK)
        folder = f"/new/data/{PACK.name}"
        assert [(method, path) for method, path, _ in server.requests] == [
            ("POST", "/old/?create=true"),
            ("POST", "/new/?create=true"),
            ("POST", folder),
            ("GET", folder),
            ("DELETE", folder),
        ]
        assert all("Authorization: Basic" in headers for _, _, headers in server.requests)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://localhost:1/", "redirects to http://localhost:1, which is another host"),
        ("http://evil.example/", "another host"),
        ("//evil.example/", "another host"),
        ("http://127.0.0.1@evil.example/", "another host"),
        ("http://user:word@127.0.0.1/", "another host"),
        ("ftp://127.0.0.1/", "not encrypted"),
        ("http://[::1", "another host"),
        ("http://127.0.0.1:99999/", "another host"),
        ("javascript:alert(1)", "another host"),
        ("http://evil.example\x1b[2J/", "another host"),
    ],
)
def test_a_redirection_elsewhere_is_named_and_gets_nothing(location: str, words: str) -> None:
    with scripted(lambda *_: answer(302, b"", f"Location: {location}")) as server:
        for name, call in CALLS.items():
            before = len(server.requests)
            outcome = attempt(open_rest(server), call)
            assert type(outcome.error) is AccessError, name
            assert words in str(outcome.error)
            assert str(outcome.error).isprintable()
            assert outcome.retried == AT_ONCE
            assert len(server.requests) == before + 1


def test_after_https_no_redirection_leads_to_plain_http() -> None:
    from tests.support.scripted import answer as raw  # noqa: F401 - the name is taken below

    def send(address: str) -> Answer:
        asked.append(address)
        return Answer(301, {"location": "http://host.example/r/x"}, b"")

    asked: list[str] = []
    with pytest.raises(AccessError, match="not encrypted"):
        Redirects("https://host.example/r/").follow("x", send)
    assert asked == ["https://host.example/r/x"]


def test_a_redirection_without_end_ends() -> None:
    with scripted(lambda _, path: answer(307, b"", f"Location: {path}x")) as server:
        check(attempt(open_rest(server), CALLS["stat"]), Row(BackendError, AT_ONCE, "redirects in a loop"))
        assert len(server.requests) == 6


# B2


def account(server: ScriptedServer, api: str = "", download: str = "") -> bytes:
    base = f"http://{server.address}"
    storage = {
        "apiUrl": api or base,
        "downloadUrl": download or base,
        "recommendedPartSize": 100_000_000,
        "absoluteMinimumPartSize": 5_000_000,
        "allowed": {
            "capabilities": ["listFiles", "readFiles", "writeFiles", "deleteFiles", "listBuckets"],
            "buckets": [{"id": "b1", "name": "a-bucket"}],
            "namePrefix": None,
        },
    }
    body = {"accountId": "a", "authorizationToken": "token-secret", "apiInfo": {"storageApi": storage}}
    return answer(200, json.dumps(body).encode())


class B2Script:
    """Answers as B2 does up to the call that is looked at."""

    def __init__(self, call: str, content: bytes) -> None:
        self.call = call
        self.content = content
        self.server: ScriptedServer
        self.upload_url = ""

    def __call__(self, method: str, path: str) -> bytes:
        call = path.rpartition("/")[2].partition("?")[0] if "/b2api/" in path else f"{method} file"
        if call == self.call:
            return self.content
        if call == "b2_authorize_account":
            return account(self.server)
        if call == "b2_get_upload_url":
            url = self.upload_url or f"http://{self.server.address}/b2api/v4/b2_upload_file"
            return answer(200, json.dumps({"uploadUrl": url, "authorizationToken": "upload-secret"}).encode())
        if call == "b2_hide_file":
            return answer(200, json.dumps({"fileId": "f2", "fileName": "x", "action": "hide"}).encode())
        if call == "HEAD file":
            return answer(200, b"", "X-Bz-File-Id: f1").replace(b"Content-Length: 0", b"Content-Length: 17")
        return answer(404, b'{"code": "not_found"}')


@pytest.fixture
def b2_script() -> Iterator[B2Script]:
    script = B2Script("", b"")
    with scripted(script) as server:
        script.server = server
        yield script


def open_b2(server: ScriptedServer) -> Backend:
    variables = {"B2_ACCOUNT_ID": "id", "B2_ACCOUNT_KEY": "key-secret"}
    access = Access(variables, SETTINGS)
    return open_backend(parse_location("b2:a-bucket:r"), {"b2.endpoint": f"http://{server.address}"}, access)


B2_CALLS: dict[str, Call] = {
    "b2_authorize_account": CALLS["load"],
    "b2_get_upload_url": CALLS["save"],
    "b2_upload_file": CALLS["save"],
    "GET file": CALLS["load"],
    "HEAD file": CALLS["stat"],
    "b2_list_file_names": CALLS["list"],
    "b2_delete_file_version": CALLS["remove"],
}


def said(status: int, code: str) -> bytes:
    return answer(status, json.dumps({"status": status, "code": code, "message": "words"}).encode())


SAYS = "B2 says"
LACKS = Row(AccessError, AT_ONCE, "or is limited to another bucket or name prefix")
NEW_TOKEN = Row(AccessError, AT_ONCE, "of a token that it has just issued")
WRONG_KEY = Row(AccessError, AT_ONCE, "does not accept the application key")
B2_BUSY = Row(TransientError, LONG, SAYS)
B2_REFUSED = Row(BackendError, AT_ONCE, SAYS)
B2_ABSENT = Row(NotFoundError, AT_ONCE, "does not exist")
B2_FORBIDS = Row(AccessError, AT_ONCE, SAYS)
OTHER = Row(TransientError, SOON, SAYS)
B2: dict[tuple[int, str], Row] = {
    (301, ""): OTHER,
    (302, ""): OTHER,
    (307, ""): OTHER,
    (400, "bad_request"): B2_REFUSED,
    (400, ""): B2_REFUSED,
    (401, ""): LACKS,
    (401, "unauthorized"): LACKS,
    (401, "unsupported"): LACKS,
    (401, "expired_auth_token"): NEW_TOKEN,
    (401, "bad_auth_token"): NEW_TOKEN,
    (403, ""): B2_FORBIDS,
    (403, "access_denied"): B2_FORBIDS,
    (403, "storage_cap_exceeded"): Row(AccessError, AT_ONCE, "the account's storage cap is reached"),
    (403, "transaction_cap_exceeded"): Row(AccessError, AT_ONCE, "cap on transactions"),
    (403, "download_cap_exceeded"): Row(AccessError, AT_ONCE, "cap on downloads"),
    (404, ""): B2_ABSENT,
    (404, "not_found"): B2_ABSENT,
    (405, "method_not_allowed"): B2_REFUSED,
    (408, "request_timeout"): B2_BUSY,
    (409, "conflict"): B2_REFUSED,
    (429, "too_many_requests"): B2_BUSY,
    (500, "internal_error"): B2_BUSY,
    (501, ""): B2_REFUSED,
    (502, ""): B2_BUSY,
    (503, "service_unavailable"): B2_BUSY,
    (503, ""): B2_BUSY,
    (504, ""): B2_BUSY,
    (505, ""): B2_REFUSED,
}


def b2_row(call: str, status: int, code: str) -> Row:
    """Return what a failure of a call means."""
    if call == "b2_authorize_account" and status == 401:
        return WRONG_KEY
    if call == "HEAD file" and code:
        # No body comes with it, so there is no code.
        return B2.get((status, ""), B2[status, code])
    if call == "b2_delete_file_version" and status == 404:
        # HEAD has just named it.
        return Row(TransientError, SOON, "lists a version that does not exist")
    return B2[status, code]


@pytest.mark.parametrize("call", B2_CALLS)
def test_each_status_of_b2_means_the_same_for_every_call(b2_script: B2Script, call: str) -> None:
    for status, code in B2:
        content = said(status, code) if code else answer(status)
        if call == "HEAD file":
            content = answer(status)
        b2_script.call, b2_script.content = call, content
        row = b2_row(call, status, code)
        outcome = attempt(open_b2(b2_script.server), B2_CALLS[call])
        if call == "b2_delete_file_version" and status in (401, 403):
            # It is hidden instead.
            assert outcome == (None, AT_ONCE)
            continue
        try:
            check(outcome, row)
        except AssertionError as error:
            raise AssertionError(f"{call} {status} {code}: {outcome}") from error


@pytest.mark.parametrize("call", B2_CALLS)
def test_a_token_that_was_just_given_out_is_renewed_once(b2_script: B2Script, call: str) -> None:
    for content in (said(401, "expired_auth_token"), said(401, "bad_auth_token"), answer(401)):
        b2_script.call, b2_script.content = call, content if call != "HEAD file" else answer(401)
        before = len(b2_script.server.requests)
        attempt(open_b2(b2_script.server), B2_CALLS[call])
        asked = [path for _, path, _ in b2_script.server.requests[before:]]
        assert sum("authorize" in path for path in asked) <= 2, asked
        assert len(asked) <= 6, asked


SENSELESS = Row(TransientError, SOON, "did not come from B2")


@pytest.mark.parametrize("call", [call for call in B2_CALLS if call not in ("HEAD file", "b2_delete_file_version")])
@pytest.mark.parametrize("content", [b"", b"<html>", b"{}", b"[]", b"\xff\xfe", b"[" * 100_000], ids=range(6))
def test_a_good_status_with_another_body_than_b2s_is_not_retried_for_long(
    b2_script: B2Script, call: str, content: bytes
) -> None:
    b2_script.call, b2_script.content = call, answer(200, content)
    check(attempt(open_b2(b2_script.server), B2_CALLS[call]), SENSELESS)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "http://evil.example",
        "https://127.0.0.1.evil.example",
        "https://127.evil.example",
        "https://user@127.0.0.1",
        "https://127.0.0.1\\@evil.example",
        "https://api.backblazeb2.com",
        "file:///etc/passwd",
        "ftp://127.0.0.1",
        "//127.0.0.1",
        "nonsense",
        "https://",
        "http://[::1",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "http://127.0.0.1 ",
    ],
)
def test_no_token_is_sent_to_a_host_that_is_not_the_services(b2_script: B2Script, url: str) -> None:
    server = b2_script.server
    row = Row(AccessError, AT_ONCE, "nothing is sent there")
    b2_script.call, b2_script.content = "b2_authorize_account", account(server, api=url)
    check(attempt(open_b2(server), CALLS["list"]), row)
    b2_script.content = account(server, download=url)
    check(attempt(open_b2(server), CALLS["load"]), row)
    b2_script.call, b2_script.upload_url = "", url
    check(attempt(open_b2(server), CALLS["save"]), row)
    assert all("upload-secret" not in headers for _, _, headers in server.requests)


def test_a_file_that_is_too_short_for_a_range_is_damage(b2_script: B2Script) -> None:
    b2_script.call, b2_script.content = "GET file", said(416, "range_not_satisfiable")
    outcome = attempt(open_b2(b2_script.server), lambda backend: backend.load(PACK, 30, 4))
    check(outcome, Row(FormatError, AT_ONCE, "too short"))
    # Where the file is long enough for it, B2 contradicts itself.
    outcome = attempt(open_b2(b2_script.server), CALLS["load a range"])
    check(outcome, Row(TransientError, SOON, "refuses a range inside the file"))
