"""Certificate files are checked before the first request, in restic's words."""

import ssl
from collections.abc import Iterable

from pyrestic.errors import UsageError


def check_certificates(ca_files: Iterable[str], client_file: str) -> None:
    """Raise UsageError for a file without root certificates, or one without a client certificate and its key."""
    for path in ca_files:
        _read(path, "unable to read root certificate")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except (ssl.SSLError, OSError) as error:
            raise UsageError(f'cannot parse root certificate from "{path}"') from error
    if not client_file:
        return
    _read(client_file, "ReadFile")
    try:
        # A key with a password cannot be used, because there is no prompt for it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(client_file, password="")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", "") or "no certificate with its key is in the file"
        raise UsageError(f"parse TLS client cert or key: {client_file}: {reason}") from error


def _read(path: str, doing: str) -> None:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        verb = "read" if isinstance(error, IsADirectoryError) else "open"
        raise UsageError(f"{doing}: {verb} {path}: {(error.strerror or str(error)).lower()}") from error
