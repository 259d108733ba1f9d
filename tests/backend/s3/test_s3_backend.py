"""What is particular to S3, against a real server."""

from collections.abc import Callable, Iterator

import pytest

from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.leases import Lease, Leased
from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.objects import ObjectBackend
from pyrestic.backend.s3 import store as s3_store
from pyrestic.backend.s3.signer import S3Key
from pyrestic.backend.s3.store import S3Options, S3Store
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import AccessError, NotFoundError, TransientError, UsageError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.key_service import key_service
from tests.support.seaweed import BUCKET, new_s3_location, open_s3, open_shared_s3, shared_seaweed

pytestmark = pytest.mark.process

DATA = bytes(range(256)) * 5000
PACK = Handle(FileType.PACK, hash_id(DATA).hex())
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    with faulty_proxy(shared_seaweed().address) as running:
        yield running


def through(proxy: FaultyProxy, environment: dict[str, str] | None = None, **options: str) -> ObjectBackend:
    """Return a backend of an empty place that is reached through the proxy."""
    location = new_s3_location().replace(shared_seaweed().address, proxy.address)
    named = {f"s3.{name.replace('_', '-')}": value for name, value in options.items()}
    backend = open_s3(location, environment or shared_seaweed().environment, named, stall_seconds=60)
    backend.create()
    return backend


def with_options(backend: ObjectBackend, options: S3Options) -> ObjectBackend:
    store = backend.store
    assert isinstance(store, S3Store)
    return ObjectBackend(S3Store(store.caller, options), backend.base.rstrip("/"))


PART_BYTES = 5 << 20
SMALL_PARTS = S3Options(single_bytes=1 << 20, part_bytes=PART_BYTES)
LONG = DATA * 14


def test_a_long_file_goes_up_in_parts(proxy: FaultyProxy) -> None:
    backend = with_options(through(proxy), SMALL_PARTS)
    backend.save(PACK, LONG)
    assert backend.load(PACK) == LONG
    assert backend.load(PACK, PART_BYTES - 3, 7) == LONG[PART_BYTES - 3 : PART_BYTES + 4]
    assert sum("partNumber" in request for request in proxy.seen) == 4
    backend.close()


def test_a_part_that_is_damaged_on_the_way_is_sent_again(proxy: FaultyProxy) -> None:
    backend = with_options(through(proxy), SMALL_PARTS)
    proxy.add("flip upload", "PUT *partNumber=3*", times=2)
    proxy.add("cut upload", "PUT *partNumber=2*", times=1)
    backend.save(PACK, LONG)
    assert backend.load(PACK) == LONG
    assert len(proxy.hit) == 3
    backend.close()


@pytest.mark.parametrize("requests", ["PUT *partNumber=4*", "POST *uploadId=*"])
def test_an_upload_in_parts_that_fails_leaves_nothing_behind(proxy: FaultyProxy, requests: str) -> None:
    backend = with_options(through(proxy), SMALL_PARTS)
    proxy.add("status", requests, status=503)
    with pytest.raises(TransientError, match="503"):
        backend.save(PACK, LONG)
    proxy.clear()
    assert list(backend.list(FileType.PACK)) == []
    store = backend.store
    assert isinstance(store, S3Store)
    left = store.caller.send("GET", "", "listing", query=[("uploads", ""), ("prefix", backend.base)])
    assert b"<UploadId>" not in left.body
    backend.close()


@pytest.mark.parametrize("version_1", ["false", "true"])
def test_a_listing_has_pages(monkeypatch: pytest.MonkeyPatch, version_1: str) -> None:
    monkeypatch.setattr(s3_store, "_PAGE", "3")
    backend = open_shared_s3({"s3.list-objects-v1": version_1})
    backend.create()
    names = {hash_id(bytes([number])).hex() for number in range(10)}
    for name in names:
        backend.save(Handle(FileType.INDEX, name), b"x")
    assert {info.name for info in backend.list(FileType.INDEX)} == names
    backend.close()


def test_the_prefix_may_have_any_character() -> None:
    location = f"{new_s3_location()}/a b+c&d=é%20;'(~)!"
    backend = open_s3(location.replace("%", "%25"), shared_seaweed().environment)
    backend.create()
    backend.save(PACK, b"data")
    assert [info.name for info in backend.list(FileType.PACK)] == [PACK.name]
    assert backend.load(PACK, 1, 2) == b"at"
    backend.remove(PACK)
    assert list(backend.list(FileType.PACK)) == []
    backend.close()


@pytest.mark.parametrize("operation", ["create", "save", "load", "stat", "list", "remove"])
@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_end_each_operation_at_once(operation: str, variable: str) -> None:
    backend = open_s3(new_s3_location(), {**shared_seaweed().environment, variable: "wrong"})
    attempts: dict[str, Callable[[], object]] = {
        "create": backend.create,
        "save": lambda: backend.save(PACK, b"x"),
        "load": lambda: backend.load(PACK),
        "stat": lambda: backend.stat(PACK),
        "list": lambda: list(backend.list(FileType.PACK)),
        "remove": lambda: backend.remove(PACK),
    }
    words = "does not know the access key" if variable == "AWS_ACCESS_KEY_ID" else "rejects the secret"
    with pytest.raises(AccessError, match=words) as caught:
        attempts[operation]()
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.hint
    backend.close()


def test_anonymous_requests_are_sent_without_a_signature() -> None:
    backend = open_s3(new_s3_location(), {}, {"s3.unsafe-anonymous-auth": "true"})
    with pytest.raises(AccessError):
        backend.load(PACK)
    backend.close()


def test_a_bucket_that_is_missing_is_named_and_made() -> None:
    backend = open_s3(new_s3_location().replace(BUCKET, "a-new-bucket"), shared_seaweed().environment)
    with pytest.raises(NotFoundError):
        backend.load(PACK)
    backend.create()
    backend.save(PACK, b"x")
    backend.close()


def test_a_key_that_may_not_look_at_the_bucket_may_use_it(proxy: FaultyProxy) -> None:
    backend = through(proxy)
    denied = b"<Error><Code>AccessDenied</Code></Error>"
    proxy.add("status", "HEAD /a-bucket", status=403)
    proxy.add("status", "GET /a-bucket[?]*", status=403, body=denied)
    backend.create()
    backend.save(PACK, b"x")
    assert backend.load(PACK) == b"x"
    backend.close()


def test_a_wrong_clock_is_named() -> None:
    backend = open_shared_s3()
    store = backend.store
    assert isinstance(store, S3Store)
    right = store.caller._clock
    store.caller._clock = lambda: right() + 86_400
    with pytest.raises(AccessError, match="the clock of this machine is wrong"):
        backend.load(PACK)
    backend.close()


def test_a_key_that_expires_is_renewed_once(proxy: FaultyProxy) -> None:
    server = shared_seaweed()
    with key_service() as service:
        service.key_id, service.secret = server.environment.values()
        service.token = ""
        environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service.url}/container", "HOME": "/nowhere"}
        backend = through(proxy, environment)
        proxy.add("status", status=400, body=EXPIRED, times=1)
        backend.save(PACK, DATA)
        assert len(service.asked) == 2
        # A response to HEAD does not say why it failed.
        proxy.add("status", "HEAD *", status=400, times=1)
        proxy.add("status", "GET *", status=400, body=EXPIRED, times=2)
        assert backend.stat(PACK).length == len(DATA)
        assert len(service.asked) == 3
        proxy.add("status", status=400, body=EXPIRED)
        with pytest.raises(AccessError, match="the session token has expired"):
            backend.load(PACK)
        backend.close()


def test_the_region_that_the_service_names_is_used(proxy: FaultyProxy) -> None:
    backend = through(proxy)
    store = backend.store
    assert isinstance(store, S3Store)
    error = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"
    proxy.add("status", "PUT *", status=400, body=error, times=1)
    backend.save(PACK, DATA)
    assert store.caller.address.region == "eu-west-3"
    proxy.add("status", "HEAD *", status=301, headers={"x-amz-bucket-region": "eu-west-1"}, times=1)
    assert backend.stat(PACK).length == len(DATA)
    assert store.caller.address.region == "eu-west-1"
    backend.close()


def test_the_service_is_asked_for_the_region_if_it_rejects_the_default_one(proxy: FaultyProxy) -> None:
    backend = through(proxy)
    proxy.add("status", "PUT */data/*", status=403, body=b"<Error><Code>SignatureDoesNotMatch</Code></Error>", times=1)
    location = b'<LocationConstraint xmlns="http://s3/">eu-north-1</LocationConstraint>'
    proxy.add("status", "GET *location*", status=200, body=location)
    backend.save(PACK, DATA)
    assert backend.load(PACK) == DATA
    named = through(proxy, region="eu-west-1")
    proxy.add("status", "PUT */data/*", status=403, body=b"<Error><Code>SignatureDoesNotMatch</Code></Error>", times=1)
    with pytest.raises(AccessError, match="rejects the secret"):
        named.save(PACK, DATA)
    for each in (backend, named):
        each.close()


@pytest.mark.parametrize("target", ["http://example.com/bucket/x", "https://{address}/x", "http://127.0.0.1:1/x"])
def test_a_redirect_elsewhere_is_not_followed(proxy: FaultyProxy, target: str) -> None:
    backend = through(proxy)
    proxy.add("status", "GET *", status=307, headers={"Location": target.format(address=proxy.address)})
    with pytest.raises(TransientError, match="307"):
        backend.load(PACK)
    backend.close()


def test_the_page_of_another_network_is_not_a_file(proxy: FaultyProxy) -> None:
    backend = through(proxy)
    backend.save(PACK, DATA)
    page = b"<html>sign in</html>"
    proxy.add("status", status=200, body=page)
    with pytest.raises(TransientError, match="did not come from an S3 service"):
        backend.load(PACK)
    with pytest.raises(TransientError, match="did not come from an S3 service"):
        backend.save(PACK, DATA)
    with pytest.raises(TransientError, match="did not come from an S3 service"):
        list(backend.list(FileType.PACK))
    backend.close()


def test_archives_take_only_packs_of_file_content(proxy: FaultyProxy) -> None:
    for name, classes in (("GLACIER", {"data": True}), ("STANDARD_IA", {"data": True, "trees": True, "index": True})):
        store = through(proxy, storage_class=name).store
        assert isinstance(store, S3Store)
        sent = {"data": bool(store._storage(archivable=True)), "trees": bool(store._storage(archivable=False))}
        assert sent == {"data": True, "trees": classes.get("trees", False)}
        store.close()


def test_a_silent_server_is_given_up(proxy: FaultyProxy) -> None:
    through(proxy).close()
    location = new_s3_location().replace(shared_seaweed().address, proxy.address)
    backend = open_s3(location, shared_seaweed().environment, stall_seconds=0.5)
    proxy.add("silence")
    with pytest.raises(TransientError, match="almost no data was transferred"):
        RetryBackend(backend, sleep=lambda seconds: None).load(PACK)
    backend.close()


@pytest.mark.parametrize(
    "options", [{"s3.bucket-lookup": "nowhere"}, {"s3.connections": "0"}, {"s3.list-objects-v1": "yes"}, {"s3.x": "1"}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        open_backend(parse_location("s3:host/bucket"), options, Access({}, HttpSettings()))


def test_a_key_is_fetched_when_it_is_needed_and_not_before() -> None:
    backend = open_backend(parse_location("s3:host/bucket"), {}, Access({}, HttpSettings()))
    backend.close()
    assert Leased(lambda: Lease(S3Key("a", "b"))).get() == S3Key("a", "b")
