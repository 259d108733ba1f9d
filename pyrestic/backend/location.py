"""Where a repository is: `--repo` as text, as a Location, and as the backend for it.

The only module that knows all backends. A new one adds its scheme to _OPENERS, with a function from address, settings
and access to a backend. Those that speak HTTP are imported when they are wanted: requests takes its time.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pyrestic.backend import local
from pyrestic.backend.base import Backend
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.local import LocalBackend
from pyrestic.backend.wrap.limit import LimitBackend, TokenBucket
from pyrestic.errors import UnsupportedError, UsageError
from pyrestic.golang import parse_integer
from pyrestic.nearest import suggest

LOCAL = "local"
SCHEMES = (LOCAL, "sftp", "rest", "s3", "b2", "azure", "gs", "swift", "rclone")
"""Every scheme restic knows."""

EXTENDED_OPTIONS = {
    "b2.as-of": "open the repository as of this time, read-only",
    "b2.connections": "number of concurrent connections (default: 5)",
    "b2.deadline": "seconds to retry one operation before failing (default: 900, or 90 if B2 was never reached)",
    "b2.endpoint": "another host for the API, as a URL",
    "local.connections": "number of concurrent operations (default: 2)",
    "rest.connections": "number of concurrent connections (default: 5)",
    "rest.deadline": "seconds to retry one operation before failing (default: 900, or 90 if never reached)",
}
"""What `-o name=value` may set, and what it means."""

_is_path = re.compile(r"\.\./|\.\.\\|/|\\|[a-zA-Z]:[/\\]").match


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """A scheme of SCHEMES and what follows it. `address` may hold a password: show `str(location)` instead."""

    scheme: str
    address: str

    def __str__(self) -> str:
        return strip_password(self.address if self.scheme == LOCAL else f"{self.scheme}:{self.address}")

    def __repr__(self) -> str:
        return f"<Location {self}>"


@dataclass(frozen=True, slots=True)
class Access:
    """What else a backend may need: credentials by the names of their variables, HTTP settings, limits to keep."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    http: HttpSettings = field(default_factory=HttpSettings)
    upload: TokenBucket | None = None
    download: TokenBucket | None = None


class _Settings:
    """The extended options of one scheme, `-o scheme.name=value`; each is to be asked for once."""

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
            raise UsageError(f"option {self._scheme}.{name} has to be a number of one or more, not {text!r}")
        return count

    def take_text(self, name: str) -> str:
        """Return a text, "" if it is not given."""
        return self._values.pop(name, "")

    def refuse_rest(self) -> None:
        """Raise UsageError if an option is left that nobody asked for."""
        if self._values:
            name = f"{self._scheme}.{min(self._values)}"
            raise UsageError(f"option {name} is not known", hint=_suggest_option(name))


def parse_location(text: str) -> Location:
    """Return the location written as `path`, `local:path` or `scheme:address`; raise UsageError."""
    scheme, colon, address = text.partition(":")
    if not colon or scheme not in SCHEMES:
        if colon and not _is_path(text):
            raise UsageError(
                f"{strip_password(text)!r} names no known type of backend",
                hint="For a local folder whose name contains a colon, put local: in front.",
            )
        scheme, address = LOCAL, text
    if not address:
        raise UsageError("the location of the repository is empty")
    return Location(scheme, address)


def strip_password(text: str) -> str:
    """Return a location as it may be shown: the password in a URL is replaced by ***."""
    before, mark, url = text.partition("://")
    if not mark:
        return text
    authority, slash, path = url.partition("/")
    user_info, at, host = authority.rpartition("@")
    if not at and "@" in path and not re.fullmatch(r"[^:]*|.*:[0-9]*", authority):
        # A password with a slash in it, not escaped as it should be.
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
    """Return a sentence for each extended option that no backend has.

    As in restic, that is an error only for options of the backend in use. Nothing is said of backends that restic has
    and this program has not.
    """
    elsewhere = set(SCHEMES) - _OPENERS.keys()
    unknown = [name for name in options if name not in EXTENDED_OPTIONS and name.partition(".")[0] not in elsewhere]
    return [f"option {name} is not known. {_suggest_option(name)}".rstrip() for name in unknown]


def deadline_seconds(location: Location, options: Mapping[str, str]) -> float | None:
    """Return for how many seconds one operation is tried in all, option `deadline`, None without; raise UsageError."""
    return _Settings(location.scheme, options).take_count("deadline", 0) or None


def open_backend(location: Location, options: Mapping[str, str], access: Access | None = None) -> Backend:
    """Return the backend for a location, kept below the limits; nothing is connected or created yet.

    `options` are the extended options, such as {"local.connections": "4"}. Raises UsageError for an option that makes
    no sense, UnsupportedError for a scheme that is not implemented.
    """
    opener = _OPENERS.get(location.scheme)
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


def _open_local(address: str, settings: _Settings, access: Access) -> Backend:
    backend = LocalBackend(address, settings.take_count("connections", local.DEFAULT_CONNECTIONS))
    if access.upload is None and access.download is None:
        return backend
    return LimitBackend(backend, upload=access.upload, download=access.download)


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
