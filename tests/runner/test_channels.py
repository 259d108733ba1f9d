"""Messages as they arrive: at HTTP servers on loopback, in a sendmail script, on a desktop, by apprise."""

import email
import email.policy
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyrestic.backend.http_settings import HttpSettings
from pyrestic.errors import DesktopError
from pyrestic.runner import channels as channels_module
from pyrestic.runner.channels import Channels, Delivery, arrived, send
from pyrestic.runner.messages import Message, begin
from tests.support.private_bus import running_bus
from tests.support.restic import ROOT
from tests.support.scripted import ScriptedServer, answer, scripted

NOWHERE = Channels(desktop=False, host="laptop")
HTTP = HttpSettings()
FAILED = Message("failed", "home", "backup", "home: backup failed", "Café closed.\nIt failed twice.")
SUCCESS = Message("success", "home", "backup", "home: backup finished", "Now.", for_person=False)
RECOVERED = Message("recovered", "home", "check", "home: check works again", "It is fine.")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _method, _path: answer(200, b"OK")) as running:
        yield running


def test_a_ping_url_gets_the_start_the_success_and_the_failure(server: ScriptedServer) -> None:
    to = replace(NOWHERE, ping=f"http://{server.address}/ping/0b5e2a17-uuid?create=1")
    for message in (begin("home", "backup"), SUCCESS, FAILED):
        assert send(message, to, HTTP) == [Delivery(f"ping ({server.address})")]
    assert [(method, path) for method, path, _ in server.requests] == [
        ("GET", "/ping/0b5e2a17-uuid/start?create=1"),
        ("GET", "/ping/0b5e2a17-uuid?create=1"),
        ("POST", "/ping/0b5e2a17-uuid/fail?create=1"),
    ]
    assert server.bodies == [b"", b"", "laptop: home: backup failed\nCafé closed.\nIt failed twice.".encode()]


def test_a_ping_url_is_about_backups_and_about_anything_that_fails(server: ScriptedServer) -> None:
    to = replace(NOWHERE, ping=f"http://{server.address}/")
    assert send(begin("home", "check"), to, HTTP) == []
    assert send(replace(SUCCESS, task="prune"), to, HTTP) == []
    assert send(replace(FAILED, task="check", for_person=False), to, HTTP) != []
    assert [path for _, path, _ in server.requests] == ["/fail"]


def test_what_no_person_needs_goes_to_no_person(server: ScriptedServer) -> None:
    url = f"http://{server.address}/"
    to = Channels(ntfy=url, webhook=url, mail="root", apprise=("json://127.0.0.1",), sendmail="/nonexistent")
    assert send(SUCCESS, to, HTTP) == []
    assert server.requests == []


def test_ntfy_gets_title_text_and_priority(server: ScriptedServer) -> None:
    to = replace(NOWHERE, ntfy=f"http://user:pa55word@{server.address}/topic", host="lüptop")
    assert send(FAILED, to, HTTP) == [Delivery(f"ntfy ({server.address})")]
    ((method, path, headers),) = server.requests
    assert (method, path) == ("POST", "/topic")
    fields = email.message_from_string(headers.replace("\r\n", "\n"), policy=email.policy.default)
    assert str(fields["title"]) == "lüptop: home: backup failed"
    assert fields["priority"] == "high"
    assert fields["authorization"] == "Basic dXNlcjpwYTU1d29yZA=="
    assert server.bodies[0].decode() == FAILED.text


def test_a_webhook_gets_the_message_and_the_summary_as_json(server: ScriptedServer) -> None:
    to = replace(NOWHERE, webhook=f"http://{server.address}/hook")
    assert send(RECOVERED, to, HTTP, summary={"files_new": 3, "snapshot_id": "1f3c"}) == [
        Delivery(f"webhook ({server.address})")
    ]
    assert json.loads(server.bodies[0]) == {
        "event": "recovered",
        "profile": "home",
        "task": "check",
        "host": "laptop",
        "title": "home: check works again",
        "text": "It is fine.",
        "summary": {"files_new": 3, "snapshot_id": "1f3c"},
    }


def test_the_page_about_messages_shows_what_a_webhook_gets(server: ScriptedServer) -> None:
    page = (ROOT / "docs" / "messages.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    message = Message(shown["event"], shown["profile"], shown["task"], shown["title"], shown["text"])
    send(message, replace(NOWHERE, webhook=f"http://{server.address}/hook"), HTTP)
    assert json.loads(server.bodies[0]) == shown


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(500, b"secret-in-answer"), "answered with status 500"),
        (answer(302, b"", "Location: http://elsewhere.example/0123456789"), "another host"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        (b"", "closed without a response"),
    ],
)
def test_a_server_that_takes_no_message_is_an_outcome(reply: bytes, error: str) -> None:
    with scripted(lambda _method, _path: reply) as bad:
        token = "tk-1234567890abcdef"
        url = f"http://me:{token}@{bad.address}/{token}?auth={token}"
        to = replace(NOWHERE, ping=url, ntfy=url, webhook=url)
        deliveries = send(FAILED, to, HTTP)
    assert len(deliveries) == 3
    for delivery in deliveries:
        assert error in delivery.error
        assert token not in str(delivery)
        assert "0123456789" not in delivery.error
    assert not arrived(deliveries)


def test_an_answer_without_a_length_is_an_answer() -> None:
    with scripted(lambda _method, _path: b"HTTP/1.0 200 OK\r\n\r\nok") as server:
        to = replace(NOWHERE, webhook=f"http://{server.address}/")
        assert send(FAILED, to, HTTP) == [Delivery(f"webhook ({server.address})")]


@pytest.mark.parametrize(
    "url",
    [
        "hc.example/0b5e2a17aaaa",
        "http://[0b5e2a17aaaa",
        "ftp://a/0b5e2a17aaaa",
        "https://",
        "http://127.0.0.1:1/0b5e2a17aaaa",
    ],
)
def test_a_wrong_url_is_an_outcome_that_does_not_show_it(url: str) -> None:
    to = replace(NOWHERE, ping=url, ntfy=url, webhook=url)
    deliveries = send(FAILED, to, HTTP)
    assert len(deliveries) == 3
    assert all(delivery.error for delivery in deliveries)
    assert "0b5e2a17aaaa" not in str(deliveries)


SECRETS = ("correct horse battery", "K002/aB+c=", "s3cr3t")


@pytest.mark.process
def test_no_secret_leaves_the_machine(server: ScriptedServer, tmp_path: Path) -> None:
    script, mail = tmp_path / "sendmail", tmp_path / "mail"
    script.write_text(f'#!/bin/sh\nenv > {tmp_path}/environment\necho "$@" >> {mail}\nexec cat >> {mail}\n')
    script.chmod(0o700)
    hook = f"http://{server.address}/hooks/T0123456789"
    to = Channels(ping=hook, ntfy=hook, webhook=hook, mail="root", sendmail=str(script), apprise=())
    planted = (
        f"Hook said: {SECRETS[0]}, K002%2FaB%2Bc%3D and {SECRETS[1]}; rest:http://bob:hunter22@host/ failed; "
        f"see {hook} or T0123456789"
    )
    message = replace(FAILED, title=f"home: {SECRETS[2]} failed", text=planted)
    summary = {"error": planted, SECRETS[2]: [{"deep": SECRETS[0]}], "number": 3, "nothing": None}
    deliveries = send(message, to, HTTP, secrets=SECRETS, summary=summary)
    assert all(not delivery.error for delivery in deliveries)
    sent = [*server.bodies, *(headers.encode() for _, _, headers in server.requests), mail.read_bytes()]
    assert len(sent) == 7
    for text in sent:
        for secret in (*SECRETS, "K002%2FaB%2Bc%3D", "hunter22", "T0123456789"):
            assert secret.encode() not in text
        assert secret not in str(deliveries)
    assert json.loads(server.bodies[2])["summary"]["number"] == 3
    assert "PYTHONPATH" not in (tmp_path / "environment").read_text()


@pytest.mark.process
def test_mail_goes_through_sendmail(tmp_path: Path) -> None:
    script, mail = tmp_path / "sendmail", tmp_path / "mail"
    script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexec cat > {mail}\n')
    script.chmod(0o700)
    to = replace(NOWHERE, mail="me@example.org, root", sendmail=str(script))
    forged = replace(FAILED, title="home: backup failed\nBcc: eve@example.org")
    assert send(forged, to, HTTP) == [Delivery("mail")]
    assert (tmp_path / "arguments").read_text() == "-i me@example.org root\n"
    got = email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)
    assert got["Subject"] == "laptop: home: backup failed Bcc: eve@example.org"
    assert got["Bcc"] is None
    assert got["To"] == "me@example.org, root"
    assert got.get_content() == f"{FAILED.text}\n"


@pytest.mark.process
def test_a_sendmail_that_fails_hangs_or_is_missing_is_an_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "sendmail"
    to = replace(NOWHERE, mail="root", sendmail=str(script))
    assert send(FAILED, to, HTTP) == [Delivery("mail", f"{script}: No such file or directory")]
    script.write_text("#!/bin/sh\necho no such user >&2\nexit 67\n")
    script.chmod(0o700)
    assert send(FAILED, to, HTTP) == [Delivery("mail", f"{script} ended with 67")]
    script.write_text("#!/bin/sh\nexec sleep 1000\n")
    monkeypatch.setattr(channels_module, "MAIL_SECONDS", 0.2)
    assert send(FAILED, to, HTTP) == [Delivery("mail", "it did not end within 0.2 seconds")]


@pytest.mark.parametrize("address", ["-oQ/tmp", "", " ", "a, -bs"])
def test_no_address_becomes_an_option_of_sendmail(address: str) -> None:
    to = replace(NOWHERE, mail=address or ",", sendmail="/nonexistent")
    assert send(FAILED, to, HTTP) == [Delivery("mail", "the address is invalid")]


@pytest.mark.process
def test_a_desktop_shows_what_a_person_needs(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus:
        bus.mock("notification_daemon", "org.freedesktop.Notifications")
        to = Channels(session_bus=bus.address, host="laptop")
        assert send(FAILED, to, HTTP) == [Delivery("desktop")]
        assert send(SUCCESS, to, HTTP) == []
        (call,) = bus.calls("org.freedesktop.Notifications", "/org/freedesktop/Notifications", "Notify")
        assert call[3:5] == ["home: backup failed", FAILED.text]


def test_a_machine_without_a_desktop_is_no_failure_of_a_message() -> None:
    assert send(FAILED, Channels(), HTTP) == []
    assert send(FAILED, Channels(session_bus="unix:path=/nonexistent"), HTTP) == []
    assert arrived([])


def test_a_desktop_that_fails_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_more: object) -> None:
        raise DesktopError("org.freedesktop.Notifications Notify: no answer within 2 seconds")

    monkeypatch.setattr(channels_module, "show_notification", fail)
    (delivery,) = send(FAILED, Channels(), HTTP)
    assert delivery.channel == "desktop"
    assert "no answer" in delivery.error


def test_a_channel_that_breaks_does_not_keep_the_others_from_being_told(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    def fail(*_arguments: object, **_more: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(channels_module, "show_notification", fail)
    deliveries = send(FAILED, Channels(webhook=f"http://{server.address}/"), HTTP)
    assert [delivery.error for delivery in deliveries] == ["it failed (ZeroDivisionError)", ""]
    assert arrived(deliveries)


@pytest.mark.slow  # apprise takes half a second to import.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_apprise_sends_to_its_services(server: ScriptedServer, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("apprise")
    good = f"json://user:hunter22@{server.address}/T0123456789"
    assert send(FAILED, replace(NOWHERE, apprise=(good,)), HTTP) == [Delivery("apprise")]
    document = json.loads(server.bodies[0])
    assert (document["title"], document["message"]) == ("laptop: home: backup failed", FAILED.text)
    with scripted(lambda _method, _path: answer(500)) as bad:
        bad_url = f"json://user:hunter22@{bad.address}/T0123456789"
        refused = send(FAILED, replace(NOWHERE, apprise=(bad_url,)), HTTP)
    assert refused == [Delivery("apprise", "a service did not accept the message")]
    assert send(FAILED, replace(NOWHERE, apprise=("nonsense:hunter22",)), HTTP) == [
        Delivery("apprise", "a URL is invalid")
    ]
    output = capfd.readouterr()
    assert "hunter22" not in output.out + output.err
    assert "T0123456789" not in output.out + output.err


def test_apprise_is_imported_only_for_its_urls(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    to = replace(NOWHERE, webhook=f"http://{server.address}/")
    assert send(FAILED, to, HTTP) == [Delivery(f"webhook ({server.address})")]
    (delivery,) = send(FAILED, replace(NOWHERE, apprise=("json://127.0.0.1",)), HTTP)
    assert "extra `notify`" in delivery.error
