"""What the machine itself offers as an identity: the metadata service of its cloud, and programs that sign in."""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Mapping

from pyrestic.backend.child import without_secrets
from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.errors import AccessError

METADATA_STALL_SECONDS = 10.0
PROGRAM_SECONDS = 60.0

_DMI = "/sys/class/dmi/id"


def read_dmi(name: str, folder: str = _DMI) -> str:
    """Return what the firmware says about the machine, such as "sys_vendor", "" if it says nothing."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            return file.read(1000).strip()
    except OSError:
        return ""


def make_metadata_client(settings: HttpSettings) -> HttpClient:
    """Return a client for the metadata service of a virtual machine: never by a proxy, and without a long wait."""
    return HttpClient(dataclasses.replace(settings, proxies={}, stall_seconds=METADATA_STALL_SECONDS), 1)


def find_program(name: str, environment: Mapping[str, str]) -> str:
    """Return the absolute path of a program, "" if there is none; folders relative to the current one do not count."""
    folders = [folder for folder in environment.get("PATH", "").split(os.pathsep) if os.path.isabs(folder)]
    return shutil.which(name, path=os.pathsep.join(folders)) or ""


def run_program(words: list[str], environment: Mapping[str, str], doing: str, hint: str) -> bytes:
    """Return the output of a program; raise AccessError if it fails. Its own messages may contain secrets."""
    try:
        return subprocess.check_output(  # noqa: S603 - a vendor's program on the user's PATH
            words,
            env=without_secrets(environment),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROGRAM_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise AccessError(f"{doing} failed: {words[0]} ended with exit status {error.returncode}", hint=hint) from None
    except subprocess.TimeoutExpired:
        raise AccessError(f"{doing} failed: {words[0]} did not end in time", hint=hint) from None
    except OSError as error:
        raise AccessError(f"{doing} failed: {words[0]} could not be started: {error.strerror}", hint=hint) from None
