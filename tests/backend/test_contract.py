"""What every backend and every wrapper keeps, whatever lies behind it."""

import functools
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrestic.backend.base import Backend
from pyrestic.backend.local import LocalBackend
from pyrestic.backend.location import open_backend, parse_location
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.objects import ObjectBackend
from pyrestic.backend.rest import RestBackend
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import open_cache
from pyrestic.backend.wrap.cancel import make_cancellable
from pyrestic.backend.wrap.limit import LimitBackend, TokenBucket
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import TransientError
from pyrestic.testing.backend_contract import BackendContract
from tests.support.b2 import open_shared_b2
from tests.support.backends import FaultyBackend, RecordingBackend
from tests.support.clouds import CLOUDS, open_shared_cloud
from tests.support.rclone import open_rclone, open_rclone_pipes
from tests.support.seaweed import open_shared_s3
from tests.support.servers import shared_location
from tests.support.ssh import open_over_ssh
from tests.support.stores import MemoryStore


def fail_test(message: str) -> None:
    pytest.fail(f"nothing should have been said: {message}")


def local(folder: Path) -> Backend:
    return LocalBackend(str(folder / "repository"))


def cached(inner: Backend, folder: Path) -> Backend:
    return CacheBackend(inner, open_cache(str(folder / "cache"), "0" * 64).folder, on_note=fail_test)


def cached_without_disk(inner: Backend, folder: Path) -> Backend:
    """A cache none of whose writes succeeds."""
    cache = open_cache(str(folder / "cache"), "0" * 64).folder
    for name in ("data", "index", "snapshots"):
        (Path(cache.path) / name).rmdir()
        (Path(cache.path) / name).write_bytes(b"")
    return CacheBackend(inner, cache, on_note=lambda message: None)


def limited(inner: Backend) -> Backend:
    return LimitBackend(inner, upload=TokenBucket(1e9), download=TokenBucket(1e9))


def failing_often(inner: Backend) -> Backend:
    """Every operation fails a few times; sleeping takes no time."""
    faulty = FaultyBackend(inner)
    for method in ("save", "load", "stat", "list", "remove"):
        faulty.fail(method, lambda: TransientError("the line is busy"), times=3)
    return RetryBackend(faulty, sleep=lambda seconds: None)


STACKS: dict[str, Callable[[Path], Backend]] = {
    "local": local,
    "mem": lambda folder: MemoryBackend(),
    "retry": lambda folder: RetryBackend(MemoryBackend(), on_retry=fail_test),
    "retry, failing": lambda folder: failing_often(MemoryBackend()),
    "cache": lambda folder: cached(MemoryBackend(), folder),
    "cache, no disk": lambda folder: cached_without_disk(MemoryBackend(), folder),
    "limit": lambda folder: limited(MemoryBackend()),
    "cancel": lambda folder: make_cancellable(MemoryBackend(), threading.Event()),
    "cancel, cache": lambda folder: make_cancellable(cached(MemoryBackend(), folder), threading.Event()),
    "recording": lambda folder: RecordingBackend(MemoryBackend()),
    "all": lambda folder: cached(RetryBackend(limited(local(folder)), on_retry=fail_test), folder),
}


def rest(kind: str) -> Backend:
    return open_backend(parse_location(shared_location(kind)), {})


def rest_version_1() -> Backend:
    """The server lists names alone if version 2 is not asked for."""
    backend = rest("rest")
    assert isinstance(backend, RestBackend)
    backend._headers["Accept"] = "application/vnd.x.restic.rest.v1"
    return backend


STACKS["objects"] = lambda folder: ObjectBackend(MemoryStore(), "some/prefix")
STACKS["b2"] = lambda folder: open_shared_b2()
SERVERS: dict[str, Callable[[Path], Backend]] = {
    "rest-server": lambda folder: rest("rest"),
    "rest-server, version 1": lambda folder: rest_version_1(),
    "rclone serve restic": lambda folder: rest("rclone"),
    "sftp": lambda folder: open_over_ssh(),
    "s3": lambda folder: open_shared_s3(),
    "swift": lambda folder: open_shared_cloud("swift"),
    "gs": lambda folder: open_shared_cloud("gs"),
    "azure": lambda folder: open_shared_cloud("azure"),
    "rclone": lambda folder: open_rclone(),
    "rclone, pipes": lambda folder: open_rclone_pipes(),
}
SILENT_REMOVERS = {"rest-server", "rest-server, version 1", "retry, failing", "s3"}
"""rest-server and S3 call it a success to remove what is not there, and so it is after an attempt that failed."""

SHOWS_HALF_FILES = {"rclone serve restic", "rclone", "rclone, pipes"}
"""rclone shows files while they are being replaced; nothing in a repository ever is."""


AT_NIGHT = (
    "test_any_range_is_that_of_the_bytes_or_refused",
    "test_each_type_lists_its_own_files_with_their_lengths",
)
"""Tests with hundreds of requests, which most object stores pass only at night."""


def at_night(name: str) -> Callable[..., None]:
    """Return a test of the contract that runs only at night."""
    test = getattr(BackendContract, name)

    @functools.wraps(test)
    def run(*args: object, **fixtures: object) -> None:
        test(*args, **fixtures)

    marked: Callable[..., None] = pytest.mark.nightly(run)
    return marked


def contract(name: str, make: Callable[[Path], Backend]) -> type[BackendContract]:
    """Return the tests for one stack of backends."""
    members = {
        "make_backend": lambda self, folder: make(folder),
        "removes_silently": name in SILENT_REMOVERS,
        "shows_half_files": name in SHOWS_HALF_FILES,
        "pytestmark": [pytest.mark.process] if name in SERVERS else [],
        "__module__": __name__,
    }
    if name in CLOUDS:
        members |= {test: at_night(test) for test in AT_NIGHT}
    return type("Test" + "".join(re.findall(r"\w+", name.title())), (BackendContract,), members)


for each in [contract(*stack) for stack in (STACKS | SERVERS).items()]:
    globals()[each.__name__] = each
del each
