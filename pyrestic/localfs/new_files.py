"""Writes complete small files below a target in batches: simple ones go to the compiled writer."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from pyrestic.engine_types import BatchWriter, NewFile, Stamp
from pyrestic.errors import PyresticError
from pyrestic.format.node import Node
from pyrestic.localfs.descriptors import DescriptorCache, OpenDescriptor
from pyrestic.localfs.restore_metadata import MetadataRestorer

_MOST_FOLDERS = 4
"""Open folders per call: the limit of open files may be low, and there are several threads."""


class FileToWrite(NamedTuple):
    """A file to write: its location below the target, and the range of its content in the data, in bytes."""

    location: bytes
    node: Node
    start: int
    length: int


Outcome: TypeAlias = Stamp | PyresticError | None
"""The result of a file: finished with this stamp, finished without a stamp, or an error."""


class _Placed(NamedTuple):
    """A file with its folder and name."""

    folder: bytes
    name: bytes
    file: FileToWrite


def make_new(
    files: Iterable[FileToWrite],
    data: memoryview,
    many: BatchWriter,
    metadata: MetadataRestorer,
    folders: DescriptorCache[bytes],
    open_folder: Callable[[bytes], int],
) -> list[Stamp | None]:
    """Create all new and simple files; return their stamps, and None for those that need another path."""
    stamps: list[Stamp | None] = []
    for part in _parts(files):
        opened: dict[bytes, OpenDescriptor] = {}
        try:
            for placed in part:
                if placed.folder not in opened:
                    opened[placed.folder] = folders.acquire(placed.folder, open_folder)
            stamps += _make_part(part, data, many, metadata, opened)
        except (OSError, ValueError):
            stamps += [None] * len(part)
        finally:
            for folder in opened.values():
                folders.release(folder)
    return stamps


def _make_part(
    part: list[_Placed],
    data: memoryview,
    many: BatchWriter,
    metadata: MetadataRestorer,
    opened: dict[bytes, OpenDescriptor],
) -> list[Stamp | None]:
    stamps: list[Stamp | None] = [None] * len(part)
    numbers = []
    new = []
    for number, (folder, name, file) in enumerate(part):
        plain = metadata.plain(file.node)
        if plain is not None:
            numbers.append(number)
            new.append(NewFile(opened[folder].descriptor, name, file.start, file.length, plain))
    written = many.write(new, data, need_owner=metadata.is_root)
    metadata.count_denied(written.denied)
    for number, stamp in zip(numbers, written.stamps, strict=True):
        stamps[number] = stamp
    return stamps


def _parts(files: Iterable[FileToWrite]) -> Iterator[list[_Placed]]:
    """Iterate the files in groups that use few folders each."""
    part: list[_Placed] = []
    folders: set[bytes] = set()
    for file in files:
        folder, _, name = file.location.rpartition(b"/")
        if folder not in folders:
            if len(folders) == _MOST_FOLDERS:
                yield part
                part = []
                folders.clear()
            folders.add(folder)
        part.append(_Placed(folder, name, file))
    if part:
        yield part
