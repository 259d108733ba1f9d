"""Access keys in files of this machine: the vendor's profiles, programs that they name, and MinIO's client."""

import configparser
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from pyrestic.backend.child import without_secrets
from pyrestic.backend.leases import Lease
from pyrestic.backend.s3.signer import S3Key
from pyrestic.errors import AccessError

PROGRAM_SECONDS = 60
"""How long a program may take that makes credentials."""

_MAX_FILE_BYTES = 1 << 20
_KEY_ID, _SECRET, _TOKEN = "aws_access_key_id", "aws_secret_access_key", "aws_session_token"
_PROCESS = "credential_process"
_RARE = ("sso_session", "sso_start_url", "sso_account_id", "role_arn", "credential_source", "web_identity_token_file")


@dataclass(frozen=True, slots=True)
class RareProfile:
    """A profile whose keys need the vendor's library."""

    name: str


class _Printed(msgspec.Struct, rename="pascal"):
    """What a program for credentials prints."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    expiration: str = ""


class _Alias(msgspec.Struct, rename="camel"):
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""


class _MinioSettings(msgspec.Struct):
    aliases: dict[str, _Alias] = {}
    hosts: dict[str, _Alias] = {}


def find_profile(environment: Mapping[str, str]) -> Lease[S3Key] | RareProfile | None:
    """Return the key of the profile in use, None if there is none; raise AccessError if it cannot be used."""
    name = environment.get("AWS_PROFILE", "") or "default"
    paths = [
        _path(environment, "AWS_CONFIG_FILE", ".aws/config"),
        _path(environment, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ]
    values: dict[str, str] = {}
    for path, section in zip(paths, (name if name == "default" else f"profile {name}", name), strict=True):
        values |= _read_section(path, section)
    if not values:
        if environment.get("AWS_PROFILE"):
            raise AccessError(f"there is no profile {name} in {' or '.join(filter(None, paths))}")
        return None
    if values.get(_KEY_ID) and values.get(_SECRET):
        return Lease(S3Key(values[_KEY_ID], values[_SECRET], values.get(_TOKEN, "")))
    if values.get(_KEY_ID) or values.get(_SECRET):
        raise AccessError(f"profile {name} has only one of {_KEY_ID} and {_SECRET}")
    if values.get(_PROCESS):
        return run_program(values[_PROCESS], environment)
    return RareProfile(name) if any(values.get(rare) for rare in _RARE) else None


def find_minio_alias(environment: Mapping[str, str]) -> Lease[S3Key] | None:
    """Return the key of an alias of MinIO's client, None if there is none."""
    text = _read_file(_path(environment, "MINIO_SHARED_CREDENTIALS_FILE", ".mc/config.json"))
    if not text:
        return None
    try:
        settings = msgspec.json.decode(text, type=_MinioSettings)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    alias = (settings.hosts | settings.aliases).get(environment.get("MINIO_ALIAS", "") or "s3")
    if alias is None or not (alias.access_key and alias.secret_key):
        return None
    return Lease(S3Key(alias.access_key, alias.secret_key, alias.session_token))


def run_program(command: str, environment: Mapping[str, str]) -> Lease[S3Key]:
    """Return the key that a program of the user prints; raise AccessError. Its output is never shown."""
    try:
        code, output = _run(shlex.split(command), environment)
    except subprocess.TimeoutExpired:
        raise AccessError(f"the program in {_PROCESS} did not end within {PROGRAM_SECONDS} seconds") from None
    except (OSError, ValueError) as error:
        raise AccessError(f"the program in {_PROCESS} could not be started ({type(error).__name__})") from None
    if code != 0:
        raise AccessError(f"the program in {_PROCESS} failed with exit code {code}")
    try:
        printed = msgspec.json.decode(output, type=_Printed)
        ends = parse_end(printed.expiration)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise AccessError(f"the program in {_PROCESS} printed no credentials") from None
    return Lease(S3Key(printed.access_key_id, printed.secret_access_key, printed.session_token), ends)


def _run(words: list[str], environment: Mapping[str, str]) -> tuple[int, bytes]:
    """Return the exit code and the output of a program; raise OSError, ValueError or TimeoutExpired."""
    with subprocess.Popen(  # noqa: S603 - the user's own file names it
        words,
        env=without_secrets(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            output, _ = process.communicate(timeout=PROGRAM_SECONDS)
        except BaseException:
            process.kill()
            raise
    return process.returncode, output


def parse_end(text: str) -> float | None:
    """Return a time such as 2026-03-01T14:30:00Z in seconds since 1970, None for ""; raise ValueError."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the zone is missing")
    return moment.timestamp()


def read_text(path: str, what: str) -> str:
    """Return a token in a file that is named in the environment; raise AccessError."""
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_FILE_BYTES).decode().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise AccessError(f"unable to read {what} from {path}: {reason}") from None


def _path(environment: Mapping[str, str], variable: str, below_home: str) -> str:
    home = environment.get("HOME", "")
    return environment.get(variable, "") or (os.path.join(home, below_home) if home else "")


def _read_section(path: str, section: str) -> dict[str, str]:
    """Return the values of a section, empty if there is none; raise AccessError for a malformed file."""
    text = _read_file(path)
    parser = configparser.RawConfigParser(strict=False, default_section="\0")
    try:
        parser.read_string(text.decode())
    except (configparser.Error, ValueError) as error:
        # The message of the error may show a line of the file.
        raise AccessError(f"{path} is malformed ({type(error).__name__})") from None
    return dict(parser[section]) if parser.has_section(section) else {}


def _read_file(path: str) -> bytes:
    """Return the content of a file, empty if there is none or it is nobody's business."""
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError:
        return b""
