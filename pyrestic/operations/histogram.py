"""Histograms of the lengths of files and blobs in a repository, in decimal classes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pyrestic.handle import BlobType, FileType
from pyrestic.repository.repository import Repository

_LONGEST_FILE = 256 << 20
_LONGEST_BLOB = 16 << 20
_FILE_TYPES = (FileType.KEY, FileType.LOCK, FileType.INDEX, FileType.SNAPSHOT, FileType.PACK)


class SizeClass(NamedTuple):
    """Lengths in bytes from lower to upper, and their number."""

    lower: int
    upper: int
    members: int


@dataclass(slots=True)
class Histogram:
    """Lengths up to a limit by class; longer ones individually."""

    limit: int
    count: int = 0
    total_bytes: int = 0
    oversized: list[int] = field(default_factory=list)
    _counts: dict[int, int] = field(default_factory=dict)

    def add(self, lengths: Iterable[int]) -> None:
        """Count lengths."""
        for length in lengths:
            self.count += 1
            self.total_bytes += length
            if length > self.limit:
                self.oversized.append(length)
            else:
                digits = len(str(length)) if length else 0
                self._counts[digits] = self._counts.get(digits, 0) + 1

    def classes(self) -> Iterator[SizeClass]:
        """Iterate the classes from the first to the last nonempty one."""
        for digits in range(min(self._counts, default=0), max(self._counts, default=-1) + 1):
            lower, upper = (10 ** (digits - 1), min(10**digits - 1, self.limit)) if digits else (0, 0)
            yield SizeClass(lower, upper, self._counts.get(digits, 0))


def file_lengths(repository: Repository) -> Iterator[tuple[FileType, Histogram]]:
    """Iterate the kinds of files with their lengths."""
    for file_type in _FILE_TYPES:
        histogram = Histogram(_LONGEST_FILE)
        histogram.add(info.length for info in repository.list_files(file_type))
        yield file_type, histogram


def blob_lengths(repository: Repository) -> Iterator[tuple[BlobType, Histogram]]:
    """Iterate the kinds of blobs with their stored lengths."""
    columns = repository.index.all_columns()
    for blob_type in (BlobType.DATA, BlobType.TREE):
        histogram = Histogram(_LONGEST_BLOB)
        histogram.add(columns.lengths[columns.types == blob_type].tolist())
        yield blob_type, histogram
