"""A B2 service within the test's process, and the ways into it."""

import atexit
import functools
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pyrestic.backend.b2.backend import B2Backend
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.location import Access, open_backend, parse_location
from tests.support.repositories import make_repository
from tools.b2_server import B2Server

BUCKET = "a-bucket"


@pytest.fixture
def b2(tmp_path: Path) -> Iterator[B2Server]:
    """An empty service."""
    with B2Server(tmp_path / "b2") as server:
        yield server


def open_b2(
    server: B2Server,
    path: str = f"{BUCKET}:repository",
    *,
    key: tuple[str, str] | None = None,
    stall_seconds: float = 20.0,
    options: Mapping[str, str] | None = None,
) -> B2Backend:
    """Return our backend for a path of the service."""
    key_id, secret = key or (server.master_id, server.master_key)
    environment = {"B2_ACCOUNT_ID": key_id, "B2_ACCOUNT_KEY": secret}
    access = Access(environment, HttpSettings(stall_seconds=stall_seconds))
    backend = open_backend(parse_location(f"b2:{path}"), {"b2.endpoint": server.url, **(options or {})}, access)
    assert isinstance(backend, B2Backend)
    return backend


def make_quick_on_b2(server: B2Server, path: str = f"{BUCKET}:some/path", *, version: int = 2) -> None:
    """Make a repository in the service whose key costs no time."""
    make_repository(open_b2(server, path), version=version).close()


_numbers = itertools.count()


@functools.cache
def _shared() -> B2Server:
    server = B2Server(Path(tempfile.mkdtemp(prefix="b2-")))
    atexit.register(server.close)
    return server


def open_shared_b2() -> B2Backend:
    """Return a backend on an empty place of a service that lives as long as the tests run."""
    backend = open_b2(_shared(), f"{BUCKET}:r{next(_numbers)}")
    backend.create()
    return backend
