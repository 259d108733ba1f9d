"""Opens the config file of a repository with a key."""

from typing import Final

from pyrestic.backend.base import Backend
from pyrestic.errors import UnauthenticError
from pyrestic.format.compress import Compression
from pyrestic.format.config import Config
from pyrestic.handle import FileType, Handle
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.keys import OpenedKey
from pyrestic.repository.rereading import read_again

_CONFIG: Final = Handle(FileType.CONFIG, "")


def open_config(backend: Backend, key: OpenedKey, sealed: bytes) -> Config:
    """Return the config, whose bytes were loaded once; raise DamageError."""
    codec = BlobCodec(key.master, 1, Compression.OFF)
    loaded = [sealed]
    try:
        plain = read_again(backend, _CONFIG, lambda: codec.open(loaded.pop() if loaded else backend.load(_CONFIG)))
    except UnauthenticError as error:
        raise UnauthenticError(f"config or key {key.id.hex()} is damaged") from error
    return Config.parse(plain)
