"""Key files: the master key, sealed with a key that scrypt derives from a password.

A key file is plain JSON; its name is the SHA-256 of its bytes (restic design document, "Keys, Encryption and MAC"). Its
content is not authenticated, so its scrypt cost is limited before scrypt runs.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple

import msgspec

from pyrestic.errors import FormatError, UnauthenticError, UnsupportedError, WrongPasswordError
from pyrestic.format import document
from pyrestic.format.crypto import ENCRYPT_KEY_LENGTH, MAC_KEY_LENGTH, OVERHEAD, MasterKey, Sealer

Scrypt = Callable[[bytes, bytes, int, int, int, int], bytes]
"""(password, salt, n, r, p, length) -> a key of this number of bytes; the parameters have been checked."""

SALT_LENGTH: Final = 64
MAX_MEMORY_BYTES: Final = 1 << 30
"""Memory limit of a key file; restic itself stays below 60 MB."""
MAX_WORK_BYTES: Final = 64 << 30
"""Work limit of a key file in bytes that scrypt fills: some minutes. Restic's keys need about 200 MB."""

_KDF: Final = "scrypt"
_DERIVED_LENGTH: Final = ENCRYPT_KEY_LENGTH + 2 * MAC_KEY_LENGTH
_Positive = Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]

_ENGINE_FROM_N: Final = 1 << 12
_ENGINE_R: Final = 32
_PBKDF2_FILLS: Final = 8
"""PBKDF2 before and after takes as long as filling its bytes this number of times."""


class ScryptParams(NamedTuple):
    """The cost of scrypt: 128 * n * r bytes of memory, filled p times."""

    n: int = 1 << 15
    r: int = 8
    p: int = 1

    @property
    def memory_bytes(self) -> int:
        """Its memory in bytes."""
        return 128 * self.r * (self.n + self.p)

    @property
    def work_bytes(self) -> int:
        """The bytes that it fills, to which its time is proportional."""
        return 128 * (self.n + _PBKDF2_FILLS) * self.r * self.p

    @property
    def suits_engine(self) -> bool:
        """Whether an engine with several parallel lanes is worthwhile; it needs memory for each."""
        return self.n >= _ENGINE_FROM_N and self.r <= _ENGINE_R and self.p > 1


class KeyFile(msgspec.Struct, frozen=True):
    """The content of a key file, in restic's order."""

    created: str
    """RFC 3339 with nanoseconds, as in the file."""
    username: str
    hostname: str
    kdf: str
    n: _Positive = msgspec.field(name="N")
    r: _Positive
    p: _Positive
    salt: bytes
    data: bytes
    """The sealed master key."""

    @property
    def params(self) -> ScryptParams:
        """The scrypt cost of this key file."""
        return ScryptParams(self.n, self.r, self.p)


_decoder: Final = msgspec.json.Decoder(KeyFile)


def create(password: str, key: MasterKey, *, hostname: str, username: str, created: str, params: ScryptParams) -> bytes:
    """Return the bytes of a new key file that opens `key` with this password.

    `created` is a time in the format of gojson.format_time. This takes as long as opening the key file will.
    """
    salt = os.urandom(SALT_LENGTH)
    sealed = Sealer(derive(password, salt, params)).seal(key.to_json())
    return document.encode(
        {
            "created": created,
            "username": username,
            "hostname": hostname,
            "kdf": _KDF,
            "N": params.n,
            "r": params.r,
            "p": params.p,
            "salt": salt,
            "data": sealed,
        }
    )


def parse(data: bytes) -> KeyFile:
    """Return the key file of these bytes.

    Raises UnsupportedError for a key derivation other than scrypt, FormatError for scrypt parameters that are invalid
    or exceed the limits above, and for any other invalid key file.
    """
    keyfile = document.decode(_decoder, data, "the key file")
    if keyfile.kdf != _KDF:
        raise UnsupportedError(f"the key file needs the key derivation {keyfile.kdf[:40]!r}; only scrypt is known")
    _check_params(keyfile.params)
    if len(keyfile.salt) != SALT_LENGTH:
        raise FormatError(f"the key file has a salt of {len(keyfile.salt)} bytes instead of {SALT_LENGTH}")
    if len(keyfile.data) < OVERHEAD:
        raise FormatError("the key file holds no sealed key")
    return keyfile


def unwrap(keyfile: KeyFile, password: str, engine: Scrypt | None = None) -> MasterKey:
    """Return the master key; takes half a second without holding the GIL.

    `engine` is a faster scrypt than hashlib's, for parameters that suit it.

    Raises WrongPasswordError if the password does not open it and FormatError if it opens, but contains no key.
    """
    try:
        plain = Sealer(derive(password, keyfile.salt, keyfile.params, engine)).open(keyfile.data)
    except UnauthenticError:
        raise WrongPasswordError("the password does not open this key") from None
    return MasterKey.from_json(plain)


def derive(password: str, salt: bytes, params: ScryptParams, engine: Scrypt | None = None) -> MasterKey:
    """Return the key that seals a master key; raise FormatError for parameters that scrypt does not support."""
    n, r, p = params
    # A password from bytes that are not UTF-8 means those bytes, as in restic.
    raw_password = password.encode("utf-8", "surrogateescape")
    if engine is not None:
        return MasterKey.from_bytes(engine(raw_password, salt, n, r, p, _DERIVED_LENGTH))
    # OpenSSL counts some scratch space in addition to the parameters.
    limit = params.memory_bytes + 256 * r + 65536
    try:
        raw = hashlib.scrypt(raw_password, salt=salt, n=n, r=r, p=p, maxmem=limit, dklen=_DERIVED_LENGTH)
    except ValueError as error:
        raise FormatError(f"scrypt does not take N={n}, r={r}, p={p}") from error
    return MasterKey.from_bytes(raw)


def _check_params(params: ScryptParams) -> None:
    n, r, p = params
    if n < 2 or n & (n - 1) or r * p >= 1 << 30:
        raise FormatError(f"the key file asks for scrypt with N={n}, r={r}, p={p}, which does not exist")
    if params.memory_bytes > MAX_MEMORY_BYTES or params.work_bytes > MAX_WORK_BYTES:
        raise FormatError(
            f"the key file asks for scrypt with N={n}, r={r}, p={p}, which exceeds the cost limit; the key file may be"
            " malicious"
        )
