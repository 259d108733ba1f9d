"""The location of a repository: the text of `--repo`, a Location, and its backend.

Only this module knows all backends. A new one adds its scheme to _OPENERS, with a function from address, settings and
access to a backend. Backends that use HTTP are imported on demand, because importing requests is slow.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pyrestic.backend import local
from pyrestic.backend.base import Backend
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.local import LocalBackend
from pyrestic.backend.plugins import has_plugin, load_plugin
from pyrestic.backend.wrap.limit import LimitBackend, TokenBucket
from pyrestic.errors import UnsupportedError, UsageError
from pyrestic.golang import parse_integer
from pyrestic.nearest import suggest

LOCAL = "local"
SCHEMES = (LOCAL, "sftp", "rest", "s3", "b2", "azure", "gs", "swift", "rclone")
"""Every scheme of restic."""

EXTENDED_OPTIONS = {
    "b2.as-of": "open the repository as of this time, read-only",
    "b2.connections": "number of concurrent connections (default: 5)",
    "b2.deadline": "seconds to retry one operation before failing (default: 900, or 90 if B2 was never reached)",
    "b2.endpoint": "another host for the API, as a URL",
    "local.connections": "number of concurrent operations (default: 2)",
    "rest.connections": "number of concurrent connections (default: 5)",
    "rest.deadline": "seconds to retry one operation before failing (default: 900, or 90 if never reached)",
}
"""The options for `-o name=value`, with help texts."""

_is_path = re.compile(r"\.\./|\.\.\\|/|\\|[a-zA-Z]:[/\\]").match


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """A scheme of SCHEMES and the rest. `address` may contain a password: show `str(location)` instead."""

    scheme: str
    address: str

    def __str__(self) -> str:
        return strip_password(self.address if self.scheme == LOCAL else f"{self.scheme}:{self.address}")

    def __repr__(self) -> str:
        return f"<Location {self}>"


@dataclass(frozen=True, slots=True)
class Access:
    """Further settings of a backend: credentials by variable name, HTTP settings, rate limits."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    http: HttpSettings = field(default_factory=HttpSettings)
    upload: TokenBucket | None = None
    download: TokenBucket | None = None


class _Settings:
    """The extended options of one scheme, `-o scheme.name=value`; each is taken once."""

    def __init__(self, scheme: str, options: Mapping[str, str]) -> None:
        self._scheme = scheme
        prefix = f"{scheme}."
        self._values = {key[len(prefix) :]: value for key, value in options.items() if key.startswith(prefix)}

    def take_count(self, name: str, default: int) -> int:
        """Return a number of one or more; raise UsageError for anything else."""
        text = self._values.pop(name, None)
        if text is None:
            return default
        try:
            count = parse_integer(text, signed=False, bits=32)
        except UsageError as error:
            raise UsageError(f"option {self._scheme}.{name}: {error}") from None
        if count == 0:
            raise UsageError(f"option {self._scheme}.{name} must be a number of one or more, not {text!r}")
        return count

    def take_text(self, name: str) -> str:
        """Return a text, "" if it is missing."""
        return self._values.pop(name, "")

    def refuse_rest(self) -> None:
        """Raise UsageError if an option was not taken."""
        if self._values:
            name = f"{self._scheme}.{min(self._values)}"
            raise UsageError(f"option {name} is not known", hint=_suggest_option(name))


def parse_location(text: str) -> Location:
    """Return the location from `path`, `local:path` or `scheme:address`; raise UsageError."""
    scheme, colon, address = text.partition(":")
    if not colon or (scheme not in SCHEMES and not (address and has_plugin(scheme))):
        if colon and not _is_path(text):
            raise UsageError(
                f"{strip_password(text)!r} has no known backend type",
                hint="For a local folder whose name contains a colon, prefix it with local:",
            )
        scheme, address = LOCAL, text
    if not address:
        raise UsageError("the location of the repository is empty")
    return Location(scheme, address)


def strip_password(text: str) -> str:
    """Return a location for display: the password in a URL is replaced by ***."""
    before, mark, url = text.partition("://")
    if not mark:
        return text
    authority, slash, path = url.partition("/")
    user_info, at, host = authority.rpartition("@")
    if not at and "@" in path and not re.fullmatch(r"[^:]*|.*:[0-9]*", authority):
        # A password with a slash that is not escaped.
        user_info, at, host = url.rpartition("@")
        slash = path = ""
    if ":" not in user_info:
        return text
    return f"{before}://{user_info.partition(':')[0]}:***@{host}{slash}{path}"


def _suggest_option(name: str) -> str:
    scheme = name.partition(".")[0]
    of_scheme = [known for known in EXTENDED_OPTIONS if known.startswith(f"{scheme}.")]
    return suggest(name, of_scheme or EXTENDED_OPTIONS, "options")


def describe_unknown_options(options: Mapping[str, str]) -> list[str]:
    """Return a message for each extended option that no backend has.

    As in restic, that is an error only for options of the backend in use. There is no message for backends that restic
    has and this program lacks.
    """
    elsewhere = set(SCHEMES) - _OPENERS.keys()
    unknown = [
        name
        for name in options
        if name not in EXTENDED_OPTIONS
        and name.partition(".")[0] not in elsewhere
        and not has_plugin(name.partition(".")[0])
    ]
    return [f"option {name} is not known. {_suggest_option(name)}".rstrip() for name in unknown]


def deadline_seconds(location: Location, options: Mapping[str, str]) -> float | None:
    """Return the seconds to retry one operation, option `deadline`, None if it is not set; raise UsageError."""
    return _Settings(location.scheme, options).take_count("deadline", 0) or None


def open_backend(location: Location, options: Mapping[str, str], access: Access | None = None) -> Backend:
    """Return the rate-limited backend for a location; nothing is connected or created yet.

    `options` are the extended options, such as {"local.connections": "4"}. Raises UsageError for an invalid option,
    UnsupportedError for a scheme that is not implemented.
    """
    opener = _OPENERS.get(location.scheme)
    if opener is None and has_plugin(location.scheme):
        return _open_plugin(location, options, access or Access())
    if opener is None:
        raise UnsupportedError(
            f"repositories at {location.scheme}: are not supported yet",
            hint=f"Supported are: {', '.join(sorted(_OPENERS))}.",
        )
    settings = _Settings(location.scheme, options)
    settings.take_text("deadline")
    backend = opener(location.address, settings, access or Access())
    settings.refuse_rest()
    return backend


def _open_plugin(location: Location, options: Mapping[str, str], access: Access) -> Backend:
    """Return the backend of another package, which checks its own options; the limits are kept around it."""
    prefix = f"{location.scheme}."
    its = {name[len(prefix) :]: value for name, value in options.items() if name.startswith(prefix)}
    its.pop("deadline", None)
    return _limited(load_plugin(location.scheme)(location.address, its, access), access)


def _limited(backend: Backend, access: Access) -> Backend:
    if access.upload is None and access.download is None:
        return backend
    return LimitBackend(backend, upload=access.upload, download=access.download)


def _open_local(address: str, settings: _Settings, access: Access) -> Backend:
    return _limited(LocalBackend(address, settings.take_count("connections", local.DEFAULT_CONNECTIONS)), access)


def _open_b2(address: str, settings: _Settings, access: Access) -> Backend:
    from pyrestic.backend.b2.location import open_b2, parse_b2

    return open_b2(
        parse_b2(address),
        access.environment,
        access.http,
        endpoint=settings.take_text("endpoint"),
        as_of=settings.take_text("as-of"),
        connections=settings.take_count("connections", 5),
        upload=access.upload,
        download=access.download,
    )


def _open_rest(address: str, settings: _Settings, access: Access) -> Backend:
    from pyrestic.backend.http import HttpClient
    from pyrestic.backend.rest import RestBackend
    from pyrestic.backend.rest_url import parse_rest

    url = parse_rest(address, access.environment)
    connections = settings.take_count("connections", 5)
    client = HttpClient(access.http, connections, upload=access.upload, download=access.download)
    return RestBackend(client, url, connections)


_OPENERS: dict[str, Callable[[str, _Settings, Access], Backend]] = {
    LOCAL: _open_local,
    "b2": _open_b2,
    "rest": _open_rest,
}
