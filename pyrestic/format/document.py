"""The JSON of repository files: written as Go writes it, read with pyrestic's errors."""

from typing import Annotated, TypeVar

import msgspec
from msgspec import MsgspecError, ValidationError
from typing_extensions import Buffer

from pyrestic.errors import FormatError
from pyrestic.format import gojson

HexId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-fA-F]{64}\Z")]
"""An ID in JSON."""
UInt32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], data: Buffer, name: str) -> T:
    """Return data decoded by decoder; `name` ("the index file") starts the message of a FormatError.

    Bytes that are not UTF-8 and unpaired surrogates become U+FFFD, as in Go, whatever msgspec does with them. A null
    field counts as absent, as in restic.
    """
    try:
        return decoder.decode(data)
    except (MsgspecError, ValueError):
        pass  # Most likely damage, but it may be one of the two.
    except RecursionError as error:
        raise _not_restic(name, error) from error
    try:
        return _decode_as_go(decoder, gojson.replace_invalid_text(bytes(data)))
    except (MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise _not_restic(name, error) from error


def _decode_as_go(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except ValidationError:
        return decoder.decode(msgspec.json.encode(_without_nulls(msgspec.json.decode(data))))


def _not_restic(name: str, error: Exception) -> FormatError:
    return FormatError(f"{name} is not as restic writes it: {error}")


def encode(fields: dict[str, object]) -> bytes:
    """Return the JSON object with these fields as Go writes it.

    Text may contain surrogates for bytes that are not UTF-8 (from os.fsdecode); they become U+FFFD.
    """
    try:
        document = msgspec.json.encode(fields)
    except UnicodeEncodeError:
        document = msgspec.json.encode(_with_invalid_text(fields))
    return gojson.escape(document)


def _with_invalid_text(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_invalid_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_invalid_text(item) for item in value]
    if isinstance(value, str):
        return msgspec.Raw(gojson.encode_invalid(value.encode("utf-8", "surrogateescape")))
    return value


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
