"""Key files: the master key, sealed with a key that scrypt makes from a password.

A key file is plain JSON; its name is the SHA-256 of its bytes (restic design document, "Keys, Encryption and MAC").
Nothing vouches for what it says, so the cost it asks for is bounded before scrypt is called.
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
"""(password, salt, n, r, p, length) -> a key of that many bytes; the parameters have been looked at."""

SALT_LENGTH: Final = 64
MAX_MEMORY_BYTES: Final = 1 << 30
"""Most memory a key file may ask for; restic itself stays below 60 MB."""
MAX_WORK_BYTES: Final = 64 << 30
"""Most work a key file may ask for, as bytes that scrypt fills: some minutes. Restic asks for about 200 MB."""

_KDF: Final = "scrypt"
_DERIVED_LENGTH: Final = ENCRYPT_KEY_LENGTH + 2 * MAC_KEY_LENGTH
_Positive = Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]

_ENGINE_FROM_N: Final = 1 << 12
_ENGINE_R: Final = 32
_PBKDF2_FILLS: Final = 8
"""What PBKDF2 does before and after takes as long as filling its bytes so many times."""


class ScryptParams(NamedTuple):
    """What scrypt costs: 128 * n * r bytes of memory, filled p times over."""

    n: int = 1 << 15
    r: int = 8
    p: int = 1

    @property
    def memory_bytes(self) -> int:
        """Memory it takes."""
        return 128 * self.r * (self.n + self.p)

    @property
    def work_bytes(self) -> int:
        """Bytes it fills, which its time goes with."""
        return 128 * (self.n + _PBKDF2_FILLS) * self.r * self.p

    @property
    def suits_engine(self) -> bool:
        """An engine that mixes several lanes at a time is worth while; it needs memory for each."""
        return self.n >= _ENGINE_FROM_N and self.r <= _ENGINE_R and self.p > 1


class KeyFile(msgspec.Struct, frozen=True):
    """The content of a key file, in the order restic writes it."""

    created: str
    """RFC 3339 with nanoseconds, as it stands in the file."""
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
        """What this key file's scrypt costs."""
        return ScryptParams(self.n, self.r, self.p)


_decoder: Final = msgspec.json.Decoder(KeyFile)


def create(password: str, key: MasterKey, *, hostname: str, username: str, created: str, params: ScryptParams) -> bytes:
    """Return the bytes of a new key file that opens `key` with this password.

    `created` is a time as gojson.format_time writes it. Making the key takes as long as opening it
    will.
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

    Raises UnsupportedError for a key derivation other than scrypt, FormatError for parameters that scrypt does not
    take or that would cost more than the limits above, and for anything that is no key file.
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
    """Return the master key; takes half a second, without holding the interpreter's lock.

    `engine` is a faster scrypt than hashlib's, for parameters that suit it.

    Raises WrongPasswordError if the password does not open it and FormatError if it opens, but holds no key.
    """
    try:
        plain = Sealer(derive(password, keyfile.salt, keyfile.params, engine)).open(keyfile.data)
    except UnauthenticError:
        raise WrongPasswordError("the password does not open this key") from None
    return MasterKey.from_json(plain)


def derive(password: str, salt: bytes, params: ScryptParams, engine: Scrypt | None = None) -> MasterKey:
    """Return the key that seals a master key; raise FormatError for parameters that scrypt does not take."""
    n, r, p = params
    # A password that came as bytes which are not UTF-8 counts as those bytes, as it does for restic.
    raw_password = password.encode("utf-8", "surrogateescape")
    if engine is not None:
        return MasterKey.from_bytes(engine(raw_password, salt, n, r, p, _DERIVED_LENGTH))
    # OpenSSL counts some scratch space besides what the parameters ask for.
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
