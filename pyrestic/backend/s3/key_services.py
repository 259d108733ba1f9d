"""Temporary access keys from services: STS, containers, and the metadata service of EC2."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import msgspec

from pyrestic.backend.http import Answer, HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.leases import Lease
from pyrestic.backend.plain_xml import parse_xml
from pyrestic.backend.s3.errors import s3_error
from pyrestic.backend.s3.key_files import parse_end, read_text
from pyrestic.backend.s3.signer import S3Key, make_query, sign
from pyrestic.backend.statuses import error_of
from pyrestic.backend.transport import is_loopback
from pyrestic.errors import AccessError, BackendError, FormatError

METADATA_SECONDS = 3.0
"""The stall limit of requests to metadata services, which are on this machine or one hop away."""

_MAX_BYTES = 1 << 20
_SESSION = "pyrestic"
_EC2 = "http://169.254.169.254"
_CONTAINER = "http://169.254.170.2"
_CONTAINER_HOSTS = {"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}
_ROLES = "/latest/meta-data/iam/security-credentials/"


class _Credentials(msgspec.Struct, rename="pascal"):
    """What metadata services answer."""

    access_key_id: str
    secret_access_key: str
    token: str = ""
    expiration: str = ""


@dataclass(frozen=True, slots=True)
class KeyServices:
    """How services are reached. `region` is that of the repository, "" if none is set."""

    environment: Mapping[str, str] = field(repr=False)
    http: HttpSettings
    region: str
    clock: Callable[[], float] = time.time

    def from_web_identity(self) -> Lease[S3Key] | None:
        """Return a key for the token in a file, None if no such file is named; raise BackendError."""
        path, role = self._get("AWS_WEB_IDENTITY_TOKEN_FILE"), self._get("AWS_ROLE_ARN")
        if not path:
            return None
        if not role:
            raise AccessError("AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is empty")
        form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", self._get("AWS_ROLE_SESSION_NAME") or _SESSION),
            ("WebIdentityToken", read_text(path, "the web identity token")),
        ]
        endpoint = self._get("AWS_ENDPOINT_URL_STS") or _sts_endpoint(self._get("AWS_REGION") or self.region)
        return self._ask_sts(endpoint, form, None, self.region)

    def assume_role(self, key: S3Key) -> Lease[S3Key] | None:
        """Return a key of the role that is set for restic, None if none is set; raise BackendError."""
        role = self._get("RESTIC_AWS_ASSUME_ROLE_ARN")
        if not role:
            return None
        region = self._get("RESTIC_AWS_ASSUME_ROLE_REGION") or self.region
        form = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", self._get("RESTIC_AWS_ASSUME_ROLE_SESSION_NAME") or _SESSION),
            ("DurationSeconds", "3600"),
        ]
        optional = {"ExternalId": "RESTIC_AWS_ASSUME_ROLE_EXTERNAL_ID", "Policy": "RESTIC_AWS_ASSUME_ROLE_POLICY"}
        form += [(name, value) for name, variable in optional.items() if (value := self._get(variable))]
        endpoint = self._get("RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT") or _sts_endpoint(region)
        return self._ask_sts(endpoint, form, key, region)

    def from_container(self) -> Lease[S3Key] | None:
        """Return the key of this container's role, None if it has none; raise BackendError."""
        relative = self._get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        url = f"{_CONTAINER}{relative}" if relative else self._get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if not url:
            return None
        _check_container_url(url)
        token = self._get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if path := self._get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            token = read_text(path, "the token of the container")
        headers = {"Authorization": token} if token else {}
        doing = "getting credentials from the container"
        answer = self._ask_metadata("GET", url, headers, doing)
        return _read_json(answer, doing)

    def from_machine(self) -> Lease[S3Key] | None:
        """Return the key of this EC2 instance's role, None if this is no instance or has no role."""
        if self._get("AWS_EC2_METADATA_DISABLED").lower() == "true":
            return None
        endpoint = (self._get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _EC2).rstrip("/")
        doing = "getting credentials from the metadata service"
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
        try:
            token = self._ask_metadata("PUT", f"{endpoint}/latest/api/token", lifetime, doing).body.decode()
            headers = {"X-aws-ec2-metadata-token": token}
            role = self._ask_metadata("GET", f"{endpoint}{_ROLES}", headers, doing).body.decode().split()
        except (BackendError, ValueError):
            # Most machines are none of Amazon's.
            return None
        if not role or not role[0].isascii() or not role[0].isprintable():
            return None
        return _read_json(self._ask_metadata("GET", f"{endpoint}{_ROLES}{role[0]}", headers, doing), doing)

    def _get(self, variable: str) -> str:
        return self.environment.get(variable, "")

    def _ask_metadata(self, method: str, url: str, headers: Mapping[str, str], doing: str) -> Answer:
        settings = replace(self.http, stall_seconds=METADATA_SECONDS, proxies={})
        answer = _send_once(settings, method, url, headers, None)
        if answer.status != 200:
            raise error_of(answer, doing, service="the service")
        return answer

    def _ask_sts(self, endpoint: str, form: Sequence[tuple[str, str]], key: S3Key | None, region: str) -> Lease[S3Key]:
        doing = "getting temporary credentials"
        body = make_query(form).encode()
        url = endpoint.rstrip("/") + "/"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if key is not None:
            headers = sign(
                key,
                "POST",
                url,
                headers,
                region=region or "us-east-1",
                seconds=self.clock(),
                service="sts",
                payload_hash=hashlib.sha256(body).hexdigest(),
            )
        answer = _send_once(self.http, "POST", url, headers, body)
        if answer.status != 200:
            raise s3_error(answer, doing)
        try:
            root = parse_xml(answer.body)
            names = (root.children[0].name, "Credentials") if root.children else ()
            found = [root.read(*names, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
            ends = parse_end(root.read(*names, "Expiration").strip())
        except (FormatError, ValueError):
            raise AccessError(f"{doing} failed: the response did not come from a token service") from None
        if not (found[0] and found[1]):
            raise AccessError(f"{doing} failed: the response has no credentials")
        return Lease(S3Key(*(text.strip() for text in found)), ends)


def _send_once(settings: HttpSettings, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
    """Send one request over a connection of its own: keys are fetched once an hour or less."""
    client = HttpClient(settings, 1)
    try:
        return client.send(method, url, headers=headers, body=body, max_length=_MAX_BYTES)
    finally:
        client.close()


def _read_json(answer: Answer, doing: str) -> Lease[S3Key]:
    try:
        found = msgspec.json.decode(answer.body, type=_Credentials)
        ends = parse_end(found.expiration)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise AccessError(f"{doing} failed: the response has no credentials") from None
    return Lease(S3Key(found.access_key_id, found.secret_access_key, found.token), ends)


def _check_container_url(url: str) -> None:
    """Raise AccessError for a URL to which a token would go unencrypted over a network."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise AccessError("AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL")
    if parts.scheme == "http" and host not in _CONTAINER_HOSTS and not is_loopback(host):
        raise AccessError(
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI names {host}, and is not encrypted; nothing is sent there"
        )


def _sts_endpoint(region: str) -> str:
    if not region:
        return "https://sts.amazonaws.com"
    return f"https://sts.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
