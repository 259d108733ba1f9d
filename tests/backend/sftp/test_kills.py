"""Sessions that are killed again and again while threads work: nothing that was stored is lost or wrong."""

import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.servers import find_tool
from tools.place_servers.sftp import SshServer

KILLS = 40


@pytest.mark.nightly
@pytest.mark.process
def test_kills_at_random_moments_lose_no_file(tmp_path: Path) -> None:
    server = SshServer(tmp_path / "server", find_tool("openssh"))
    server.start()
    options = {"sftp.args": f"-F {server.client_settings}"}
    place = parse_location(f"sftp://127.0.0.1:{server.port}/{tmp_path}/repository")
    backend = RetryBackend(open_backend(place, options, Access(dict(os.environ))), sleep=lambda seconds: None)
    backend.create()
    dice = random.Random(14)
    contents = [dice.randbytes(dice.randrange(3_000_000)) for _ in range(120)]
    is_done = threading.Event()

    def kill() -> int:
        count = 0
        while count < KILLS and not is_done.wait(dice.random() / 2):
            count += server.signal_sessions(signal.SIGKILL) > 0
        return count

    def work(data: bytes) -> bool:
        handle = Handle(FileType.PACK, hash_id(data).hex())
        backend.save(handle, data)
        return backend.load(handle) == data

    with ThreadPoolExecutor(6) as pool:
        killing = pool.submit(kill)
        assert all(pool.map(work, contents))
        is_done.set()
        assert killing.result() > 3
    found = {info.name: info.length for info in backend.list(FileType.PACK)}
    assert found == {hash_id(data).hex(): len(data) for data in contents}
    backend.close()
    server.kill()
