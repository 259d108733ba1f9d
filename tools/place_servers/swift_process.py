"""OpenStack Swift in one process on loopback: proxy with tempauth and s3api, account, container and object server.

    python swift_process.py FOLDER PROXY ACCOUNT CONTAINER OBJECT USER KEY TOKEN_SECONDS

The upper words in the middle are ports. Needs the packages of tools/locks/swift.txt. FOLDER must keep extended
attributes. A dictionary takes the place of memcached, which tempauth needs for its tokens.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventlet

eventlet.monkey_patch()

import eventlet.wsgi  # noqa: E402 - after the patches
from swift.common import utils  # noqa: E402 - as above
from swift.common.http_protocol import SwiftHttpProtocol  # noqa: E402 - as above
from swift.common.ring import RingBuilder  # noqa: E402 - as above
from swift.common.storage_policy import reload_storage_policies  # noqa: E402 - as above
from swift.common.wsgi import loadapp  # noqa: E402 - as above

_PROXY = """[DEFAULT]
swift_dir = {folder}
log_level = ERROR
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_{user} = {key} .admin
user_test_guest = {key}
token_life = {seconds}
storage_url_scheme = http
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""
_SERVER = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/disks
mount_check = false
recon_cache_path = {folder}/cache
fallocate_reserve = 0
log_level = ERROR
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
_SWIFT = """[swift-hash]
swift_hash_path_suffix = pyrestic
swift_hash_path_prefix = pyrestic
[storage-policy:0]
name = gold
default = yes
[storage-policy:1]
name = silver
"""

App = Callable[[dict[str, Any], object], object]
"""A WSGI application."""


class Memory:
    """What tempauth keeps its tokens in: the calls of a memcached, in this process."""

    def __init__(self) -> None:
        self._items: dict[str, Any] = {}

    def get(self, key: str, default: object = None, **_: object) -> object:
        """Return an item."""
        return self._items.get(key, default)

    def set(self, key: str, value: object, **_: object) -> None:
        """Store an item as it would come back over the wire: tuples are lists then."""
        self._items[key] = json.loads(json.dumps(value))

    def incr(self, key: str, delta: int = 1, **_: object) -> int:
        """Add to a number."""
        self._items[key] = max(0, int(self._items.get(key, 0)) + delta)
        return int(self._items[key])

    def decr(self, key: str, delta: int = 1, **_: object) -> int:
        """Subtract from a number."""
        return self.incr(key, -delta)

    def delete(self, key: str, **_: object) -> None:
        """Remove an item."""
        self._items.pop(key, None)

    def set_multi(self, mapping: dict[str, Any], *_: object, **__: object) -> None:
        """Store items."""
        for key, value in mapping.items():
            self.set(key, value)

    def get_multi(self, keys: list[str], *_: object, **__: object) -> list[Any]:
        """Return items."""
        return [self._items.get(key) for key in keys]


class Quiet:
    """A log that nobody reads."""

    def write(self, text: str) -> None:
        """Drop a text."""


def with_memory(app: App, memory: Memory) -> App:
    """Return the application with a memory in place of memcached."""

    def call(environ: dict[str, Any], start_response: object) -> object:
        environ["swift.cache"] = memory
        return app(environ, start_response)

    return call


def write_settings(folder: Path, ports: dict[str, int], user: str, key: str, seconds: str) -> None:
    """Write the settings of all four servers, and the rings of three."""
    for name in ("disks/d1", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text(_SWIFT)
    (folder / "proxy.conf").write_text(_PROXY.format(folder=folder, user=user, key=key, seconds=seconds))
    for kind in ("account", "container", "object"):
        (folder / f"{kind}.conf").write_text(_SERVER.format(folder=folder, kind=kind))
        for ring in (kind, "object-1") if kind == "object" else (kind,):
            builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
            address = {"ip": "127.0.0.1", "port": ports[kind]}
            address |= {f"replication_{name}": value for name, value in address.items()}
            builder.add_dev({"id": 0, "region": 1, "zone": 1, "device": "d1", "weight": 1, **address})
            builder.rebalance(seed=1)
            builder.get_ring().save(str(folder / f"{ring}.ring.gz"))


def main() -> None:
    """Serve until the process is ended."""
    folder, (user, key, seconds) = Path(sys.argv[1]).resolve(), sys.argv[6:9]
    ports = dict(zip(("proxy", "account", "container", "object"), map(int, sys.argv[2:6]), strict=True))
    write_settings(folder, ports, user, key, seconds)
    utils.set_swift_dir(str(folder))
    utils.validate_configuration()
    reload_storage_policies()
    memory, pool = Memory(), eventlet.GreenPool(2000)
    servers = [
        eventlet.spawn(
            eventlet.wsgi.server,
            eventlet.listen(("127.0.0.1", ports[name]), backlog=512),
            with_memory(loadapp(str(folder / f"{name}.conf")), memory),
            Quiet(),
            custom_pool=pool,
            protocol=SwiftHttpProtocol,
            log_output=False,
            capitalize_response_headers=False,
        )
        # The proxy last: whoever reaches it finds the others.
        for name in ("account", "container", "object", "proxy")
    ]
    for server in servers:
        server.wait()


if __name__ == "__main__":
    main()
