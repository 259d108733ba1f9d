"""The location of a repository: the text of `--repo`, a Location, and its backend.

This module only knows the names of the schemes. A module of `backend/schemes/` has the options of a scheme and opens
its backend; it is imported on demand, because most backends need requests, which is slow to import.
"""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from pyrestic.backend.base import Backend
from pyrestic.backend.plugins import has_plugin, load_plugin
from pyrestic.backend.scheme_options import Access, SchemeOptions, limited
from pyrestic.errors import UsageError
from pyrestic.nearest import suggest

__all__ = [
    "LOCAL",
    "SCHEMES",
    "Access",
    "Location",
    "deadline_seconds",
    "describe_unknown_options",
    "extended_options",
    "open_backend",
    "parse_location",
    "strip_password",
]

LOCAL = "local"
SCHEMES = (LOCAL, "sftp", "rest", "s3", "b2", "azure", "gs", "swift", "rclone")
"""Every scheme of restic; each has a module in `backend/schemes/`."""

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


class _Scheme(Protocol):
    """A module of `backend/schemes/`."""

    OPTIONS: Mapping[str, str]
    """The options for `-o scheme.name=value`: a help text for each name."""

    def open_place(self, address: str, options: SchemeOptions, access: Access, /) -> Backend:
        """Return the backend for an address; raise UsageError."""


def _find_scheme(name: str) -> _Scheme | None:
    if name not in SCHEMES:
        return None
    return cast("_Scheme", importlib.import_module(f"pyrestic.backend.schemes.{name}"))


def extended_options() -> dict[str, str]:
    """Return the names of all options for `-o name=value`, with help texts."""
    schemes = {name: scheme for name in sorted(SCHEMES) if (scheme := _find_scheme(name))}
    return {f"{name}.{option}": text for name, scheme in schemes.items() for option, text in scheme.OPTIONS.items()}


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
    options = extended_options()
    of_scheme = [known for known in options if known.startswith(f"{scheme}.")]
    return suggest(name, of_scheme or options, "options")


def describe_unknown_options(options: Mapping[str, str]) -> list[str]:
    """Return a message for each extended option that no backend has.

    As in restic, that is an error only for options of the backend in use.
    """
    if not options:
        return []
    known = extended_options()
    unknown = [name for name in options if name not in known and not has_plugin(name.partition(".")[0])]
    return [f"option {name} is not known. {_suggest_option(name)}".rstrip() for name in unknown]


def deadline_seconds(location: Location, options: Mapping[str, str]) -> float | None:
    """Return the seconds to retry one operation, option `deadline`, None if it is not set; raise UsageError."""
    return SchemeOptions(location.scheme, options).take_count("deadline", 0) or None


def open_backend(location: Location, options: Mapping[str, str], access: Access | None = None) -> Backend:
    """Return the rate-limited backend for a location; nothing is connected or created yet.

    `options` are the extended options, such as {"local.connections": "4"}. Raises UsageError for an invalid option,
    UnsupportedError for a scheme that nothing implements.
    """
    access = access or Access()
    scheme = _find_scheme(location.scheme)
    if scheme is None:
        return _open_plugin(location, options, access)
    its = SchemeOptions(location.scheme, options)
    its.take_text("deadline")
    backend = scheme.open_place(location.address, its, access)
    if (left := its.left()) is not None:
        raise UsageError(f"option {left} is not known", hint=_suggest_option(left))
    return backend


def _open_plugin(location: Location, options: Mapping[str, str], access: Access) -> Backend:
    """Return the backend of another package, which checks its own options; the limits are kept around it."""
    prefix = f"{location.scheme}."
    its = {name[len(prefix) :]: value for name, value in options.items() if name.startswith(prefix)}
    its.pop("deadline", None)
    return limited(load_plugin(location.scheme)(location.address, its, access), access)
