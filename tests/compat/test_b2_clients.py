"""The B2 service of tools/b2_server.py, held to clients that others wrote: b2sdk, rclone, each release of restic."""

import hashlib
import io
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from b2sdk.v2 import AuthInfoCache, B2Api, B2Http, B2RawHTTPApi, InMemoryAccountInfo
from b2sdk.v2.exception import B2Error, FileNotPresent

from tests.compat.test_b2 import OnB2
from tests.support.b2 import BUCKET
from tests.support.restic import Program
from tests.support.servers import find_tool
from tools.b2_server import B2Server


def log_in(server: B2Server, key: tuple[str, str] | None = None) -> Any:
    """Return Backblaze's own client, signed in; parts of it have no types."""
    info = InMemoryAccountInfo()
    api = B2Api(info, cache=AuthInfoCache(info))
    key_id, secret = key or (server.master_id, server.master_key)
    api.authorize_account(realm=server.url, application_key_id=key_id, application_key=secret)
    return api


@pytest.fixture
def small_parts(b2: B2Server) -> B2Server:
    """A service whose large files have small parts."""
    b2.service.recommended_part_bytes = 200_000
    b2.service.minimum_part_bytes = 100_000
    return b2


def test_b2sdk_creates_lists_reads_hides_and_deletes(b2: B2Server) -> None:
    bucket = log_in(b2).create_bucket(BUCKET, "allPrivate", bucket_info={"a": "b"})
    contents = {f"folder {number % 3}/näme {number}+&%": os.urandom(1000 + number) for number in range(10)}
    for name, data in contents.items():
        bucket.upload_bytes(data, name, file_info={"key": "välue"})
    listed = {version.file_name: version for version, _ in bucket.ls(recursive=True)}
    assert set(listed) == set(contents)
    assert sorted(folder for _, folder in bucket.ls() if folder) == ["folder 0/", "folder 1/", "folder 2/"]
    for name, data in contents.items():
        assert listed[name].size == len(data)
        assert listed[name].content_sha1 == hashlib.sha1(data).hexdigest()
        assert listed[name].file_info == {"key": "välue"}
        target = io.BytesIO()
        bucket.download_file_by_name(name).save(target)
        assert target.getvalue() == data
        target = io.BytesIO()
        bucket.download_file_by_id(listed[name].id_, range_=(100, 199)).save(target)
        assert target.getvalue() == data[100:200]
    name = next(iter(contents))
    bucket.upload_bytes(b"a second version", name)
    assert [version.action for version in bucket.list_file_versions(name)] == ["upload", "upload"]
    bucket.hide_file(name)
    assert name not in {version.file_name for version, _ in bucket.ls(recursive=True)}
    with pytest.raises(B2Error):
        bucket.download_file_by_name(name).save(io.BytesIO())
    versions = [version for version, _ in bucket.ls(recursive=True, latest_only=False)]
    assert [version.action for version in versions if version.file_name == name] == ["hide", "upload", "upload"]
    for version in versions:
        bucket.api.delete_file_version(version.id_, version.file_name)
    assert list(bucket.ls(recursive=True, latest_only=False)) == []
    bucket.api.delete_bucket(bucket)
    assert bucket.api.list_buckets() == []


def test_b2sdk_uploads_large_files_in_parts(small_parts: B2Server, tmp_path: Path) -> None:
    bucket = log_in(small_parts).create_bucket(BUCKET, "allPrivate")
    data = os.urandom(1_234_567)
    path = tmp_path / "large"
    path.write_bytes(data)
    version = bucket.upload_local_file(str(path), "large", min_part_size=200_000)
    assert version.size == len(data)
    target = io.BytesIO()
    bucket.download_file_by_name("large").save(target)
    assert target.getvalue() == data
    calls = small_parts.counters.snapshot()["calls"]
    assert (calls["b2_upload_part"], calls["b2_finish_large_file"]) == (6, 1)


def test_b2sdk_makes_keys_that_hold_what_they_promise(b2: B2Server) -> None:
    api = log_in(b2)
    bucket = api.create_bucket(BUCKET, "allPrivate")
    bucket.upload_bytes(b"one", "inside/one")
    bucket.upload_bytes(b"two", "outside/two")
    key = api.create_key(["listFiles", "readFiles"], "narrow", bucket_id=bucket.id_, name_prefix="inside/")
    assert [found.key_name for found in api.list_keys()] == ["master", "narrow"]
    narrow = log_in(b2, (key.id_, key.application_key))
    session = narrow.session
    listed = session.list_file_names(bucket.id_, prefix="inside/")
    assert [found["fileName"] for found in listed["files"]] == ["inside/one"]
    attempts: list[Callable[[], Any]] = [
        lambda: session.list_file_names(bucket.id_, prefix="outside/"),
        lambda: session.list_file_names(bucket.id_),
        lambda: session.get_upload_url(bucket.id_),
        lambda: session.hide_file(bucket.id_, "inside/one"),
    ]
    for refused in attempts:
        with pytest.raises(B2Error, match="unauthorized"):
            refused()
    api.delete_key(key)
    assert len(list(api.list_keys())) == 1


def test_b2sdk_pages_through_listings(b2: B2Server) -> None:
    api = log_in(b2)
    bucket = api.create_bucket(BUCKET, "allPrivate")
    for number in range(25):
        b2.store.add_version(bucket.id_, f"f{number:02}", "upload", length=0, sha1="0" * 40, type_="x")
        b2.store.add_version(bucket.id_, f"f{number:02}", "upload", length=1, sha1="0" * 40, type_="x")
    names = [version.file_name for version, _ in bucket.ls(recursive=True, fetch_count=4)]
    assert names == [f"f{number:02}" for number in range(25)]
    versions = [(version.file_name, version.size) for version, _ in bucket.ls(latest_only=False, fetch_count=3)]
    assert versions == [(f"f{number:02}", size) for number in range(25) for size in (1, 0)]


def rclone(server: B2Server, home: Path, *words: str | Path) -> str:
    """Run rclone on the service and return what it prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "RCLONE_CONFIG": str(home / "rclone.conf"),
        "RCLONE_CONFIG_B_TYPE": "b2",
        "RCLONE_CONFIG_B_ACCOUNT": server.master_id,
        "RCLONE_CONFIG_B_KEY": server.master_key,
        "RCLONE_CONFIG_B_ENDPOINT": server.url,
    }
    command = [str(find_tool("rclone")), *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "surrogateescape")


def test_rclone_copies_lists_reads_and_deletes(b2: B2Server, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "sub folder").mkdir(parents=True)
    dice = random.Random(3)
    for number in range(12):
        (source / "sub folder" / f"ü {number}").write_bytes(dice.randbytes(2000))
    (source / "large").write_bytes(dice.randbytes(12_000_000))
    rclone(b2, tmp_path, "mkdir", f"b:{BUCKET}")
    cut = ("--b2-upload-cutoff", "5M", "--b2-chunk-size", "5M")
    rclone(b2, tmp_path, "copy", source, f"b:{BUCKET}/to", *cut)
    assert b2.counters.snapshot()["calls"]["b2_finish_large_file"] == 1
    rclone(b2, tmp_path, "check", source, f"b:{BUCKET}/to", "--download")
    listed = rclone(b2, tmp_path, "lsf", "-R", "--format", "ps", f"b:{BUCKET}/to").splitlines()
    assert "large;12000000" in listed
    assert len([line for line in listed if line.endswith(";2000")]) == 12
    part = tmp_path / "part"
    rclone(b2, tmp_path, "copyto", f"b:{BUCKET}/to/large", part)
    assert part.read_bytes() == (source / "large").read_bytes()
    text = rclone(b2, tmp_path, "cat", "--offset", "100", "--count", "50", f"b:{BUCKET}/to/sub folder/ü 3")
    assert text.encode("utf-8", "surrogateescape") == (source / "sub folder" / "ü 3").read_bytes()[100:150]
    (source / "sub folder" / "ü 3").write_bytes(b"changed")
    rclone(b2, tmp_path, "sync", source, f"b:{BUCKET}/to", *cut)
    rclone(b2, tmp_path, "copy", f"b:{BUCKET}/to", back)
    assert (back / "sub folder" / "ü 3").read_bytes() == b"changed"
    assert len(rclone(b2, tmp_path, "lsf", "-R", "--files-only", "--b2-versions", f"b:{BUCKET}").splitlines()) == 14
    rclone(b2, tmp_path, "deletefile", f"b:{BUCKET}/to/large")
    assert "large" not in rclone(b2, tmp_path, "lsf", f"b:{BUCKET}/to")
    rclone(b2, tmp_path, "cleanup", f"b:{BUCKET}")
    rclone(b2, tmp_path, "purge", f"b:{BUCKET}")
    assert b2.store.buckets() == []


@pytest.mark.restic
def test_every_release_of_restic_forgets_prunes_and_hides(restic: Program, b2: B2Server, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4):
        (source / f"{number}").write_bytes(os.urandom(300_000))
    theirs = OnB2(restic, b2)
    theirs.run("init")
    theirs.run("backup", source)
    (source / "1").write_bytes(os.urandom(300_000))
    theirs.run("backup", source)
    theirs.run("forget", "--keep-last", "1", "--prune", "--max-unused", "0")
    theirs.run("check", "--read-data")
    bucket = b2.store.buckets()[0].id
    assert {version.action for version in b2.store.versions(bucket, "", "")} == {"upload"}
    if restic.name == "restic 0.14":
        # That release cannot hide: it tries to delete for a quarter of an hour.
        return
    key_id, key = b2.add_key(["listBuckets", "listFiles", "readFiles", "writeFiles"], bucket=BUCKET)
    keeper = OnB2(restic, b2)
    keeper._environment |= {"B2_ACCOUNT_ID": key_id, "B2_ACCOUNT_KEY": key}
    keeper.run("backup", source)
    keeper.run("forget", "--keep-last", "1")
    assert "hide" in {version.action for version in b2.store.versions(bucket, "", "")}
    assert len(keeper.run("snapshots", "--json").json) == 1


class Both:
    """The same calls on b2sdk's simulator and on the service."""

    def __init__(self, server: B2Server) -> None:
        from b2sdk._internal.raw_simulator import RawSimulator

        self.simulator = RawSimulator()
        self.raw = B2RawHTTPApi(B2Http())
        key_id, key = self.simulator.create_account()
        simulated = self.simulator.authorize_account("production", key_id, key)
        real = self.raw.authorize_account(server.url, server.master_id, server.master_key)
        self.access: list[tuple[Any, str, str, str]] = [
            (api, answer["apiInfo"]["storageApi"]["apiUrl"], answer["authorizationToken"], answer["accountId"])
            for api, answer in ((self.simulator, simulated), (self.raw, real))
        ]
        self.authorizations = [simulated, real]

    def each(self, call: Callable[[Any, str, str, str], Any]) -> list[Any]:
        """Return both answers, or the types of both errors."""
        answers: list[Any] = []
        for access in self.access:
            try:
                answers.append(call(*access))
            except B2Error as error:
                answers.append(type(error).__name__)
        return answers


NOT_COMPARED = {
    *("accountId", "bucketId", "fileId", "uploadTimestamp", "authorizationToken", "uploadUrl", "revision", "options"),
    *("nextFileId", "nextFileName", "contentMd5"),
    # Of features that no backup uses: encryption by the service, locks, replication.
    *("defaultServerSideEncryption", "serverSideEncryption", "fileRetention", "legalHold", "fileLockConfiguration"),
    *("replicationConfiguration", "replicationStatus", "isFileLockEnabled", "customUploadTimestamp"),
}
"""What cannot be the same, or need not be."""


def comparable(value: Any) -> Any:
    """Return a value without what cannot be the same, and without what only one of both knows."""
    if isinstance(value, dict) and value.get("action") == "hide":
        # The vendor's documents give markers a type of their own and no SHA-1; the simulator does not.
        return {"action": "hide", "fileName": value["fileName"]}
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in sorted(value.items()) if key not in NOT_COMPARED}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value


def shared(ours: Any, theirs: Any) -> tuple[Any, Any]:
    """Return both with the keys alone that both have; either may know fields of its own."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = ours.keys() & theirs.keys()
        pairs = {key: shared(ours[key], theirs[key]) for key in keys}
        return {key: pair[0] for key, pair in pairs.items()}, {key: pair[1] for key, pair in pairs.items()}
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs_of = [shared(one, other) for one, other in zip(ours, theirs, strict=True)]
        return [pair[0] for pair in pairs_of], [pair[1] for pair in pairs_of]
    return ours, theirs


def test_answers_are_those_of_backblazes_simulator(b2: B2Server) -> None:
    both = Both(b2)

    def compare(what: str, call: Callable[[Any, str, str, str], Any]) -> list[Any]:
        simulated, real = both.each(call)
        ours, theirs = shared(comparable(real), comparable(simulated))
        if isinstance(real, dict) and isinstance(simulated, dict):
            entries, expected = real.get("files", []), simulated.get("files", [])
            for one, other in zip(entries, expected, strict=True):
                assert other.keys() - one.keys() <= NOT_COMPARED, what
        assert ours == theirs, what
        if isinstance(simulated, dict) and isinstance(real, dict):
            assert simulated.keys() - real.keys() <= NOT_COMPARED, what
        return [simulated, real]

    buckets = compare(
        "create bucket", lambda api, url, token, account: api.create_bucket(url, token, account, BUCKET, "allPrivate")
    )
    ids = {id(access[0]): answer["bucketId"] for access, answer in zip(both.access, buckets, strict=True)}
    compare("twice", lambda api, url, token, account: api.create_bucket(url, token, account, BUCKET, "allPrivate"))

    def upload(name: str, data: bytes) -> list[Any]:
        def call(api: Any, url: str, token: str, _: str) -> Any:
            place = api.get_upload_url(url, token, ids[id(api)])
            sha1 = hashlib.sha1(data).hexdigest()
            return api.upload_file(
                place["uploadUrl"],
                place["authorizationToken"],
                name,
                len(data),
                "text/plain",
                sha1,
                {"color": "blue"},
                io.BytesIO(data),
            )

        return compare(f"upload {name}", call)

    versions = upload("a/one", b"content one")
    upload("a/one", b"content one again")
    upload("b/two", b"")
    compare("names", lambda api, url, token, _: api.list_file_names(url, token, ids[id(api)]))
    compare("prefix", lambda api, url, token, _: api.list_file_names(url, token, ids[id(api)], prefix="a"))
    compare("versions", lambda api, url, token, _: api.list_file_versions(url, token, ids[id(api)]))
    files = {id(access[0]): answer["fileId"] for access, answer in zip(both.access, versions, strict=True)}
    compare("info", lambda api, url, token, _: api.get_file_info_by_id(url, token, files[id(api)]))
    compare("hide", lambda api, url, token, _: api.hide_file(url, token, ids[id(api)], "b/two"))
    compare("hidden", lambda api, url, token, _: api.list_file_names(url, token, ids[id(api)]))
    compare("delete", lambda api, url, token, _: api.delete_file_version(url, token, files[id(api)], "a/one"))
    compare("after all", lambda api, url, token, _: api.list_file_versions(url, token, ids[id(api)]))


def test_b2sdk_is_told_of_errors_in_its_own_terms(b2: B2Server) -> None:
    api = log_in(b2)
    bucket = api.create_bucket(BUCKET, "allPrivate")
    with pytest.raises(FileNotPresent):
        bucket.hide_file("nothing")
    with pytest.raises(B2Error):
        bucket.download_file_by_name("nothing").save(io.BytesIO())
    version = bucket.upload_bytes(b"x", "x")
    api.delete_file_version(version.id_, "x")
    with pytest.raises(FileNotPresent):
        api.delete_file_version(version.id_, "x")
