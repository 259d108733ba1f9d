"""Sends messages: notifications on the desktop, HTTP requests, mail, apprise.

A message that cannot be sent is an outcome, never an exception, and each channel has a time limit. Neither messages nor
outcomes contain a secret; of a URL only the host is shown.
"""

import contextlib
import email.message
import json
import logging
import os
import pwd
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from email.header import Header
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.redirects import Redirects
from pyrestic.backend.transport import show_host
from pyrestic.desktop.notify import show_notification
from pyrestic.errors import BackendError, NoServiceError, PyresticError, UnsupportedError, UsageError
from pyrestic.runner.messages import Message
from pyrestic.runner.redact import Redactor, url_secrets

HTTP_SECONDS = 10.0
"""The stall limit of a request; none takes longer than twice that."""
MAIL_SECONDS = 30.0
APPRISE_SECONDS = 30.0
SENDMAIL = "/usr/sbin/sendmail"

_SERIOUS = ("failed", "overdue")
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Channels:
    """Where messages go; "" for nowhere. URLs may be secrets."""

    desktop: bool = True
    ping: str = field(default="", repr=False)
    """A URL of healthchecks.io or similar: requested when a backup starts, succeeds, and when anything fails."""
    ntfy: str = field(default="", repr=False)
    """The URL of a topic."""
    webhook: str = field(default="", repr=False)
    mail: str = ""
    apprise: tuple[str, ...] = field(default=(), repr=False)
    session_bus: str = ""
    sendmail: str = SENDMAIL
    host: str = ""
    """The name of this machine, for messages that are read elsewhere."""


class Delivery(NamedTuple):
    """How sending a message ended: the channel with its host, and the error, "" if it was sent."""

    channel: str
    error: str = ""


def send(
    message: Message,
    channels: Channels,
    http: HttpSettings,
    *,
    secrets: Collection[str] = (),
    summary: object = None,
) -> list[Delivery]:
    """Send a message to each channel that wants it.

    `secrets` are removed from everything that is sent, wherever they came from; `summary` is the JSON of the run.
    """
    urls = [url for url in (channels.ping, channels.ntfy, channels.webhook, *channels.apprise) if url]
    redactor = Redactor([*secrets, *url_secrets(urls)])
    clean = replace(message, title=redactor.clean(message.title), text=redactor.clean(message.text))
    deliveries = []
    for channel, work in _find_work(clean, channels, http, redactor.clean_value(summary)):
        try:
            work()
        except NoServiceError:
            # A server without a desktop: the others are told.
            continue
        except Exception as error:  # Whatever a channel or its library raises must not end a run.
            deliveries.append(Delivery(channel, redactor.clean(_describe(error))))
        else:
            deliveries.append(Delivery(channel))
    return deliveries


def arrived(deliveries: Collection[Delivery]) -> bool:
    """Tell whether somebody got a message, or nobody can: otherwise it should be sent again."""
    return not deliveries or any(not delivery.error for delivery in deliveries)


_Work: TypeAlias = Callable[[], None]


def _find_work(
    message: Message, channels: Channels, http: HttpSettings, summary: object
) -> Iterator[tuple[str, _Work]]:
    """Yield the channels for a message, and how to send it there."""
    serious = message.kind in _SERIOUS
    # Elsewhere, a person may have several machines.
    title = f"{channels.host}: {message.title}" if channels.host else message.title
    # The address is for a success: who waits has not succeeded.
    if channels.ping and message.kind != "waiting" and (message.task == "backup" or serious):
        suffix = "/start" if message.kind == "started" else "/fail" if serious else ""
        body = f"{title}\n{message.text}".encode() if serious else None
        yield _name("ping", channels.ping), lambda: _request(http, channels.ping, {}, body, suffix)
    if not message.for_person:
        return
    if channels.desktop:
        yield "desktop", lambda: _show(message, channels.session_bus)
    if channels.ntfy:
        headers = {
            "Title": Header(title, "utf-8").encode(linesep="") if not title.isascii() else title,
            "Priority": "high" if serious else "default",
            "Tags": "warning" if serious else "white_check_mark",
        }
        text = (message.text or title).encode()
        yield _name("ntfy", channels.ntfy), lambda: _request(http, channels.ntfy, headers, text)
    if channels.webhook:
        document = {
            "event": message.kind,
            "profile": message.profile,
            "task": message.task,
            "host": channels.host,
            "title": message.title,
            "text": message.text,
            "summary": summary,
        }
        as_json = {"Content-Type": "application/json"}
        data = json.dumps(document).encode()
        yield _name("webhook", channels.webhook), lambda: _request(http, channels.webhook, as_json, data)
    if channels.mail:
        yield "mail", lambda: _mail(title, message.text, channels.mail, channels.sendmail)
    if channels.apprise:
        yield "apprise", lambda: _notify(title, message.text, channels.apprise, serious=serious)


def _show(message: Message, session_bus: str) -> None:
    show_notification(session_bus, message.title, message.text, stays=message.kind in _SERIOUS)


def _request(http: HttpSettings, url: str, headers: dict[str, str], body: bytes | None, suffix: str = "") -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("the URL is invalid: it must begin with https:// and a host")
    if suffix:
        url = urlunsplit(parts._replace(path=parts.path.rstrip("/") + suffix))
    method = "GET" if body is None else "POST"
    with contextlib.closing(HttpClient(replace(http, stall_seconds=HTTP_SECONDS), 1)) as client:
        # The content of the answer says nothing, so it is not read.
        answer = Redirects(url).follow(
            "", lambda address: client.send(method, address, headers=headers, body=body, max_length=0)
        )
    if answer.status >= 300:
        raise BackendError(f"{_host(url)} answered with status {answer.status}")


def _mail(title: str, text: str, addresses: str, sendmail: str) -> None:
    to = [address.strip() for address in addresses.split(",")]
    if any(address[:1] in ("", "-") for address in to):
        raise UsageError("the address is invalid")
    mail = email.message.EmailMessage()
    # A line break would begin another header.
    mail["Subject"] = " ".join(title.split())
    mail["To"] = ", ".join(to)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{text}\n")
    # Nothing of our own environment, which may have secrets; some read their settings in the home folder.
    user = pwd.getpwuid(os.getuid())
    environment = {"PATH": _PATH, "HOME": user.pw_dir, "LOGNAME": user.pw_name, "USER": user.pw_name}
    command = [sendmail, "-i", *to]
    done = subprocess.run(  # noqa: S603 - the owner's program and address
        command, input=bytes(mail), capture_output=True, timeout=MAIL_SECONDS, env=environment
    )
    if done.returncode != 0:
        raise BackendError(f"{sendmail} ended with {done.returncode}")


def _notify(title: str, text: str, urls: tuple[str, ...], *, serious: bool) -> None:
    try:
        # An extra, and half a second: only those who have such a URL pay for it.
        import apprise
    except ImportError as error:
        raise UnsupportedError("apprise is not installed; install pyrestic with the extra `notify`") from error
    # Its log names URLs.
    logging.getLogger("apprise").disabled = True
    notifier = apprise.Apprise()
    if not all(notifier.add(url) for url in urls):
        raise UsageError("a URL is invalid")
    sent: list[bool] = []

    def work() -> None:
        with contextlib.suppress(Exception):
            kind = apprise.NotifyType.WARNING if serious else apprise.NotifyType.INFO
            sent.append(bool(notifier.notify(title=title, body=text or title, notify_type=kind)))

    thread = threading.Thread(target=work, name="apprise", daemon=True)
    thread.start()
    thread.join(APPRISE_SECONDS)
    if not sent:
        raise BackendError(f"it did not end within {APPRISE_SECONDS:g} seconds" if thread.is_alive() else "it failed")
    if not sent[0]:
        raise BackendError("a service did not accept the message")


def _name(kind: str, url: str) -> str:
    return f"{kind} ({_host(url) or 'invalid URL'})"


def _host(url: str) -> str:
    """Return the host of a URL, the only part of it that is shown."""
    with contextlib.suppress(PyresticError):
        return show_host(url)
    return ""


def _describe(error: Exception) -> str:
    if isinstance(error, PyresticError):
        return str(error)
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it did not end within {MAIL_SECONDS:g} seconds"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    # Texts of others may contain the URL.
    return f"it failed ({type(error).__name__})"
