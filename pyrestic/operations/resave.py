"""Stores loaded blobs again, in the same repository or in another: small ones in batches."""

from itertools import groupby

from pyrestic.repository.batch_decoder import Batch
from pyrestic.repository.saver import Saver


class Resaver:
    """Stores batches of loaded blobs; thread-safe.

    `verb` says what was to be done with them, for errors. With `duplicate` blobs are stored though the repository has
    them. Without `many` they are saved one by one, as few are not worth compiled code.
    """

    def __init__(self, saver: Saver, verb: str, *, duplicate: bool = False, many: bool = True) -> None:
        self._saver = saver
        self._verb = verb
        self._duplicate = duplicate
        self._many = many

    def save(self, batch: Batch) -> int:
        """Store the blobs of a batch and return how many there are; raise the error of one that has no intact copy."""
        for handle, error in batch.failed:
            raise type(error)(f"blob {handle} could not be {self._verb}: {error}", hint=error.hint) from error
        for blob_type, group in groupby(batch.blobs, lambda piece: piece[0].type):
            its = list(group)
            if self._many and len(its) > 1:
                starts = [start for _, start, _ in its]
                lengths = [end - start for _, start, end in its]
                ids = b"".join([blob.id for blob, _, _ in its])
                saved = self._saver.save_all(blob_type, batch.data, starts, lengths, ids, duplicate=self._duplicate)
                if saved is not None:
                    continue
            for blob, start, end in its:
                self._saver.save(blob_type, batch.data[start:end], blob.id, duplicate=self._duplicate)
        return len(batch.blobs)
