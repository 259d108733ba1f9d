"""Reading the JSON of repository files: one place where msgspec's errors become ours."""

from typing import Annotated, TypeVar

import msgspec
from typing_extensions import Buffer

from pyrestic.errors import FormatError

HexId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-fA-F]{64}\Z")]
"""An ID in JSON."""
UInt32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], data: Buffer, name: str) -> T:
    """Return the value that decoder makes of data; `name` ("the index file") begins the message of a FormatError.

    A field that is null counts as absent, as it does for restic.
    """
    try:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            return msgspec.convert(_without_nulls(msgspec.json.decode(data)), decoder.type)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise FormatError(f"{name} is not as restic writes it: {error}") from error


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
