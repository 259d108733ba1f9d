"""Sealing and opening bytes: AES-256 in counter mode, authenticated by Poly1305-AES.

Sealed bytes are `nonce (16) | ciphertext | tag (16)` (restic design document, "Keys, Encryption and MAC"). The tag
covers the ciphertext only; its one-time key is `r | AES-128_k(nonce)`. Three engines produce identical bytes:
"libcrypto" (OpenSSL 3 of Python or of the system), "cryptography" (with its own OpenSSL, for Pythons built without
OpenSSL 3), and "pycryptodome", which is always available.

Measured per message of 2 KB and per further byte: libcrypto 6 µs and 0.2 ns, cryptography 4 µs and 0.2 ns, pycryptodome
21 µs and 0.9 ns. Importing cryptography takes 13 ms and 10 MB.
"""

import hmac
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, Protocol

import msgspec
from typing_extensions import Buffer

from pyrestic import libcrypto
from pyrestic.errors import FormatError, UnauthenticError, UsageError
from pyrestic.format import document
from pyrestic.libcrypto import address_of

NONCE_LENGTH = 16
TAG_LENGTH = 16
OVERHEAD = NONCE_LENGTH + TAG_LENGTH
"""Overhead of sealed bytes over their plaintext."""

ENCRYPT_KEY_LENGTH = 32
MAC_KEY_LENGTH = 16

ENGINES = ("libcrypto", "cryptography", "pycryptodome")
"""Names of the engines, fastest first."""

_PIECE_LENGTH = 128 << 10
_ZERO_NONCE = bytes(NONCE_LENGTH)
# The bits of r that Poly1305 uses: the top 4 of every fourth byte and the low 2 of three bytes are zero.
_R_MASK = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


class _MacKeyDocument(msgspec.Struct):
    k: bytes
    r: bytes


class _KeyDocument(msgspec.Struct):
    mac: _MacKeyDocument
    encrypt: bytes


_key_decoder = msgspec.json.Decoder(_KeyDocument)


@dataclass(frozen=True, slots=True, repr=False)
class MasterKey:
    """The three keys that seal a repository. Never shows its bytes in repr, str or format, and rejects pickling.

    `encrypt` is 32 bytes; `mac_k` and `mac_r` are 16 bytes each, r as stored, that is unmasked.
    """

    encrypt: bytes
    mac_k: bytes
    mac_r: bytes

    def __post_init__(self) -> None:
        lengths = (len(self.encrypt), len(self.mac_k), len(self.mac_r))
        if lengths != (ENCRYPT_KEY_LENGTH, MAC_KEY_LENGTH, MAC_KEY_LENGTH):
            raise FormatError("a key has to have 32 bytes for encryption and twice 16 bytes for authentication")
        if not (any(self.encrypt) and any(self.mac_k) and any(self.mac_r)):
            raise FormatError("a key whose bytes are all zero is not valid")

    @classmethod
    def random(cls) -> "MasterKey":
        """Return a new key from the system's random source."""
        return cls(os.urandom(ENCRYPT_KEY_LENGTH), os.urandom(MAC_KEY_LENGTH), os.urandom(MAC_KEY_LENGTH))

    @classmethod
    def from_bytes(cls, raw: bytes) -> "MasterKey":
        """Return the key from encrypt | k | r in 64 bytes, the form of scrypt's output."""
        mac_k_end = ENCRYPT_KEY_LENGTH + MAC_KEY_LENGTH
        return cls(raw[:ENCRYPT_KEY_LENGTH], raw[ENCRYPT_KEY_LENGTH:mac_k_end], raw[mac_k_end:])

    @classmethod
    def from_json(cls, data: bytes) -> "MasterKey":
        """Return the key of `{"mac":{"k":…,"r":…},"encrypt":…}` (base64); raise FormatError if it is invalid."""
        try:
            keys = document.decode(_key_decoder, data, "the master key")
        except FormatError:
            # The cause could quote the key, so it is dropped.
            raise FormatError("the master key is not written as restic writes it") from None
        return cls(keys.encrypt, keys.mac.k, keys.mac.r)

    def to_json(self) -> bytes:
        """Return the form that key files contain sealed. These bytes are secret."""
        return msgspec.json.encode(_KeyDocument(_MacKeyDocument(self.mac_k, self.mac_r), self.encrypt))

    def __repr__(self) -> str:
        return "<MasterKey (hidden)>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a MasterKey is not written to anything but a key file")


class _Engine(Protocol):
    """The ciphers of one key. Not thread-safe."""

    def encrypt_into(self, nonce: bytes, plaintext: memoryview, out: memoryview) -> None:
        """Write the ciphertext of plaintext to the start of out, which is TAG_LENGTH bytes longer than necessary."""

    def decrypt(self, nonce: bytes, ciphertext: memoryview) -> bytes:
        """Return the plaintext."""

    def decrypt_pieces(self, nonce: bytes, ciphertext: memoryview) -> Iterator[bytes]:
        """Iterate the plaintext in short pieces; the engine must not be used otherwise before the end."""

    def tag(self, nonce: bytes, ciphertext: memoryview) -> bytes:
        """Return the 16-byte authentication tag of the ciphertext."""


class _LibcryptoEngine:
    """OpenSSL, called directly."""

    def __init__(self, key: MasterKey) -> None:
        library = libcrypto.find_library()
        if library is None:
            raise ImportError("there is no libcrypto of OpenSSL 3 with all ciphers")
        self._r = masked_r(key)
        self._one_time = libcrypto.OneTimeKeys(library, key.mac_k)
        self._counter = libcrypto.CounterMode(library, key.encrypt)
        self._poly1305 = libcrypto.Poly1305(library)

    def encrypt_into(self, nonce: bytes, plaintext: memoryview, out: memoryview) -> None:
        if len(plaintext) > len(out):
            raise ValueError("there is no room for the ciphertext")
        self._counter.start(nonce)
        self._counter.apply(address_of(plaintext), len(plaintext), address_of(out))

    def decrypt(self, nonce: bytes, ciphertext: memoryview) -> bytes:
        self._counter.start(nonce)
        return self._decrypt_on(ciphertext)

    def decrypt_pieces(self, nonce: bytes, ciphertext: memoryview) -> Iterator[bytes]:
        self._counter.start(nonce)
        return map(self._decrypt_on, _pieces(ciphertext))

    def _decrypt_on(self, ciphertext: memoryview) -> bytes:
        plaintext, address = libcrypto.new_bytes(len(ciphertext))
        self._counter.apply(address_of(ciphertext), len(ciphertext), address)
        return plaintext

    def tag(self, nonce: bytes, ciphertext: memoryview) -> bytes:
        return self._poly1305.tag(self._r + self._one_time.encrypt(nonce), address_of(ciphertext), len(ciphertext))


class _CryptographyEngine:
    """OpenSSL through `cryptography`: contexts are reused, because creating one costs as much as sealing 10 KB."""

    def __init__(self, key: MasterKey) -> None:
        # Imported with the first key, because it takes 40 ms.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.poly1305 import Poly1305

        self._r = masked_r(key)
        # ECB on purpose: single blocks, the nonces, become one-time keys.
        self._one_time = Cipher(algorithms.AES(key.mac_k), modes.ECB()).encryptor()  # noqa: S305
        # Counter mode decrypts by encrypting, so one context does both.
        self._counter = Cipher(algorithms.AES(key.encrypt), modes.CTR(_ZERO_NONCE)).encryptor()
        self._poly1305 = Poly1305.generate_tag
        if not hasattr(self._counter, "reset_nonce"):
            raise ImportError("cryptography before version 43 cannot reuse a context")

    def encrypt_into(self, nonce: bytes, plaintext: memoryview, out: memoryview) -> None:
        self._counter.reset_nonce(nonce)
        self._counter.update_into(plaintext, out)

    def decrypt(self, nonce: bytes, ciphertext: memoryview) -> bytes:
        self._counter.reset_nonce(nonce)
        return self._counter.update(ciphertext)

    def decrypt_pieces(self, nonce: bytes, ciphertext: memoryview) -> Iterator[bytes]:
        self._counter.reset_nonce(nonce)
        return map(self._counter.update, _pieces(ciphertext))

    def tag(self, nonce: bytes, ciphertext: memoryview) -> bytes:
        return self._poly1305(self._r + self._one_time.update(nonce), ciphertext)


class _PycryptodomeEngine:
    """The base engine, available on every machine."""

    def __init__(self, key: MasterKey) -> None:
        # Imported only if it is used, because it takes 70 ms.
        from Crypto.Cipher import AES
        from Crypto.Hash import Poly1305

        self._aes = AES
        self._poly1305 = Poly1305
        self._encrypt_key = key.encrypt
        self._mac_key = key.mac_k + masked_r(key)

    def encrypt_into(self, nonce: bytes, plaintext: memoryview, out: memoryview) -> None:
        length = len(out) - TAG_LENGTH
        self._aes.new(self._encrypt_key, self._aes.MODE_CTR, nonce=b"", initial_value=nonce).encrypt(
            plaintext, output=out[:length]
        )

    def decrypt(self, nonce: bytes, ciphertext: memoryview) -> bytes:
        cipher = self._aes.new(self._encrypt_key, self._aes.MODE_CTR, nonce=b"", initial_value=nonce)
        plaintext: bytes = cipher.decrypt(ciphertext)
        return plaintext

    def decrypt_pieces(self, nonce: bytes, ciphertext: memoryview) -> Iterator[bytes]:
        cipher = self._aes.new(self._encrypt_key, self._aes.MODE_CTR, nonce=b"", initial_value=nonce)
        return map(cipher.decrypt, _pieces(ciphertext))

    def tag(self, nonce: bytes, ciphertext: memoryview) -> bytes:
        tag: bytes = self._poly1305.new(key=self._mac_key, cipher=self._aes, nonce=nonce, data=ciphertext).digest()
        return tag


class Sealer:
    """Seals and opens with one key. Not thread-safe: every thread has its own.

    Buffers are bytes, bytearrays or memoryviews of bytes. Without `engine`, the fastest available one is used.
    """

    def __init__(self, key: MasterKey, engine: str | None = None) -> None:
        self._engine = _make_engine(key, engine)

    def seal(self, plaintext: Buffer, *, nonce: bytes | None = None) -> bytes:
        """Return the sealed bytes, OVERHEAD longer than plaintext. Only tests pass a nonce."""
        out = bytearray(len(memoryview(plaintext)) + OVERHEAD)
        self.seal_into(plaintext, memoryview(out), nonce=nonce)
        return bytes(out)

    def seal_into(self, plaintext: Buffer, out: memoryview, *, nonce: bytes | None = None) -> int:
        """Write the sealed bytes to the start of out and return their number.

        `out` is a writable memoryview of bytes, at least OVERHEAD longer than plaintext, that shares no memory with it.
        Raises ValueError if it is too short. Only tests pass a nonce: using one twice reveals secrets.
        """
        view = memoryview(plaintext)
        tag_start = NONCE_LENGTH + len(view)
        end = tag_start + TAG_LENGTH
        if len(out) < end:
            raise ValueError(f"sealing needs room for {end} bytes, there are {len(out)}")
        if nonce is None:
            nonce = _random_nonce()
        out[:NONCE_LENGTH] = nonce
        self._engine.encrypt_into(nonce, view, out[NONCE_LENGTH:end])
        out[tag_start:end] = self._engine.tag(nonce, out[NONCE_LENGTH:tag_start])
        return end

    def open(self, sealed: Buffer) -> bytes:
        """Return the plaintext of sealed bytes; raise UnauthenticError unless every byte is unchanged.

        The tag is compared in constant time, before anything is decrypted.
        """
        return self._engine.decrypt(*self._authenticated(sealed))

    def open_pieces(self, sealed: Buffer) -> Iterator[bytes]:
        """Return an iterator of the same plaintext in pieces that stay in the CPU cache; raises as `open` does.

        The tag is fully verified before this returns. Consume the pieces before the sealer is used again.
        """
        return self._engine.decrypt_pieces(*self._authenticated(sealed))

    def _authenticated(self, sealed: Buffer) -> tuple[bytes, memoryview]:
        """Return nonce and ciphertext; raise UnauthenticError unless the tag matches."""
        view = memoryview(sealed)
        if len(view) < OVERHEAD:
            raise UnauthenticError(f"{len(view)} bytes are too few to be sealed bytes, which have {OVERHEAD} or more")
        nonce, ciphertext = bytes(view[:NONCE_LENGTH]), view[NONCE_LENGTH:-TAG_LENGTH]
        if nonce == _ZERO_NONCE or not hmac.compare_digest(self._engine.tag(nonce, ciphertext), view[-TAG_LENGTH:]):
            raise UnauthenticError("the authentication code does not match: damaged, or sealed with another key")
        return nonce, ciphertext


def _pieces(data: memoryview) -> Iterator[memoryview]:
    return (data[start : start + _PIECE_LENGTH] for start in range(0, len(data), _PIECE_LENGTH))


def import_ciphers() -> None:
    """Import the engine for the first key in advance, for callers with idle time."""
    if libcrypto.find_library() is not None:
        return
    try:
        import cryptography.hazmat.primitives.ciphers
        import cryptography.hazmat.primitives.poly1305  # noqa: F401
    except ImportError:
        import Crypto.Cipher.AES
        import Crypto.Hash.Poly1305  # noqa: F401


def masked_r(key: MasterKey) -> bytes:
    """Return r in the form that Poly1305 uses: some of its bits are always zero."""
    return (int.from_bytes(key.mac_r, "little") & _R_MASK).to_bytes(MAC_KEY_LENGTH, "little")


def random_nonces(count: int) -> bytes:
    """Return nonces for immediate use: a forked process would share stored ones."""
    return os.urandom(NONCE_LENGTH * count)


def _random_nonce() -> bytes:
    # Drawn one by one: a forked process would use a stock of them again.
    nonce = os.urandom(NONCE_LENGTH)
    while nonce == _ZERO_NONCE:
        nonce = os.urandom(NONCE_LENGTH)
    return nonce


_MAKERS: dict[str, Callable[[MasterKey], _Engine]] = {
    "libcrypto": _LibcryptoEngine,
    "cryptography": _CryptographyEngine,
    "pycryptodome": _PycryptodomeEngine,
}


def _make_engine(key: MasterKey, name: str | None) -> _Engine:
    if name is not None and name not in _MAKERS:
        raise UsageError(f"{name!r} is no cipher engine; there are {', '.join(ENGINES)}")
    for each in ENGINES if name is None else (name,):
        try:
            return _MAKERS[each](key)
        except ImportError as error:
            failure = error
    raise UsageError(f"the cipher engine {each} cannot be used: {failure}") from failure
