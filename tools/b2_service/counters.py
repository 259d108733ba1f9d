"""Counts calls by name and by price class, and bytes both ways."""

import math
import threading
from collections import Counter
from typing import Any

CLASS_A = {
    "b2_upload_file",
    "b2_upload_part",
    "b2_get_upload_url",
    "b2_get_upload_part_url",
    "b2_start_large_file",
    "b2_finish_large_file",
    "b2_cancel_large_file",
    "b2_hide_file",
    "b2_delete_file_version",
    "b2_delete_bucket",
    "b2_delete_key",
}
CLASS_B = {"b2_download_file_by_name", "b2_download_file_by_id", "b2_get_file_info", "head_file"}
_NAMES_PER_CALL = 1000


class Counters:
    """What the service was asked for; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._classes: Counter[str] = Counter()
        self._received = 0
        self._sent = 0

    def call(self, name: str) -> None:
        """Count a call."""
        with self._lock:
            self._calls[name] += 1
            self._classes[self.class_of(name)] += 1

    def more_names(self, count: int) -> None:
        """Count the further calls that a listing of so many names is billed as."""
        with self._lock:
            self._classes["C"] += max(1, math.ceil(count / _NAMES_PER_CALL)) - 1

    def moved(self, *, received: int = 0, sent: int = 0) -> None:
        """Count bytes of files."""
        with self._lock:
            self._received += received
            self._sent += sent

    @staticmethod
    def class_of(name: str) -> str:
        """Return the price class of a call: A is free, B reads, C lists and manages."""
        return "A" if name in CLASS_A else "B" if name in CLASS_B else "C"

    def snapshot(self) -> dict[str, Any]:
        """Return the sums: calls by name, classes, bytes_in, bytes_out."""
        with self._lock:
            return {
                "calls": dict(self._calls),
                "classes": {name: self._classes[name] for name in "ABC"},
                "bytes_in": self._received,
                "bytes_out": self._sent,
            }

    def reset(self) -> None:
        """Begin anew."""
        with self._lock:
            self._calls.clear()
            self._classes.clear()
            self._received = self._sent = 0
