"""Locations on SSH servers: `sftp://[USER@]HOST[:PORT]/PATH` and `sftp:[USER@]HOST:PATH`, and the command for `ssh`."""

import posixpath
import re
from dataclasses import dataclass
from urllib.parse import unquote

from pyrestic.backend.command_words import split_option
from pyrestic.errors import UsageError

_bad_escape = re.compile(r"%(?![0-9a-fA-F]{2})").search
_bad_character = re.compile(r"[\x00-\x1f\x7f]").search


@dataclass(frozen=True, slots=True)
class SftpPlace:
    """A folder on a server. `path` is absolute, or relative to the home folder; user and port may be ""."""

    user: str
    host: str
    port: str
    path: str

    def command(self, command: str, arguments: str) -> list[str]:
        """Return the words that start the session, from the values of two options; raise UsageError."""
        if command:
            words = split_option(command, "sftp.command")
            if arguments:
                raise UsageError("cannot specify both sftp.command and sftp.args options")
            return words
        words = ["ssh", self.host]
        if self.port:
            words += ["-p", self.port]
        if self.user:
            words += ["-l", self.user]
        if arguments:
            words += split_option(arguments, "sftp.args")
        return [*words, "-s", "sftp"]


def parse_sftp(address: str) -> SftpPlace:
    """Return the place from what follows `sftp:`; raise UsageError."""
    place = _parse_url(address[2:]) if address.startswith("//") else _parse_short(address)
    if not place.host:
        raise UsageError("the location of the repository names no host")
    if place.host.startswith("-"):
        # ssh would take it for an option, which may name any program.
        raise UsageError(f"the name of a host cannot start with a hyphen: {place.host}")
    if place.path.startswith("~"):
        raise UsageError(
            "the path of the repository starts with ~, which most SFTP servers take literally",
            hint="A path without a slash at its beginning is relative to the home folder.",
        )
    return place


def _parse_url(text: str) -> SftpPlace:
    """Read the URL as Go does; a password in it is ignored, as in restic."""
    text = text.partition("#")[0].partition("?")[0]
    if _bad_character(text) or _bad_escape(text):
        raise UsageError("the URL of the SFTP server is invalid")
    authority, slash, path = text.partition("/")
    if not slash:
        raise UsageError("the location of the repository names no directory")
    user_info, _, host_port = authority.rpartition("@")
    user = unquote(user_info.partition(":")[0])
    if host_port.startswith("["):
        host, bracket, port = host_port[1:].partition("]")
        if not bracket or port[:1] not in ("", ":"):
            raise UsageError("the URL of the SFTP server is invalid")
        port = port[1:]
    else:
        host, _, port = host_port.partition(":")
    if not re.fullmatch("[0-9]*", port):
        raise UsageError("the port of the SFTP server is not a number")
    return SftpPlace(user, unquote(host), port, _cleaned(unquote(path, errors="surrogateescape")))


def _parse_short(text: str) -> SftpPlace:
    authority, colon, path = text.partition(":")
    if not colon:
        raise UsageError("the location of the repository must be sftp:HOST:PATH or sftp://HOST/PATH")
    # As in restic: the second of two @ ends the user, and further ones belong to the host.
    first, at, rest = authority.partition("@")
    second, more, host = rest.partition("@")
    if not at:
        return SftpPlace("", authority, "", _cleaned(path))
    if more:
        return SftpPlace(f"{first}@{second}", host, "", _cleaned(path))
    return SftpPlace(first, rest, "", _cleaned(path))


def _cleaned(path: str) -> str:
    """Return a path without empty parts and dots, as Go's path.Clean does."""
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned[1:] if cleaned.startswith("//") else cleaned
