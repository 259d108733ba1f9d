"""The content of a stored file as a stream of blobs with read-ahead."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from pyrestic.errors import FormatError
from pyrestic.format.node import Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import parse_id
from pyrestic.repository.repository import Repository


class ContentReader:
    """Reads contents with as many concurrent loads as the backend recommends; memory holds that many blobs."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._ahead = max(2, repository.backend.connections)
        self._pool = ThreadPoolExecutor(self._ahead, "content")

    def __enter__(self) -> "ContentReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def blobs(self, node: Node) -> Iterator[bytes]:
        """Iterate the verified blobs of a file in order; raise MissingBlobError, DamageError or BackendError."""
        if node.content is None:
            raise FormatError(f"the file {node.name!r} has no content list")
        running: deque[Future[bytes]] = deque()
        waiting = iter(node.content)
        while True:
            while len(running) < self._ahead and (text := next(waiting, None)) is not None:
                handle = BlobHandle(BlobType.DATA, parse_id(text))
                running.append(self._pool.submit(self._repository.load_blob, handle))
            if not running:
                return
            yield running.popleft().result()
