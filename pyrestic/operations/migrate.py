"""Migrations: changes of a repository as a whole. The only one that is left makes version 2 out of version 1."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from pyrestic.errors import BackendError, NotFoundError, PyresticError, UsageError
from pyrestic.format.config import LATEST_VERSION, Config
from pyrestic.format.document import decode
from pyrestic.repository.repository import CONFIG, Repository

_OLD_VERSION: Final = 1
_fields_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration: its name, what it does, and how."""

    name: str
    description: str
    refusal: Callable[[Repository], str]
    """Tells why it cannot be applied, "" if it can."""
    apply: Callable[[Repository, Callable[[bytes], str]], None]
    """Applies it; the function it is given keeps a copy of the old config somewhere else and returns where."""


def _refuse_upgrade(repository: Repository) -> str:
    version = repository.config.version
    return "" if version == _OLD_VERSION else f"repository is already upgraded to version {version}"


def _upgrade(repository: Repository, keep: Callable[[bytes], str]) -> None:
    """Replace the config, in one step where the place can do that."""
    version = repository.config.version
    if version != _OLD_VERSION:
        raise UsageError(f"repository has version {version}, only upgrades from version 1 are supported")
    backend = repository.backend
    old = backend.load(CONFIG)
    document = upgraded(repository.codec.open(old))
    new = repository.codec.seal(document)
    copy = keep(old)
    try:
        backend.save(CONFIG, new)
        if backend.load(CONFIG) == new:
            return
    except BackendError:
        # Places that do not let a file be replaced, such as most REST servers, let it be removed.
        pass
    try:
        _remove_config(repository)
        backend.save(CONFIG, new)
    except BackendError as error:
        raise _put_back(repository, old, copy, error) from error


def upgraded(plain: bytes) -> bytes:
    """Return the config with another version; what else it says stays, unknown fields included."""
    fields = decode(_fields_decoder, plain, "the config")
    fields["version"] = msgspec.Raw(str(LATEST_VERSION).encode())
    document = msgspec.json.encode(fields)
    Config.parse(document)
    return document


def _remove_config(repository: Repository) -> None:
    try:
        repository.backend.remove(CONFIG)
    except NotFoundError:
        pass


def _put_back(repository: Repository, old: bytes, copy: str, error: BackendError) -> PyresticError:
    """Store the old config again and return the error that tells of all that."""
    outcome = "the old config file is in its place again"
    try:
        _remove_config(repository)
        repository.backend.save(CONFIG, old)
    except BackendError as second:
        outcome = f"putting the old config file back failed as well ({second})"
    return PyresticError(f"error uploading config ({error}), {outcome}, there is a copy of it in {copy}")


MIGRATIONS: Final = (Migration("upgrade_repo_v2", "upgrade a repository to version 2", _refuse_upgrade, _upgrade),)
