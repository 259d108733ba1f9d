"""Signing in, keys with less than all rights, tokens that end."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pyrestic.backend.b2.api import authorize_account
from pyrestic.errors import AccessError, NotFoundError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.b2 import BUCKET, open_b2
from tools.b2_server import B2Server

DATA = b"content of a file" * 100
PACK = Handle(FileType.PACK, hash_id(DATA).hex())
CONFIG = Handle(FileType.CONFIG, "")


def stored(server: B2Server) -> None:
    backend = open_b2(server)
    backend.create()
    backend.save(PACK, DATA)
    backend.close()
    server.counters.reset()


def calls(server: B2Server) -> dict[str, int]:
    found: dict[str, int] = server.counters.snapshot()["calls"]
    return found


def test_reading_by_name_needs_one_sign_in_and_no_look_at_the_bucket(b2: B2Server) -> None:
    stored(b2)
    backend = open_b2(b2)
    assert backend.load(PACK) == DATA
    assert backend.load(PACK, 5, 5) == DATA[5:10]
    assert calls(b2) == {"b2_authorize_account": 1, "b2_download_file_by_name": 2}


def test_a_key_for_one_bucket_and_prefix_does_everything_without_listing_buckets(b2: B2Server) -> None:
    stored(b2)
    key = b2.add_key(["listFiles", "readFiles", "writeFiles", "deleteFiles"], bucket=BUCKET, prefix="repository/")
    backend = open_b2(b2, key=key)
    backend.create()
    assert backend.load(PACK) == DATA
    backend.save(CONFIG, b"config")
    assert [info.name for info in backend.list(FileType.PACK)] == [PACK.name]
    backend.remove(PACK)
    backend.remove(CONFIG)
    assert list(backend.list(FileType.PACK)) == []
    assert "b2_list_buckets" not in calls(b2)


def test_a_key_for_another_bucket_or_prefix_is_told_so(b2: B2Server) -> None:
    stored(b2)
    open_b2(b2, "another-bucket:x").create()
    other = b2.add_key(["listFiles", "readFiles", "writeFiles"], bucket="another-bucket")
    with pytest.raises(AccessError, match="restricted to buckets other than a-bucket"):
        list(open_b2(b2, key=other).list(FileType.PACK))
    with pytest.raises(AccessError, match="limited to another bucket or name prefix"):
        open_b2(b2, key=other).load(PACK)
    elsewhere = b2.add_key(["listFiles", "readFiles"], bucket=BUCKET, prefix="elsewhere/")
    with pytest.raises(AccessError, match="name prefix"):
        list(open_b2(b2, key=elsewhere).list(FileType.PACK))


@pytest.mark.parametrize(
    ("missing", "capabilities"),
    [
        ("listFiles", ["readFiles", "writeFiles"]),
        ("readFiles", ["listFiles", "writeFiles"]),
        ("writeFiles", ["listFiles", "readFiles"]),
    ],
)
def test_a_missing_capability_is_named_at_once(b2: B2Server, missing: str, capabilities: list[str]) -> None:
    stored(b2)
    backend = open_b2(b2, key=b2.add_key(capabilities, bucket=BUCKET))
    work: dict[str, Callable[[], object]] = {
        "listFiles": lambda: list(backend.list(FileType.PACK)),
        "readFiles": lambda: backend.load(PACK),
        "writeFiles": lambda: backend.save(CONFIG, b"x"),
    }
    with pytest.raises(AccessError, match=f"lacks the capability {missing}"):
        work[missing]()
    assert sum(calls(b2).values()) < 8


def test_a_head_refused_for_a_capability_ends_although_it_gives_no_code(b2: B2Server) -> None:
    stored(b2)
    with pytest.raises(AccessError, match="name prefix"):
        open_b2(b2, key=b2.add_key(["listFiles"], bucket=BUCKET)).stat(PACK)
    assert calls(b2)["b2_authorize_account"] <= 2


def test_a_wrong_key_and_a_missing_bucket_are_told_apart(b2: B2Server) -> None:
    with pytest.raises(AccessError, match="does not accept the application key"):
        open_b2(b2, key=(b2.master_id, "K000wrong")).stat(CONFIG)
    with pytest.raises(NotFoundError):
        open_b2(b2).stat(CONFIG)
    with pytest.raises(NotFoundError, match="there is no bucket a-bucket"):
        list(open_b2(b2).list(FileType.PACK))


def test_a_key_that_may_not_make_buckets_cannot_create_one(b2: B2Server) -> None:
    with pytest.raises(AccessError, match="writeBuckets"):
        open_b2(b2, key=b2.add_key(["listBuckets", "listFiles", "writeFiles", "readFiles"])).create()


def test_buckets_are_created_private(b2: B2Server) -> None:
    open_b2(b2).create()
    assert [bucket.type for bucket in b2.store.buckets()] == ["allPrivate"]


def test_tokens_that_end_are_renewed_once_for_all_threads(b2: B2Server) -> None:
    stored(b2)
    b2.faults.token_seconds = 0.3
    backend = open_b2(b2)
    assert backend.load(PACK) == DATA
    time.sleep(0.4)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: backend.load(PACK), range(8))) == {DATA}
    # One for each time the token ended; a slow machine may see a third.
    assert 2 <= calls(b2)["b2_authorize_account"] <= 3


def test_upload_tokens_that_end_are_replaced(b2: B2Server) -> None:
    stored(b2)
    b2.faults.token_seconds = 0.3
    backend = open_b2(b2)
    backend.save(CONFIG, b"first")
    time.sleep(0.4)
    backend.save(CONFIG, b"second")
    assert backend.load(CONFIG) == b"second"


def test_upload_urls_are_kept_for_the_next_file(b2: B2Server) -> None:
    stored(b2)
    backend = open_b2(b2)
    for number in range(5):
        backend.save(CONFIG, b"%d" % number)
    assert calls(b2)["b2_get_upload_url"] == 1


def test_secrets_are_in_no_repr(b2: B2Server) -> None:
    backend = open_b2(b2)
    authorization = backend.session.authorization()
    with_url = []
    backend.create()
    with backend.session.upload_url() as url:
        with_url.append(url)
    shown = repr([backend, backend.session, authorization, with_url, vars(backend.session)])
    for secret in (b2.master_key, authorization.token, with_url[0].authorization_token):
        assert secret not in shown
    assert b2.master_key not in repr(authorize_account)
