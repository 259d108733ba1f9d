"""A real S3 server that lives as long as the tests run."""

import atexit
import functools
import itertools
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.objects import ObjectBackend
from tests.support.servers import find_tool
from tools.place_servers.s3 import SeaweedServer

BUCKET = "a-bucket"


@functools.cache
def shared_seaweed() -> SeaweedServer:
    """Return the server; start it on the first call."""
    folder = Path(tempfile.mkdtemp(prefix="seaweed-"))
    server = SeaweedServer(folder, find_tool("weed"))
    server.start()

    def end() -> None:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return server


def open_s3(
    location: str,
    environment: Mapping[str, str],
    options: Mapping[str, str] | None = None,
    *,
    stall_seconds: float = 20.0,
) -> ObjectBackend:
    """Return our backend for a location at s3:."""
    access = Access(environment, HttpSettings(stall_seconds=stall_seconds))
    backend = open_backend(parse_location(location), options or {}, access)
    assert isinstance(backend, ObjectBackend)
    return backend


_numbers = itertools.count()


def new_s3_location() -> str:
    """Return the location of an empty place on the shared server."""
    return shared_seaweed().location(f"{BUCKET}/r{next(_numbers)}")


def open_shared_s3(options: Mapping[str, str] | None = None) -> ObjectBackend:
    """Return a backend on an empty place of the shared server."""
    return open_s3(new_s3_location(), shared_seaweed().environment, options)
