"""The config file: version and ID of the repository and the chunker's polynomial (restic design document, "Config")."""

from typing import Annotated, Final

import msgspec

from pyrestic.errors import FormatError, UnsupportedError
from pyrestic.format import polynomial as gf2
from pyrestic.format.document import HexId, Int64, decode
from pyrestic.ids import ID_LENGTH

VERSIONS: Final = (1, 2)
"""Supported repository versions."""
LATEST_VERSION: Final = 2
POLYNOMIAL_DEGREE: Final = 53


class _VersionDocument(msgspec.Struct):
    version: Int64


class _ConfigDocument(msgspec.Struct):
    version: Int64
    id: HexId
    chunker_polynomial: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-fA-F]{1,16}\Z")]


_version_decoder: Final = msgspec.json.Decoder(_VersionDocument)
_decoder: Final = msgspec.json.Decoder(_ConfigDocument)


class Config(msgspec.Struct, frozen=True):
    """Settings for the lifetime of a repository. `id` is 64 hex digits."""

    version: int
    id: str
    chunker_polynomial: int

    @classmethod
    def create(cls, version: int = LATEST_VERSION, polynomial: int | None = None) -> "Config":
        """Return the config of a new repository with a random ID and, unless one is given, a random polynomial.

        Raises UnsupportedError for an unknown version and FormatError for an unsuitable polynomial.
        """
        _check_version(version)
        polynomial = gf2.random_polynomial() if polynomial is None else polynomial
        _check_polynomial(polynomial)
        # Only needed for new repositories.
        from secrets import token_hex

        return cls(version, token_hex(ID_LENGTH), polynomial)

    @classmethod
    def parse(cls, data: bytes) -> "Config":
        """Return the config in this JSON.

        Raises UnsupportedError for an unknown version and FormatError for any other error.
        """
        # The version first: other versions may have other fields.
        _check_version(decode(_version_decoder, data, "the config").version)
        document = decode(_decoder, data, "the config")
        polynomial = int(document.chunker_polynomial, 16)
        _check_polynomial(polynomial)
        return cls(document.version, document.id, polynomial)

    def encode(self) -> bytes:
        """Return the JSON in restic's form."""
        return msgspec.json.encode(_ConfigDocument(self.version, self.id, f"{self.chunker_polynomial:x}"))


def _check_version(version: int) -> None:
    if version not in VERSIONS:
        raise UnsupportedError(f"repository version {version} is not supported; versions 1 and 2 are")


def _check_polynomial(polynomial: int) -> None:
    if polynomial >> POLYNOMIAL_DEGREE != 1 or not gf2.is_irreducible(polynomial):
        raise FormatError(f"the chunker polynomial {polynomial:x} is not an irreducible one of degree 53")
