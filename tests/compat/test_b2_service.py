"""The B2 service on loopback is as strict as the real one, and fails as it is told to."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from pyrestic.backend.b2.backend import B2Backend
from tests.support.b2 import BUCKET, open_b2
from tests.support.restic import ROOT
from tools.b2_server import B2Server


class Client:
    """Calls made by hand."""

    def __init__(self, server: B2Server) -> None:
        self._http = urllib3.PoolManager(retries=False, timeout=10)
        self._server = server
        backend = open_b2(server)
        backend.create()
        authorization = backend.session.authorization()
        self.url, self.token = authorization.api_url, authorization.token
        self.bucket = backend.session.bucket_id()

    def call(self, name: str, token: str | None = None, **request: Any) -> tuple[int, dict[str, Any]]:
        """Make a call; return status and answer."""
        headers = {"Authorization": self.token if token is None else token}
        answer = self._http.request(
            "POST", f"{self.url}/b2api/v4/{name}", body=json.dumps(request).encode(), headers=headers
        )
        return answer.status, json.loads(answer.data)

    def upload(self, data: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        """Upload a file; headers may be changed, or dropped by an empty value."""
        _, place = self.call("b2_get_upload_url", bucketId=self.bucket)
        full = {
            "Authorization": place["authorizationToken"],
            "X-Bz-File-Name": "name",
            "Content-Type": "text/plain",
            "X-Bz-Content-Sha1": hashlib.sha1(data).hexdigest(),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in full.items() if value}
        answer = self._http.request("POST", place["uploadUrl"], body=data, headers=sent)
        return answer.status, json.loads(answer.data)

    def get(self, name: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
        """Download a file by name."""
        return self._http.request(
            method, f"{self.url}/file/{BUCKET}/{name}", headers={"Authorization": self.token, **headers}
        )


@pytest.fixture
def client(b2: B2Server) -> Client:
    return Client(b2)


@pytest.fixture
def backend(b2: B2Server) -> Iterator[B2Backend]:
    backend = open_b2(b2)
    yield backend
    backend.close()


def test_tokens_that_are_missing_wrong_or_old_are_told_apart(b2: B2Server, client: Client) -> None:
    assert client.call("b2_list_file_names", token="wrong", bucketId=client.bucket)[1]["code"] == "bad_auth_token"
    assert client.call("b2_list_file_names", token="", bucketId=client.bucket)[0] == 401
    b2.faults.token_seconds = 0.05
    old = open_b2(b2).session.authorization().token
    time.sleep(0.1)
    assert client.call("b2_list_file_names", token=old, bucketId=client.bucket)[1]["code"] == "expired_auth_token"


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Bz_Content_Sha1": "0" * 40},
        {"X_Bz_Content_Sha1": ""},
        {"X_Bz_Content_Sha1": "nonsense"},
        {"X_Bz_File_Name": ""},
        {"X_Bz_File_Name": "/leading"},
        {"X_Bz_File_Name": "trailing/"},
        {"X_Bz_File_Name": "a//b"},
        {"X_Bz_File_Name": "a%00b"},
        {"X_Bz_File_Name": "a%FF"},
        {"X_Bz_File_Name": "x" * 1025},
        {"Content_Type": ""},
    ],
)
def test_uploads_that_break_a_rule_are_refused_and_leave_nothing(
    b2: B2Server, client: Client, headers: dict[str, str]
) -> None:
    status, answer = client.upload(b"content", **headers)
    assert (status, answer["code"]) == (400, "bad_request")
    assert list(b2.store.contents.iterdir()) == []


def test_the_sha1_may_follow_the_content(client: Client) -> None:
    data = b"content"
    tail = hashlib.sha1(data).hexdigest().encode()
    assert client.upload(data + tail, X_Bz_Content_Sha1="hex_digits_at_end")[1]["contentLength"] == 7
    assert client.upload(data + tail[::-1], X_Bz_Content_Sha1="hex_digits_at_end")[0] == 400
    assert client.get("name").data == data


def test_an_upload_url_takes_one_upload_at_a_time(b2: B2Server, client: Client) -> None:
    _, place = client.call("b2_get_upload_url", bucketId=client.bucket)
    name = place["uploadUrl"].rpartition("/")[2]
    held = b2.service.access.occupy(name, place["authorizationToken"])
    with pytest.raises(Exception, match="auth_token_limit"):
        b2.service.access.occupy(name, place["authorizationToken"])
    b2.service.access.release(held)
    b2.service.access.occupy(name, place["authorizationToken"])


def test_large_files_keep_their_rules(b2: B2Server, client: Client) -> None:
    b2.service.minimum_part_bytes = 100
    http = urllib3.PoolManager(retries=False)

    def start() -> str:
        _, version = client.call("b2_start_large_file", bucketId=client.bucket, fileName="large", contentType="x")
        return str(version["fileId"])

    def part(file_id: str, number: int, data: bytes) -> str:
        _, place = client.call("b2_get_upload_part_url", fileId=file_id)
        sha1 = hashlib.sha1(data).hexdigest()
        headers = {"Authorization": place["authorizationToken"], "X-Bz-Part-Number": str(number)}
        assert http.request("POST", place["uploadUrl"], body=data, headers=headers).status == 400
        headers["X-Bz-Content-Sha1"] = sha1
        assert http.request("POST", place["uploadUrl"], body=data, headers=headers).status == 200
        return sha1

    one = start()
    sha1s = [part(one, 1, b"a" * 100)]
    assert client.call("b2_finish_large_file", fileId=one, partSha1Array=sha1s)[0] == 400
    sha1s.append(part(one, 2, b"b" * 5))
    assert client.call("b2_finish_large_file", fileId=one, partSha1Array=sha1s[::-1])[1]["code"] == "part_sha1_mismatch"
    assert client.get("large").status == 404
    assert client.call("b2_finish_large_file", fileId=one, partSha1Array=sha1s)[1]["contentLength"] == 105
    assert client.call("b2_finish_large_file", fileId=one, partSha1Array=sha1s)[0] == 400
    assert client.get("large").data == b"a" * 100 + b"b" * 5
    two = start()
    short = [part(two, 1, b"c" * 99), part(two, 2, b"d" * 100)]
    assert client.call("b2_finish_large_file", fileId=two, partSha1Array=short)[0] == 400
    assert client.call("b2_cancel_large_file", fileId=two)[0] == 200
    assert client.call("b2_list_unfinished_large_files", bucketId=client.bucket)[1]["files"] == []
    assert len(list(b2.store.contents.iterdir())) == 1


def test_ranges_are_those_of_http(client: Client) -> None:
    client.upload(b"0123456789")
    for text, expected in {"bytes=2-4": b"234", "bytes=7-": b"789", "bytes=-3": b"789", "bytes=8-99": b"89"}.items():
        answer = client.get("name", Range=text)
        assert (answer.status, answer.data) == (206, expected)
    assert client.get("name", Range="bytes=10-").status == 416
    head = client.get("name", "HEAD")
    assert (head.status, head.headers["Content-Length"], head.data) == (200, "10", b"")
    assert client.get("nothing").status == 404
    assert client.get("name", Authorization="").status == 401


def test_a_page_that_ends_on_a_folder_goes_on_behind_it(client: Client) -> None:
    for name in ("a/1", "a/2", "b", "c/1"):
        client.upload(b"x", X_Bz_File_Name=name)
    found: list[str] = []
    start: str | None = ""
    while start is not None:
        _, page = client.call(
            "b2_list_file_names", bucketId=client.bucket, startFileName=start, delimiter="/", maxFileCount=1
        )
        found += [entry["fileName"] for entry in page["files"]]
        start = page["nextFileName"]
    assert found == ["a/", "b", "c/"]


def test_requests_that_make_no_sense_are_refused(client: Client) -> None:
    assert client.call("b2_no_such_call")[0] == 404
    assert client.call("b2_list_file_names", bucketId="nothing")[1]["code"] == "bad_bucket_id"
    assert client.call("b2_list_file_names", bucketId=client.bucket, maxFileCount=10_001)[0] == 400
    assert client.call("b2_list_file_names", bucketId=client.bucket, prefix=5)[0] == 400
    assert client.call("b2_create_bucket", bucketName=BUCKET, bucketType="allPrivate")[1]["code"] == (
        "duplicate_bucket_name"
    )


def test_the_proxy_leads_to_one_host_alone(b2: B2Server) -> None:
    host, _, port = b2.front.url.removeprefix("http://").partition(":")
    for line in (b"CONNECT example.org:443 HTTP/1.1", b"GET http://127.0.0.1/ HTTP/1.1"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(line + b"\r\n\r\n")
            assert b" 403 " in connection.recv(1000)
    assert len(b2.front.refused) == 2


def test_a_restart_finds_files_and_keys(tmp_path: Path) -> None:
    with B2Server(tmp_path / "kept") as server:
        key = server.add_key(["listFiles", "readFiles"])
        client = Client(server)
        client.upload(b"content")
        master = (server.master_id, server.master_key)
    with B2Server(tmp_path / "kept") as server:
        assert (server.master_id, server.master_key) == master
        assert open_b2(server, key=key).session.authorization().capabilities == {"listFiles", "readFiles"}
        assert Client(server).get("name").data == b"content"


def test_the_line_carries_what_it_is_told_to(b2: B2Server, client: Client) -> None:
    b2.faults.up.bytes_per_second = 8_000_000
    data = os.urandom(4_000_000)
    started = time.monotonic()
    client.upload(data)
    # Never faster; how much slower is a matter of the machine.
    assert time.monotonic() - started > 0.4


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("short body", {"after_bytes": 3}),
        ("reset download", {"after_bytes": 3}),
        ("long body", {}),
        ("flip", {}),
        ("html", {"status": 200}),
        ("lose answer", {}),
        ("status", {"status": 418, "code": "teapot"}),
    ],
)
def test_each_fault_is_seen_once_and_gone(b2: B2Server, client: Client, kind: str, details: dict[str, object]) -> None:
    client.upload(b"0123456789")
    b2.faults.add(kind, "b2_download*", times=1, **details)
    seen: object
    try:
        answer = client.get("name")
        seen = (answer.status, answer.data)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        seen = type(error).__name__
    expected = {
        "flip": (200, b"\x31" + b"123456789"),
        "long body": (200, b"0123456789"),
        "html": (200, b"<html><body>Please sign in to this network.</body></html>"),
        "status": (418, b'{"status": 418, "code": "teapot", "message": "a fault on demand"}'),
    }
    assert seen == expected[kind] if kind in expected else seen in ("ProtocolError", "IncompleteRead")
    # Whoever was sent too much or too little has no use for that connection any more.
    assert Client(b2).get("name").data == b"0123456789"
    assert b2.faults.hit == [f"{kind}: b2_download_file_by_name"]


def test_the_program_says_how_to_get_in_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "b2_server.py"), str(tmp_path / "kept")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    process.stdout.close()
    names = [line.split("=")[0] for line in lines if line.startswith("export ")]
    assert names == ["export B2_ACCOUNT_ID", "export B2_ACCOUNT_KEY", "export HTTPS_PROXY", "export RESTIC_CACERT"]
