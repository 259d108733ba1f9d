"""rclone answers 404 for failures of the remote; only its lists tell whether a file is missing.

The server here is a script, because the real rclone has no remote that fails on request.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pyrestic.backend.http import Answer
from pyrestic.backend.rest import RestBackend
from pyrestic.backend.rest_url import RestUrl
from pyrestic.errors import BackendError, NotFoundError, TransientError
from pyrestic.handle import FileType, Handle

PACK, LOCK, CONFIG = Handle(FileType.PACK, "ab" * 32), Handle(FileType.LOCK, "cd" * 32), Handle(FileType.CONFIG, "")
KEY = "ef" * 32
VERSION_2 = "application/vnd.x.restic.rest.v2"
Use = Callable[[RestBackend, Handle], object]
USES: dict[str, Use] = {"remove": RestBackend.remove, "load": RestBackend.load, "stat": RestBackend.stat}


class FailingServer:
    """Says 404 to all requests for files. `lists` are the names in folders, None if listing fails, too."""

    def __init__(self, lists: Mapping[str, list[str] | None], program: str = "rclone/v1.53.3") -> None:
        self.lists = lists
        self.program = program
        self.listed: list[str] = []

    def send(self, method: str, url: str, **_: Any) -> Answer:
        headers = {"server": self.program, "content-type": VERSION_2}
        path = url.removeprefix("http://localhost/")
        if path and not path.endswith("/"):
            return Answer(404, headers, b"")
        self.listed.append(path)
        names = self.lists.get(path, [])
        if names is None:
            return Answer(500, headers, b"")
        return Answer(200, headers, json.dumps([{"name": name, "size": 1} for name in names]).encode())

    def interrupt(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def error_of(server: FailingServer, use: str, handle: Handle) -> type[BackendError]:
    with pytest.raises(BackendError) as caught:
        USES[use](RestBackend(server, RestUrl("http://localhost/", "", "")), handle)
    return caught.type


@pytest.mark.parametrize("use", USES)
def test_a_file_is_missing_on_rclone_only_if_its_list_says_so(use: str) -> None:
    assert error_of(FailingServer({"data/": [PACK.name]}), use, PACK) is TransientError
    assert error_of(FailingServer({"locks/": [LOCK.name]}), use, LOCK) is TransientError
    assert error_of(FailingServer({"data/": None}), use, PACK) is TransientError
    assert error_of(FailingServer({"locks/": [PACK.name]}), use, LOCK) is NotFoundError


@pytest.mark.parametrize("use", USES)
def test_a_config_is_looked_for_in_the_list_of_all_files_only_if_there_are_keys(use: str) -> None:
    assert error_of(FailingServer({"keys/": [KEY], "": ["config", KEY]}), use, CONFIG) is TransientError
    assert error_of(FailingServer({"keys/": None}), use, CONFIG) is TransientError
    assert error_of(FailingServer({"keys/": [KEY], "": [KEY]}), use, CONFIG) is NotFoundError
    foreign = FailingServer({"": ["config", "photo.jpg"]})
    assert error_of(foreign, use, CONFIG) is NotFoundError
    assert foreign.listed == ["keys/"]


@pytest.mark.parametrize("use", USES)
def test_other_servers_are_believed(use: str) -> None:
    server = FailingServer({"data/": [PACK.name]}, "rest-server")
    assert error_of(server, use, PACK) is NotFoundError
    assert server.listed == []
