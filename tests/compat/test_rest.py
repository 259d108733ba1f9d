"""Repositories on real REST servers, Debian's rest-server and rclone, used by both tools in turn."""

import base64
import hashlib
import http.server
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.quick_repository import make_quick
from tests.support.restic import PASSWORD, Program
from tests.support.servers import Server, find_tool, start_rclone, start_rest_server
from tests.support.tls import Authority

pytestmark = pytest.mark.restic


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    dice = random.Random(31)
    for number in range(30):
        (folder / f"file {number}").write_bytes(dice.randbytes(dice.randrange(200_000)))
    return folder


@pytest.fixture(params=["rest-server", "rclone"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    server = start_rclone(folder) if request.param == "rclone" else start_rest_server(folder, "--no-auth")
    yield server
    server.stop()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_tools_use_one_repository_on_a_server(
    pyrestic: Program, newest: Program, server: Server, source: Path, tmp_path: Path, version: str
) -> None:
    location = server.url("shared")
    pyrestic.run("-r", location, "init", "--repository-version", version)
    make_quick(tmp_path / "served" / "shared", PASSWORD)
    pyrestic.run("-r", location, "backup", source)
    newest.run("-r", location, "check", "--read-data")
    newest.run("-r", location, "restore", f"latest:{source}", "--target", tmp_path / "by restic")
    assert contents(tmp_path / "by restic") == contents(source)
    (source / "one more").write_bytes(b"added before the second backup")
    added = newest.run("-r", location, "backup", "--json", source).messages[-1]
    assert (added["files_new"], added["files_unmodified"]) == (1, 30)
    assert pyrestic.run("-r", location, "backup", "--json", source).messages[-1]["data_blobs"] == 0
    pyrestic.run("-r", location, "check", "--read-data")
    pyrestic.run("-r", location, "restore", f"latest:{source}", "--target", tmp_path / "by pyrestic")
    assert contents(tmp_path / "by pyrestic") == contents(source)
    assert len(newest.run("-r", location, "snapshots", "--json").json) == 3
    assert newest.run("-r", location, "list", "locks").text == ""


@pytest.mark.parametrize("release", ["0.14", "0.18"])
def test_what_older_releases_put_on_a_server_is_read(
    pyrestic: Program, source: Path, tmp_path: Path, release: str
) -> None:
    restic = Program((str(find_tool(f"restic-{release}")),), tmp_path / "old home", release)
    server = start_rest_server(tmp_path / "served", "--no-auth")
    try:
        restic.run("-r", server.url("old"), "init")
        restic.run("-r", server.url("old"), "backup", source)
        pyrestic.run("-r", server.url("old"), "check", "--read-data")
        pyrestic.run("-r", server.url("old"), "restore", f"latest:{source}", "--target", tmp_path / "back")
    finally:
        server.stop()
    assert contents(tmp_path / "back") == contents(source)


def test_user_and_password_come_from_the_url_or_the_environment_and_are_never_shown(
    pyrestic: Program, newest: Program, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    hashed = "{SHA}" + base64.b64encode(hashlib.sha1(b"pa:ss/word").digest()).decode()
    (folder / ".htpasswd").write_text(f"somebody:{hashed}\n")
    server = start_rest_server(folder, "--private-repos")
    try:
        secret = f"rest:http://somebody:pa%3Ass%2Fword@{server.address}/somebody/"
        pyrestic.run("-r", secret, "init")
        pyrestic.run("-r", secret, "backup", source)
        newest.run("-r", secret, "check")
        plain = server.url("somebody")
        given: dict[str, Any] = {"RESTIC_REST_USERNAME": "somebody", "RESTIC_REST_PASSWORD": "pa:ss/word"}
        for program in (pyrestic, newest):
            assert len(program.run("-r", plain, "snapshots", "--json", **given).json) == 1
        refused = pyrestic.run("-r", plain, "snapshots", code=1, RESTIC_REST_PASSWORD="wrong", RESTIC_REST_USERNAME="x")
        assert b"rejects the user name or password" in refused.stderr
        missing = pyrestic.run("-r", secret.replace("/somebody/", "/somebody/elsewhere/"), "snapshots", code=10)
        for result in (refused, missing):
            assert b"pa%3A" not in result.stderr + result.stdout
            assert b"Traceback" not in result.stderr
    finally:
        server.stop()


def test_a_server_that_only_lets_add_takes_backups_and_keeps_them(
    pyrestic: Program, newest: Program, source: Path, tmp_path: Path
) -> None:
    server = start_rest_server(tmp_path / "served", "--no-auth", "--append-only")
    try:
        location = server.url("kept")
        pyrestic.run("-r", location, "init")
        pyrestic.run("-r", location, "backup", source)
        pyrestic.run("-r", location, "backup", source)
        # Locks are the one thing that may be removed.
        assert newest.run("-r", location, "list", "locks").text == ""
        newest.run("-r", location, "check", "--read-data")
        pyrestic.run("-r", location, "key", "add", "--new-insecure-no-password")
        key = next(key for key in pyrestic.run("-r", location, "key", "list", "--json").json if not key["current"])
        refused = pyrestic.run("-r", location, "key", "remove", key["id"], code=1)
        assert b"the server refuses it" in refused.stderr
        assert key["id"][:8] in newest.run("-r", location, "list", "keys").text
    finally:
        server.stop()


def test_tls_with_a_given_authority_and_a_client_certificate(
    pyrestic: Program, newest: Program, source: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("127.0.0.1")
    server = start_rest_server(
        tmp_path / "served", "--no-auth", "--tls", "--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)
    )
    try:
        location = f"rest:https://{server.address}/secure/"
        pyrestic.run("--cacert", authority.file, "-r", location, "init")
        make_quick(tmp_path / "served" / "secure", PASSWORD)
        pyrestic.run("-r", location, "backup", source, RESTIC_CACERT=str(authority.file))
        newest.run("--cacert", authority.file, "-r", location, "check", "--read-data")
        refused = pyrestic.run("-r", location, "snapshots", code=1)
        assert b"is not trusted" in refused.stderr
        assert b"--cacert" in refused.stderr
        for program in (pyrestic, newest):
            program.run("--insecure-tls", "-r", location, "snapshots")
            program.run("-r", location, "snapshots", RESTIC_CACERT=str(authority.file))
        absent = pyrestic.run("--cacert", tmp_path / "absent", "-r", location, "snapshots", code=1)
        assert b"unable to read root certificate: open " in absent.stderr
        client = authority.issue("a client")
        both = tmp_path / "client.pem"
        both.write_bytes(client.certificate.read_bytes() + client.key.read_bytes())
        pyrestic.run("--cacert", authority.file, "--tls-client-cert", both, "-r", location, "snapshots")
        wrong = pyrestic.run("--tls-client-cert", authority.file, "-r", location, "snapshots", code=1)
        assert b"parse TLS client cert or key" in wrong.stderr
    finally:
        server.stop()


def test_a_server_that_asks_for_a_client_certificate_gets_it(
    pyrestic: Program, newest: Program, source: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("127.0.0.1")
    server = start_rclone(
        tmp_path / "served",
        *("--cert", str(pair.certificate), "--key", str(pair.key), "--client-ca", str(authority.file)),
    )
    client = authority.issue("a client")
    both = tmp_path / "client.pem"
    both.write_bytes(client.certificate.read_bytes() + client.key.read_bytes())
    try:
        location = f"rest:https://{server.address}/"
        shown: dict[str, Any] = {"RESTIC_CACERT": str(authority.file), "RESTIC_TLS_CLIENT_CERT": str(both)}
        pyrestic.run("-r", location, "init", **shown)
        pyrestic.run("-r", location, "backup", source, **shown)
        newest.run("--cacert", authority.file, "--tls-client-cert", both, "-r", location, "check", "--read-data")
        pyrestic.run("--cacert", authority.file, "--tls-client-cert", both, "-r", location, "check", "--read-data")
        newest.run("-r", location, "snapshots", **shown)
        without = ("-r", location, "-o", "rest.deadline=1", "snapshots")
        refused = pyrestic.run(*without, code=1, RESTIC_CACERT=str(authority.file))
        assert b"Traceback" not in refused.stderr
    finally:
        server.stop()


def test_a_unix_socket_serves_as_well(pyrestic: Program, newest: Program, source: Path, tmp_path: Path) -> None:
    # The path of a socket may have about a hundred characters, and that of the test's folder may have more.
    short = Path(tempfile.mkdtemp(prefix="Socket-")) / "of User Ann"
    server = start_rest_server(tmp_path / "served", "--no-auth", socket=short)
    try:
        location = f"rest:http+unix://{short}:/by/socket/"
        pyrestic.run("-r", location, "init")
        pyrestic.run("-r", location, "backup", source)
        newest.run("-r", location, "check", "--read-data")
        pyrestic.run("-r", location, "restore", f"latest:{source}", "--target", tmp_path / "back")
        assert contents(tmp_path / "back") == contents(source)
    finally:
        server.stop()
        shutil.rmtree(short.parent)
    gone = pyrestic.run("-o", "rest.deadline=1", "-r", location, "snapshots", code=1)
    assert f"{short}: there is no such socket".encode() in gone.stderr


def test_where_nothing_is_and_where_nobody_listens_one_sentence_says_so(
    pyrestic: Program, server: Server, tmp_path: Path
) -> None:
    nothing = pyrestic.run("-r", server.url("nothing"), "snapshots", code=10)
    assert b"repository does not exist" in nothing.stderr
    server.stop()
    refused = pyrestic.run("-o", "rest.deadline=1", "-r", server.url("x"), "snapshots", code=1)
    assert b"refuses connections" in refused.stderr
    assert b"Traceback" not in refused.stderr


def test_the_user_agent_is_what_one_says(pyrestic: Program, newest: Program) -> None:
    heard: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            heard.append(self.headers["User-Agent"])
            self.send_error(404)

        do_GET = do_HEAD  # noqa: N815 - the name that the base class looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        location = f"rest:http://127.0.0.1:{server.server_port}/"
        for program in (pyrestic, newest):
            program.run("-r", location, "--http-user-agent", "my own/1", "snapshots", code=10)
            assert set(heard) == {"my own/1"}
            heard.clear()
            program.run("-r", location, "snapshots", code=10, RESTIC_HTTP_USER_AGENT="of the environment")
            assert set(heard) == {"of the environment"}
            heard.clear()
        server.shutdown()
