"""OpenSSL's ciphers, called directly: in the libcrypto of Python's own hashlib, or in the system's.

The names are those of OpenSSL 3 (its manual: EVP_EncryptInit, EVP_MAC). Contexts are reused, because creating one costs
as much as sealing 10 KB. Only ctypes must be imported, which saves 10 MB and 13 ms compared with `cryptography`, which
has its own OpenSSL.
"""

import ctypes
import functools
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, Final

BLOCK_LENGTH: Final = 16
_MAX_PIECE: Final = 1 << 30
_SHORT_BYTES: Final = 16 << 10
"""Calls for fewer bytes end before another thread could use the GIL: they keep it."""

_POINTER, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_PROTOTYPES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "EVP_CIPHER_fetch": (_POINTER, [_POINTER, ctypes.c_char_p, _POINTER]),
    "EVP_CIPHER_CTX_new": (_POINTER, []),
    "EVP_CIPHER_CTX_free": (None, [_POINTER]),
    "EVP_CIPHER_CTX_set_padding": (_INT, [_POINTER, _INT]),
    "EVP_EncryptInit_ex2": (_INT, [_POINTER, _POINTER, _POINTER, _POINTER, _POINTER]),
    "EVP_EncryptUpdate": (_INT, [_POINTER, _POINTER, _POINTER, _POINTER, _INT]),
    "EVP_MAC_fetch": (_POINTER, [_POINTER, ctypes.c_char_p, _POINTER]),
    "EVP_MAC_CTX_new": (_POINTER, [_POINTER]),
    "EVP_MAC_CTX_free": (None, [_POINTER]),
    "EVP_MAC_init": (_INT, [_POINTER, _POINTER, _SIZE, _POINTER]),
    "EVP_MAC_update": (_INT, [_POINTER, _POINTER, _SIZE]),
    "EVP_MAC_final": (_INT, [_POINTER, _POINTER, _POINTER, _SIZE]),
    "EVP_MD_fetch": (_POINTER, [_POINTER, ctypes.c_char_p, _POINTER]),
    "EVP_MD_CTX_new": (_POINTER, []),
    "EVP_MD_CTX_free": (None, [_POINTER]),
    "EVP_DigestInit_ex2": (_INT, [_POINTER, _POINTER, _POINTER]),
    "EVP_DigestUpdate": (_INT, [_POINTER, _POINTER, _SIZE]),
    "EVP_DigestFinal_ex": (_INT, [_POINTER, _POINTER, _POINTER]),
}
_SYSTEM_NAME: Final = "libcrypto.so.3"


class Library:
    """The functions of libcrypto 3: `keeping` ones keep the GIL, `freeing` ones release it."""

    def __init__(self, path: str) -> None:
        """Load it from a file that is libcrypto, or is linked to it; raise OSError or AttributeError."""
        self.freeing: Any = ctypes.CDLL(path)
        self.keeping: Any = ctypes.PyDLL(path, handle=self.freeing._handle)
        for library in (self.freeing, self.keeping):
            for name, (result, arguments) in _PROTOTYPES.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
        self.aes_256_ctr = self._fetch("EVP_CIPHER_fetch", b"AES-256-CTR")
        self.aes_128_ecb = self._fetch("EVP_CIPHER_fetch", b"AES-128-ECB")
        self.poly1305 = self._fetch("EVP_MAC_fetch", b"POLY1305")
        self.sha256 = self._fetch("EVP_MD_fetch", b"SHA256")

    def _fetch(self, function: str, name: bytes) -> int:
        """Return an algorithm, which lives as long as the program; raise OSError if this libcrypto lacks it."""
        found: int | None = getattr(self.freeing, function)(None, name, None)
        return _made(found)


@functools.cache
def find_library() -> Library | None:
    """Return libcrypto, None if this machine has no version 3, or one without the ciphers."""
    paths = [_SYSTEM_NAME]
    try:
        import _hashlib

        paths.insert(0, _hashlib.__file__)
    except (ImportError, AttributeError):
        pass  # A Python with a built-in copy, or none.
    for path in paths:
        try:
            return Library(path)
        except (OSError, AttributeError):
            continue
    return None


class CounterMode:
    """AES-256 in counter mode, which decrypts by encrypting. Not thread-safe."""

    def __init__(self, library: Library, key: bytes) -> None:
        """Set a key of 32 bytes."""
        _check_length("a key", key, 32)
        self._library = library
        self._context = new_counter(library, self, key)
        self._written = ctypes.c_int()

    def start(self, counter: bytes) -> None:
        """Start with this counter block of 16 bytes."""
        _check_length("a counter", counter, BLOCK_LENGTH)
        _check(self._library.keeping.EVP_EncryptInit_ex2(self._context, None, None, counter, None))

    def apply(self, source: int, length: int, target: int) -> None:
        """Process `length` bytes at address source; the result goes to address target."""
        library = self._library.keeping if length <= _SHORT_BYTES else self._library.freeing
        written = ctypes.addressof(self._written)
        for start in range(0, length, _MAX_PIECE):
            piece = min(_MAX_PIECE, length - start)
            _check(library.EVP_EncryptUpdate(self._context, target + start, written, source + start, piece))


class OneTimeKeys:
    """AES-128 of single blocks. Not thread-safe."""

    def __init__(self, library: Library, key: bytes) -> None:
        """Set a key of 16 bytes."""
        _check_length("a key", key, 16)
        self._library = library
        self._context = new_one_time(library, self, key)
        self._block = ctypes.create_string_buffer(BLOCK_LENGTH)
        self._written = ctypes.c_int()

    def encrypt(self, block: bytes) -> bytes:
        """Return a block of 16 bytes encrypted."""
        _check_length("a block", block, BLOCK_LENGTH)
        written = ctypes.addressof(self._written)
        _check(self._library.keeping.EVP_EncryptUpdate(self._context, self._block, written, block, BLOCK_LENGTH))
        return self._block.raw


class Poly1305:
    """One-time authentication. Not thread-safe."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._context = new_poly1305(library, self)
        self._tag = ctypes.create_string_buffer(BLOCK_LENGTH)
        self._written = ctypes.c_size_t()

    def tag(self, key: bytes, source: int, length: int) -> bytes:
        """Return the 16-byte tag of the data at address source, for a key of 32 bytes."""
        _check_length("a key", key, 32)
        keeping, context = self._library.keeping, self._context
        library = keeping if length <= _SHORT_BYTES else self._library.freeing
        _check(keeping.EVP_MAC_init(context, key, len(key), None))
        _check(library.EVP_MAC_update(context, source, length))
        _check(keeping.EVP_MAC_final(context, self._tag, ctypes.addressof(self._written), BLOCK_LENGTH))
        return self._tag.raw


def new_counter(library: Library, owner: object, key: bytes) -> int:
    """Return a context of CounterMode, for as long as its owner lives; raise OSError."""
    return _new_cipher(library, owner, library.aes_256_ctr, key)


def new_one_time(library: Library, owner: object, key: bytes) -> int:
    """Return a context of OneTimeKeys, for as long as its owner lives; raise OSError."""
    context = _new_cipher(library, owner, library.aes_128_ecb, key)
    _check(library.keeping.EVP_CIPHER_CTX_set_padding(context, 0))
    return context


def new_poly1305(library: Library, owner: object) -> int:
    """Return a context of Poly1305, for as long as its owner lives; raise OSError."""
    context = _made(library.keeping.EVP_MAC_CTX_new(library.poly1305))
    _free_with(owner, library.keeping.EVP_MAC_CTX_free, context)
    return context


def new_digest(library: Library, owner: object) -> int:
    """Return a context for hashes, for as long as its owner lives; raise OSError."""
    context = _made(library.keeping.EVP_MD_CTX_new())
    _free_with(owner, library.keeping.EVP_MD_CTX_free, context)
    return context


def _new_cipher(library: Library, owner: object, cipher: int, key: bytes) -> int:
    context = _made(library.keeping.EVP_CIPHER_CTX_new())
    _free_with(owner, library.keeping.EVP_CIPHER_CTX_free, context)
    _check(library.keeping.EVP_EncryptInit_ex2(context, cipher, key, None, None))
    return context


def _free_with(owner: object, free: Callable[[int], None], context: int) -> None:
    # Not at the end of the program: a thread may still be using it, and all memory is freed anyway.
    weakref.finalize(owner, free, context).atexit = False


def _made(pointer: int | None) -> int:
    if not pointer:
        raise OSError("libcrypto has no such algorithm, or no memory")
    return pointer


def _check_length(what: str, data: bytes, length: int) -> None:
    if len(data) != length:
        raise ValueError(f"{what} has {length} bytes, not {len(data)}")


def _check(status: int) -> None:
    if status != 1:
        raise OSError("libcrypto refused to work")


class _PyBuffer(ctypes.Structure):
    """Py_buffer of Python's C interface."""

    _fields_: ClassVar = [
        ("buf", _POINTER),
        ("obj", _POINTER),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", _INT),
        ("ndim", _INT),
        ("format", ctypes.c_char_p),
        ("shape", _POINTER),
        ("strides", _POINTER),
        ("suboffsets", _POINTER),
        ("internal", _POINTER),
    ]


_MakeBytes: Final = ctypes.PYFUNCTYPE(ctypes.py_object, _POINTER, ctypes.c_ssize_t)
_AddressOfBytes: Final = ctypes.PYFUNCTYPE(_POINTER, ctypes.py_object)
_GetBuffer: Final = ctypes.PYFUNCTYPE(_INT, ctypes.py_object, _POINTER, _INT)
_ReleaseBuffer: Final = ctypes.PYFUNCTYPE(None, _POINTER)
_make_bytes = _MakeBytes(("PyBytes_FromStringAndSize", ctypes.pythonapi))
_address_of_bytes = _AddressOfBytes(("PyBytes_AsString", ctypes.pythonapi))
_get_buffer = _GetBuffer(("PyObject_GetBuffer", ctypes.pythonapi))
_release_buffer = _ReleaseBuffer(("PyBuffer_Release", ctypes.pythonapi))


def address_of(view: memoryview) -> int:
    """Return the address of a contiguous view's bytes, valid until it is released; raise BufferError."""
    if not view.readonly and view.contiguous and len(view):
        return ctypes.addressof(ctypes.c_char.from_buffer(view))
    found = _PyBuffer()
    place = ctypes.addressof(found)
    _get_buffer(view, place, 0)
    address: int = found.buf or 0
    # The view itself pins the memory.
    _release_buffer(place)
    return address


def new_bytes(length: int) -> tuple[bytes, int]:
    """Return a new bytes object to be filled, and its address; until then nobody else may see it."""
    made: bytes = _make_bytes(None, length)
    return made, _address_of_bytes(made)
