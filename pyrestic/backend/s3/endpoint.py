"""`s3:HOST/BUCKET[/PREFIX]`, and the hosts and regions that its requests go to.

A service may name another region, and another host: it is used only if it belongs to the same service. So a redirect
takes no credentials and no files elsewhere, and nothing goes over plain http after https.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pyrestic.backend.container_path import clean_prefix
from pyrestic.errors import UsageError

DEFAULT_REGION = "us-east-1"
LOOKUPS = ("auto", "dns", "path")

_REGION = r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}"
_AMAZON = re.compile(rf"s3(?:-external-1|(?:[.-]dualstack)?[.-](?P<region>{_REGION}))?\.amazonaws\.com(?:\.cn)?")
"""The public hosts of S3. Others below amazonaws.com (FIPS, PrivateLink) are used as they are written."""
_OTHER_DNS = re.compile(r"(?:storage\.googleapis\.com|oss-[a-z0-9-]+\.aliyuncs\.com)")
"""Further services whose buckets have hosts of their own."""
_is_region = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_is_host = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?").fullmatch
_is_bucket = re.compile(r"[A-Za-z0-9._-]{1,255}").fullmatch


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket of a service, and the prefix of the repository's keys. `host` may have a port."""

    scheme: str
    host: str
    bucket: str
    prefix: str


def parse_s3(address: str) -> S3Location:
    """Return the parts of `[//]HOST/BUCKET[/PREFIX]` or `http[s]://HOST/BUCKET[/PREFIX]`; raise UsageError."""
    scheme = "https"
    if address.startswith("http"):
        try:
            parts = urlsplit(address)
            host = parts.netloc.rpartition("@")[2]
        except ValueError:
            raise UsageError("the URL of the S3 service is invalid") from None
        if parts.scheme not in ("http", "https"):
            # As in restic, such a text is never a host.
            raise UsageError("the URL of an S3 service must start with http:// or https://")
        scheme = parts.scheme
        rest = unquote(parts.path).removeprefix("/")
    else:
        host, _, rest = address.removeprefix("//").partition("/")
    bucket, _, prefix = rest.partition("/")
    if not _is_host(host):
        raise UsageError(f"{host!r} is not the host of an S3 service", hint="Write s3:HOST/BUCKET/PREFIX.")
    if not bucket:
        raise UsageError("the location names no bucket", hint="Write s3:HOST/BUCKET/PREFIX.")
    if not _is_bucket(bucket) or bucket.startswith("."):
        raise UsageError(f"{bucket!r} is not the name of a bucket")
    return S3Location(scheme, _without_default_port(scheme, host.lower()), bucket, clean_prefix(prefix))


class S3Address:
    """Where the requests of one bucket go. Thread-safe: each method reads or replaces one attribute."""

    def __init__(self, location: S3Location, *, region: str, lookup: str) -> None:
        self._location = location
        self._amazon = _AMAZON.fullmatch(location.host)
        its_region = self._amazon["region"] if self._amazon else None
        self.region = region or its_region or DEFAULT_REGION
        self.certain = bool(region or its_region)
        """Whether the region was named, so that it need not be asked for."""
        self._lookup = lookup
        self._redirected = ""
        if location.prefix.startswith("/") and self._uses_dns():
            raise UsageError(
                "the prefix starts with a second slash, which the HTTP library drops from the URL",
                hint="Write one slash, or use -o s3.bucket-lookup=path if files are stored there.",
            )

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return self._location.bucket

    def make_url(self, path: str, query: str) -> str:
        """Return the URL of a request: `path` is a quoted key, "" for the bucket."""
        host = self._find_host()
        if self._uses_dns():
            base = f"{self._location.scheme}://{self._redirected or f'{self.bucket}.{host}'}/"
        else:
            base = f"{self._location.scheme}://{self._redirected or host}/{self.bucket}"
            base += "/" if path else ""
        return f"{base}{path}?{query}" if query else f"{base}{path}"

    def learn_region(self, name: str) -> bool:
        """Use the region that the service names; return False if that is none, or the one in use."""
        if not _is_region(name) or name == self.region or (self._amazon and not re.fullmatch(_REGION, name)):
            return False
        self.region = name
        return True

    def learn_host(self, url: str) -> bool:
        """Use the host of a redirect; return False if it does not belong to the service or is the one in use."""
        try:
            parts = urlsplit(url)
            host = _without_default_port(parts.scheme, parts.netloc.lower())
        except ValueError:
            return False
        if parts.scheme != self._location.scheme or not _is_host(host) or host == self._redirected:
            return False
        bare = host.removeprefix(f"{self.bucket.lower()}.") if self._uses_dns() else host
        own = self._location.host
        related = _AMAZON.fullmatch(bare) if self._amazon else bare == own or bare.endswith(f".{own}")
        if not related:
            return False
        self._redirected = host
        return True

    def _find_host(self) -> str:
        if self._amazon is None:
            return self._location.host
        china = ".cn" if self.region.startswith("cn-") else ""
        return f"s3.dualstack.{self.region}.amazonaws.com{china}"

    def _uses_dns(self) -> bool:
        if self._lookup != "auto":
            return self._lookup == "dns"
        if self._location.scheme == "https" and "." in self.bucket:
            # No certificate is valid for two levels of names.
            return False
        return self._amazon is not None or _OTHER_DNS.fullmatch(self._location.host) is not None


def _without_default_port(scheme: str, host: str) -> str:
    """Return a host as requests sends and thus signs it."""
    return host.removesuffix(":443" if scheme == "https" else ":80")
