"""`CONTAINER:/PREFIX`, the form of locations at azure:, gs: and swift:."""

import posixpath
from typing import NamedTuple

from pyrestic.errors import UsageError


class ContainerPath(NamedTuple):
    """A container or bucket, and the prefix of the repository's names in it, "" for none."""

    container: str
    prefix: str


def parse_container_path(scheme: str, address: str) -> ContainerPath:
    """Return the parts of `CONTAINER:[/]PREFIX`, the prefix cleaned and without its slash; raise UsageError."""
    container, colon, prefix = address.partition(":")
    check_container(scheme, container)
    if not colon:
        raise UsageError(
            f"the location {scheme}:{address} has no colon after {container}",
            hint=f"Write {scheme}:{container}:/ for its top level, or {scheme}:{container}:/PREFIX.",
        )
    return ContainerPath(container, clean_prefix(prefix).removeprefix("/"))


def check_container(scheme: str, name: str) -> None:
    """Raise UsageError if nothing can have this name."""
    if not name or "/" in name or name in (".", "..") or not name.isprintable():
        raise UsageError(f"{name!r} is not the name of a container", hint=f"Write {scheme}:CONTAINER:/PREFIX.")


def clean_prefix(prefix: str) -> str:
    """Return a path as Go cleans it: without double slashes and dots; "" for the top level. Raises UsageError.

    A prefix that leads out of the container is refused: the HTTP library would take its dots as a way to another one.
    """
    if not prefix:
        return ""
    clean = posixpath.normpath(prefix)
    # Two slashes at the beginning mean something else only to POSIX.
    clean = "/" + clean.lstrip("/") if clean.startswith("/") else clean
    if ".." in clean.split("/"):
        raise UsageError(f"the prefix {prefix!r} leads out of the container or bucket", hint="Write it without `..`.")
    return "" if clean == "." else clean
