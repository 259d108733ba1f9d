"""The same requests at another S3 server: the gateway of OpenStack Swift."""

from collections.abc import Callable

import pytest

from pyrestic.backend.objects import ObjectBackend
from pyrestic.backend.s3 import store as s3_store
from pyrestic.backend.s3.store import S3Options, S3Store
from pyrestic.errors import AccessError, FormatError, NotFoundError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.clouds import new_path, shared_cloud
from tests.support.seaweed import open_s3
from tools.place_servers.swift import KEY, SwiftServer

pytestmark = pytest.mark.process

DATA = bytes(range(256)) * 4096 * 12
PACK = Handle(FileType.PACK, hash_id(DATA).hex())


def open_gateway(*, secret: str = KEY, path: str = "", **options: str) -> ObjectBackend:
    server = shared_cloud("swift")
    assert isinstance(server, SwiftServer)
    keys = {"AWS_ACCESS_KEY_ID": "test:user", "AWS_SECRET_ACCESS_KEY": secret}
    named = {f"s3.{name.replace('_', '-')}": value for name, value in options.items()}
    return open_s3(f"s3:http://{server.address}/{path or new_path()}", keys, named)


def test_files_are_stored_read_listed_replaced_and_removed() -> None:
    backend = open_gateway(path=f"{new_path()}/a b+c&d=é;'(~)!")
    backend.create()
    backend.create()
    for content in (b"first", b"", b"some content"):
        backend.save(PACK, content)
        assert backend.load(PACK) == content
        assert [info.length for info in backend.list(FileType.PACK)] == [len(content)]
    assert backend.load(PACK, 5, 7) == b"content"
    assert backend.load(PACK, 12, 0) == b""
    with pytest.raises(FormatError, match="too short"):
        backend.load(PACK, 5, 8)
    backend.remove(PACK)
    backend.remove(PACK)
    with pytest.raises(NotFoundError):
        backend.load(PACK)
    with pytest.raises(NotFoundError):
        backend.stat(PACK)
    assert list(backend.list(FileType.PACK)) == []
    backend.close()


@pytest.mark.parametrize("version_1", ["false", "true"])
def test_a_listing_has_pages(monkeypatch: pytest.MonkeyPatch, version_1: str) -> None:
    monkeypatch.setattr(s3_store, "_PAGE", "3")
    backend = open_gateway(list_objects_v1=version_1)
    backend.create()
    names = {hash_id(bytes([number])).hex() for number in range(7)}
    for name in names:
        backend.save(Handle(FileType.INDEX, name), b"x")
    assert {info.name for info in backend.list(FileType.INDEX)} == names
    backend.close()


def test_a_long_file_goes_up_in_parts() -> None:
    backend = open_gateway()
    backend.create()
    store = backend.store
    assert isinstance(store, S3Store)
    in_parts = ObjectBackend(
        S3Store(store.caller, S3Options(single_bytes=1 << 20, part_bytes=5 << 20)), backend.base.rstrip("/")
    )
    in_parts.save(PACK, DATA)
    assert backend.load(PACK) == DATA
    assert [info.length for info in backend.list(FileType.PACK)] == [len(DATA)]
    backend.close()


@pytest.mark.parametrize("operation", ["create", "save", "load", "stat", "list"])
def test_a_wrong_secret_ends_each_operation_at_once(operation: str) -> None:
    backend = open_gateway(secret="wrong")
    attempts: dict[str, Callable[[], object]] = {
        "create": backend.create,
        "save": lambda: backend.save(PACK, b"x"),
        "load": lambda: backend.load(PACK),
        "stat": lambda: backend.stat(PACK),
        "list": lambda: list(backend.list(FileType.PACK)),
    }
    with pytest.raises(AccessError, match="rejects the secret"):
        attempts[operation]()
    backend.close()
