"""Migrations: changes of an entire repository. The only remaining one converts version 1 to version 2."""

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
    """A migration: its name, description, and functions."""

    name: str
    description: str
    refusal: Callable[[Repository], str]
    """Returns why it cannot be applied, "" if it can."""
    apply: Callable[[Repository, Callable[[bytes], str]], None]
    """Applies it; the given function stores a copy of the old config elsewhere and returns its path."""


def _refuse_upgrade(repository: Repository) -> str:
    version = repository.config.version
    return "" if version == _OLD_VERSION else f"repository is already upgraded to version {version}"


def _upgrade(repository: Repository, keep: Callable[[bytes], str]) -> None:
    """Replace the config, atomically if the backend supports that."""
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
        # Backends that cannot replace a file, such as most REST servers, can remove it.
        pass
    try:
        _remove_config(repository)
        backend.save(CONFIG, new)
    except BackendError as error:
        raise _put_back(repository, old, copy, error) from error


def upgraded(plain: bytes) -> bytes:
    """Return the config with another version; everything else stays, including unknown fields."""
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
    """Store the old config again and return the error that describes all this."""
    outcome = "the old config file is in its place again"
    try:
        _remove_config(repository)
        repository.backend.save(CONFIG, old)
    except BackendError as second:
        outcome = f"putting the old config file back failed as well ({second})"
    return PyresticError(f"error uploading config ({error}), {outcome}, there is a copy of it in {copy}")


MIGRATIONS: Final = (Migration("upgrade_repo_v2", "upgrade a repository to version 2", _refuse_upgrade, _upgrade),)
