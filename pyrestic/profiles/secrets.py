"""Reads the secrets that profiles name; none of them is ever in a message."""

import os
import stat
from collections.abc import Mapping

from pyrestic.errors import UsageError
from pyrestic.profiles.profile import Profile, Secret

PASSWORD = "password"  # noqa: S105 - the kind of a secret, not one
_MAX_BYTES = 1 << 16


def read_secret(secret: Secret, profile: str, kind: str, environment: Mapping[str, str]) -> str:
    """Return a secret of a profile; raise UsageError, or DesktopError if the key ring does not answer.

    `kind` is "password" or the name of a variable. Surrounding whitespace, such as a line break, is no part of it.
    """
    text = _read(secret, profile, kind, environment).strip()
    if not text or "\0" in text:
        raise UsageError(f"{_name(profile, kind)}: the {secret.source} contains {'a zero byte' if text else 'nothing'}")
    return text


def read_variables(profile: Profile, environment: Mapping[str, str], *, password: bool) -> dict[str, str]:
    """Return the variables of a profile with their secrets, and RESTIC_PASSWORD if the password is needed."""
    values = {
        name: value if isinstance(value, str) else read_secret(value, profile.name, name, environment)
        for name, value in profile.env.items()
    }
    if password and profile.password is not None:
        values["RESTIC_PASSWORD"] = read_secret(profile.password, profile.name, PASSWORD, environment)
    return values


def _name(profile: str, kind: str) -> str:
    return f"profile {profile}, {kind}"


def _read(secret: Secret, profile: str, kind: str, environment: Mapping[str, str]) -> str:
    argument = secret.argument
    if isinstance(argument, tuple):
        return _run(argument, profile, kind)
    if secret.source == "keyring":
        return _ask_key_ring(profile, kind, environment)
    if secret.source == "file":
        return _read_file(argument, _name(profile, kind))
    folder = environment.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise UsageError(
            f"{_name(profile, kind)}: there is no credential {argument!r}, as CREDENTIALS_DIRECTORY is not set",
            hint="Only services that systemd starts have credentials.",
        )
    return _read_file(os.path.join(folder, argument), _name(profile, kind))


def _read_file(path: str, name: str) -> str:
    """Return the content of a file of this user that nobody else can read."""
    try:
        # Without O_NONBLOCK, opening a pipe would block forever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{name}: {path} is not a regular file")
            if status.st_uid != os.geteuid():
                raise UsageError(f"{name}: {path} belongs to another user", hint="Only a file of your own is read.")
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise UsageError(f"{name}: others may read {path}", hint=f"Run chmod 600 {path}.")
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}: {path} cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise UsageError(f"{name}: {path} is too large for a secret")
    return _decode(content, name)


def _run(words: tuple[str, ...], profile: str, kind: str) -> str:
    """Return the output of a command; there is no shell."""
    # Rarely needed.
    import subprocess

    name = _name(profile, kind)
    try:
        output = subprocess.check_output(words)  # noqa: S603 - the user's own command
    except subprocess.CalledProcessError as error:
        raise UsageError(f"{name}: the command {words[0]!r} failed with exit code {error.returncode}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{name}: the command {words[0]!r} could not be started: {reason}") from error
    return _decode(output, name)


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{name}: it is not UTF-8") from None


def _ask_key_ring(profile: str, kind: str, environment: Mapping[str, str]) -> str:
    from pyrestic.desktop import bus, keyring

    secret = keyring.read_secret(bus.find_session_bus(environment, os.getuid()), profile, kind)
    if secret is None:
        raise UsageError(f"{_name(profile, kind)}: the key ring does not contain it")
    return secret
