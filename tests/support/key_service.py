"""A service for temporary keys on loopback: STS, the credentials of a container, and EC2's metadata, in one."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

_ROLES = "/latest/meta-data/iam/security-credentials/"
_SESSION_TOKEN = "metadata-token"


@dataclass
class KeyService:
    """What it gives out, and what it was asked: path and form of each request."""

    url: str = ""
    key_id: str = "temporary"
    secret: str = "temporary-secret"
    token: str = "temporary-token"
    ends: float = 4e9
    container_token: str = ""
    failure: int = 0
    asked: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)

    @property
    def actions(self) -> list[str]:
        """The actions that STS was asked for."""
        return [form["Action"] for _, form, _ in self.asked if form]

    def end(self) -> str:
        """Return the time when what is given out ends, as services write it."""
        return datetime.fromtimestamp(self.ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _make_handler(service: KeyService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_PUT(self) -> None:
            right = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self._answer(200 if right else 404, _SESSION_TOKEN)

        def do_GET(self) -> None:
            service.asked.append((self.path, {}, dict(self.headers)))
            keys = {"AccessKeyId": service.key_id, "SecretAccessKey": service.secret, "Token": service.token}
            document = json.dumps({**keys, "Expiration": service.end(), "Code": "Success"})
            if self.path == "/container":
                allowed = self.headers.get("Authorization", "") == service.container_token
                self._answer(service.failure or (200 if allowed else 401), document)
            elif self.headers.get("X-aws-ec2-metadata-token") != _SESSION_TOKEN:
                self._answer(401, "")
            elif self.path == _ROLES:
                self._answer(200, "a-role\n")
            else:
                self._answer(200 if self.path == f"{_ROLES}a-role" else 404, document)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = dict(parse_qsl(body))
            service.asked.append((self.path, form, dict(self.headers)))
            if service.failure:
                error = "<Error><Code>AccessDenied</Code><Message>not you</Message></Error>"
                self._answer(service.failure, f"<ErrorResponse>{error}</ErrorResponse>")
                return
            action = form["Action"]
            keys = (
                f"<AccessKeyId>{service.key_id}</AccessKeyId><SecretAccessKey>{service.secret}</SecretAccessKey>"
                f"<SessionToken>{service.token}</SessionToken><Expiration>{service.end()}</Expiration>"
            )
            result = f"<{action}Result><Credentials>{keys}</Credentials></{action}Result>"
            self._answer(200, f'<{action}Response xmlns="https://sts/">{result}</{action}Response>')

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

    return Handler


@contextlib.contextmanager
def key_service() -> Iterator[KeyService]:
    """Run a service for a with block."""
    service = KeyService()
    with ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(service)) as server:
        service.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
