"""The way of the real restic to the service: a proxy that leads the public host name to a TLS end on loopback.

Its client only knows the address of the public API. Configured with an HTTPS proxy, the client asks the proxy to
connect, and reaches a server with a certificate of a temporary authority that it is configured to trust.
"""

import contextlib
import datetime as dt
import socketserver
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tools.b2_service.server import Handler, Server

PUBLIC_HOST = "api.backblazeb2.com"
_DAY = dt.timedelta(days=1)


class Front(socketserver.ThreadingTCPServer):
    """The proxy. `folder` gets the certificates; `ca_file` is the one to trust."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    block_on_close = False

    def __init__(self, port: int, server: Server, folder: Path) -> None:
        self.ca_file, pair = make_certificates(folder)
        self.service_server = server
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(pair)
        self.refused: list[str] = []
        super().__init__(("127.0.0.1", port), _Proxy)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that broke."""

    def stop(self) -> None:
        """End the proxy."""
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Proxy(socketserver.BaseRequestHandler):
    """One connection through the proxy."""

    server: Front

    def handle(self) -> None:
        """Answer CONNECT, then speak TLS and HTTP in place of the public host."""
        with contextlib.suppress(OSError):
            self.request.settimeout(60)
            head = b""
            while b"\r\n\r\n" not in head and len(head) < 65536:
                data = self.request.recv(4096)
                if not data:
                    return
                head += data
            words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            if words[:2] != ["CONNECT", f"{PUBLIC_HOST}:443"]:
                # Nothing but the one host, and nothing beyond this machine.
                self.server.refused.append(" ".join(words[:2]))
                self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with self.server.tls.wrap_socket(self.request, server_side=True) as secured:
                Handler(secured, self.client_address, self.server.service_server)


def make_certificates(folder: Path, host: str = PUBLIC_HOST) -> tuple[Path, Path]:
    """Return a file with the certificate of a new authority, and one with a certificate and key for a host."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _name("throw-away authority")
    certificate = _build(authority, authority, authority_key, authority_key, x509.BasicConstraints(True, 0), True)
    ca_file = folder / "authority.pem"
    ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    own = _build(_name(host), authority, key, authority_key, names, False)
    pair = folder / "server.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(
        own.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ca_file, pair


def _build(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
    critical: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 30 * _DAY)
        .add_extension(extension, critical=critical)
        .sign(issuer_key, hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
