"""What the service keeps: buckets, versions of files, parts, keys in SQLite; contents as files beside it."""

import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = "0123456789ab"
ALL_CAPABILITIES = tuple(
    re.findall(
        r"\w+",
        """listKeys writeKeys deleteKeys listBuckets listAllBucketNames readBuckets writeBuckets deleteBuckets
        readBucketRetentions writeBucketRetentions readBucketEncryption writeBucketEncryption readBucketLogging
        writeBucketLogging readBucketReplications writeBucketReplications listFiles readFiles shareFiles writeFiles
        deleteFiles readFileLegalHolds writeFileLegalHolds readFileRetentions writeFileRetentions bypassGovernance""",
    )
)

_SCHEMA = """
create table if not exists buckets (id text primary key, name text unique, type text, info text, rules text,
    revision integer);
create table if not exists versions (id text primary key, bucket text, name text, action text, length integer,
    sha1 text, type text, info text, time integer, content text);
create index if not exists by_name on versions (bucket, name, time desc);
create table if not exists parts (file text, number integer, length integer, sha1 text, content text, time integer,
    primary key (file, number));
create table if not exists keys (id text primary key, secret text, name text, capabilities text, buckets text,
    prefix text, expires integer);
create table if not exists counts (name text primary key, value integer);
"""


@dataclass(frozen=True)
class Version:
    """A version of a file; `content` names the file with its bytes, "" if it has none."""

    id: str
    bucket: str
    name: str
    action: str
    length: int
    sha1: str | None
    type: str | None
    info: dict[str, str]
    time: int
    content: str


@dataclass(frozen=True)
class Part:
    """A part of a large file."""

    number: int
    length: int
    sha1: str
    content: str
    time: int


@dataclass(frozen=True)
class Key:
    """An application key: what it may do, where (None: everywhere), until when (milliseconds)."""

    id: str
    secret: str
    name: str
    capabilities: tuple[str, ...]
    buckets: tuple[str, ...] | None
    prefix: str
    expires: int | None


@dataclass(frozen=True)
class Bucket:
    """A bucket."""

    id: str
    name: str
    type: str
    info: dict[str, str]
    rules: list[dict[str, Any]]
    revision: int


class Store:
    """The folder of a service. `clock` returns seconds since 1970. Thread-safe."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.contents = folder / "contents"
        self.contents.mkdir(parents=True, exist_ok=True)
        self.clock = clock
        self.lock = threading.RLock()
        self._database = sqlite3.connect(folder / "service.sqlite", check_same_thread=False, isolation_level=None)
        self._database.execute("pragma journal_mode=wal")
        self._database.execute("pragma synchronous=off")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        with self.lock:
            self._database.close()

    def run(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        with self.lock:
            return self._database.execute(sql, values).fetchall()

    def next_number(self, name: str, at_least: int = 0) -> int:
        """Return the next number of a series, never below at_least."""
        with self.lock:
            rows = self.run("select value from counts where name = ?", name)
            value = max(rows[0][0] + 1 if rows else 1, at_least)
            self.run("insert or replace into counts values (?, ?)", name, value)
            return value

    def now(self) -> int:
        """Return the time in milliseconds; each later than the one before."""
        return self.next_number("time", int(self.clock() * 1000))

    def new_content(self) -> Path:
        """Return the path of a file to write content to."""
        return self.contents / f"{self.next_number('content'):012d}"

    def drop_content(self, content: str) -> None:
        """Remove a file with content."""
        if content:
            (self.contents / content).unlink(missing_ok=True)

    def add_version(
        self,
        bucket: str,
        name: str,
        action: str,
        *,
        length: int = 0,
        sha1: str | None = None,
        type_: str | None = None,
        info: dict[str, str] | None = None,
        content: str = "",
    ) -> Version:
        """Add a version, the newest one of its name."""
        with self.lock:
            now = self.now()
            moment = time.strftime("d%Y%m%d_m%H%M%S", time.gmtime(now // 1000))
            version_id = f"4_z{bucket}_f{self.next_number('file'):016x}_{moment}_c001_v0001_t0000_u{now:014d}"
            version = Version(version_id, bucket, name, action, length, sha1, type_, info or {}, now, content)
            self.put_version(version)
            return version

    def put_version(self, version: Version) -> None:
        """Write a version, new or changed."""
        row = (*vars(version).values(),)
        self.run(
            "insert or replace into versions values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(json.dumps(value) if isinstance(value, dict) else value for value in row),
        )

    def find_version(self, version_id: str) -> Version | None:
        """Return a version by its ID."""
        rows = self.run("select * from versions where id = ?", version_id)
        return _version(rows[0]) if rows else None

    def newest(self, bucket: str, name: str) -> Version | None:
        """Return the version of a name that counts: an upload or a hide marker."""
        rows = self.run(
            "select * from versions where bucket = ? and name = ? and action != 'start' order by time desc limit 1",
            bucket,
            name,
        )
        return _version(rows[0]) if rows else None

    def versions(self, bucket: str, start: str, prefix: str) -> Iterator[Version]:
        """Iterate versions by name, newest first, from a name on."""
        last: tuple[str, int] | None = None
        while True:
            where, values = "name >= ?", (max(start, prefix),)
            if last is not None:
                where, values = "(name > ? or (name = ? and time < ?))", (last[0], last[0], last[1])  # type: ignore[assignment]
            rows = self.run(
                f"select * from versions where bucket = ? and {where} order by name, time desc limit 500",
                bucket,
                *values,
            )
            for row in rows:
                if not row[2].startswith(prefix):
                    return
                yield _version(row)
            if len(rows) < 500:
                return
            last = (rows[-1][2], rows[-1][8])

    def remove_version(self, version: Version) -> None:
        """Remove a version with its content and parts."""
        with self.lock:
            self.run("delete from versions where id = ?", version.id)
            for part in self.parts(version.id):
                self.drop_content(part.content)
            self.run("delete from parts where file = ?", version.id)
            self.drop_content(version.content)

    def put_part(self, file_id: str, part: Part) -> None:
        """Write a part of a large file, in place of an earlier one of its number."""
        with self.lock:
            for old in self.parts(file_id):
                if old.number == part.number:
                    self.drop_content(old.content)
            row = (file_id, part.number, part.length, part.sha1, part.content, part.time)
            self.run("insert or replace into parts values (?, ?, ?, ?, ?, ?)", *row)

    def parts(self, file_id: str) -> list[Part]:
        """Return the parts of a large file that were uploaded."""
        sql = "select number, length, sha1, content, time from parts where file = ? order by number"
        return [Part(*row) for row in self.run(sql, file_id)]

    def join_parts(self, version: Version, parts: list[Part]) -> None:
        """Make the parts of a large file its content."""
        target = self.new_content()
        os.rename(self.contents / parts[0].content, target)
        with target.open("ab") as file:
            for part in parts[1:]:
                with (self.contents / part.content).open("rb") as source:
                    while data := source.read(1 << 20):
                        file.write(data)
        length = sum(part.length for part in parts)
        values = {**vars(version), "action": "upload", "length": length, "sha1": None, "content": target.name}
        with self.lock:
            self.put_version(Version(**values))
            for part in parts[1:]:
                self.drop_content(part.content)
            self.run("delete from parts where file = ?", version.id)

    def put_bucket(self, bucket: Bucket) -> None:
        """Write a bucket, new or changed."""
        row = (bucket.id, bucket.name, bucket.type, json.dumps(bucket.info), json.dumps(bucket.rules), bucket.revision)
        self.run("insert or replace into buckets values (?, ?, ?, ?, ?, ?)", *row)

    def buckets(self) -> list[Bucket]:
        """Return all buckets, by name."""
        rows = self.run("select * from buckets order by name")
        return [Bucket(row[0], row[1], row[2], json.loads(row[3]), json.loads(row[4]), row[5]) for row in rows]

    def remove_bucket(self, bucket: Bucket) -> None:
        """Remove an empty bucket."""
        self.run("delete from buckets where id = ?", bucket.id)

    def add_key(
        self,
        name: str,
        capabilities: tuple[str, ...],
        buckets: tuple[str, ...] | None = None,
        prefix: str = "",
        expires: int | None = None,
    ) -> Key:
        """Make a key."""
        key = Key(
            f"000{ACCOUNT}{self.next_number('key'):010d}",
            f"K000{secrets.token_urlsafe(21)}",
            name,
            capabilities,
            buckets,
            prefix,
            expires,
        )
        shown = None if buckets is None else json.dumps(buckets)
        row = (key.id, key.secret, name, " ".join(capabilities), shown, prefix, expires)
        self.run("insert into keys values (?, ?, ?, ?, ?, ?, ?)", *row)
        return key

    def all_keys(self) -> list[Key]:
        """Return all keys."""
        return [
            Key(row[0], row[1], row[2], tuple(row[3].split()), _buckets(row[4]), row[5], row[6])
            for row in self.run("select * from keys order by id")
        ]

    def remove_key(self, key: Key) -> None:
        """Remove a key."""
        self.run("delete from keys where id = ?", key.id)


def _buckets(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def _version(row: tuple[Any, ...]) -> Version:
    return Version(row[0], row[1], row[2], row[3], row[4], row[5], row[6], json.loads(row[7]), row[8], row[9])
