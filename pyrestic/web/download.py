"""Downloads: a file or a range of it, an image for display, a folder as an archive."""

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pyrestic.errors import NotFoundError, PyresticError
from pyrestic.format.node import Node
from pyrestic.ids import ID
from pyrestic.operations.dump import dump_folder
from pyrestic.repository.repository import Repository
from pyrestic.vfs.reader import FileReader
from pyrestic.web.guard import CONTENT_POLICY
from pyrestic.web.preview import IMAGE_BYTES, image_type
from pyrestic.web.site import Site, site_of
from pyrestic.web.streaming import ResponseLimit, StreamedAnswer
from pyrestic.web.texts import local_time, show_name

_PIECE_BYTES = 1 << 20
_PIPE_BYTES = 64 << 10
_HEAD_BYTES = 32
_ARCHIVES = 3
_TYPES = {"zip": "application/zip", "tar": "application/x-tar"}
_range = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII).fullmatch
_room = ResponseLimit(_ARCHIVES, "other folders are being packed")


def send_file(request: Request) -> Response:
    """Answer with a file or a range of it, as an attachment."""
    site = site_of(request)
    spot = site.requested(request)
    node = spot.file()
    headers = {"content-disposition": disposition(spot.name)}
    return send_content(request, site, node, "application/octet-stream", headers)


def send_image(request: Request) -> Response:
    """Answer with an image for display; raise NotFoundError for other files."""
    site = site_of(request)
    node = site.requested(request).file()
    reader = site.reader(node)
    kind = image_type(reader.read(0, _HEAD_BYTES))
    if not kind or reader.length > IMAGE_BYTES:
        raise NotFoundError("This image cannot be shown.")
    return send_content(request, site, node, kind, {"content-disposition": "inline"})


def send_archive(request: Request) -> Response:
    """Answer with a folder as a zip or tar archive, created while it is sent."""
    site = site_of(request)
    spot = site.requested(request)
    kind = "tar" if request.query_params.get("as") == "tar" else "zip"
    name = spot.name or b"snapshot"
    headers = {
        "content-disposition": disposition(b"%s %s.%s" % (name, _day(spot.stored.snapshot.time_ns), kind.encode())),
        "content-security-policy": CONTENT_POLICY,
    }
    tree = spot.folder()
    if request.method == "HEAD":
        return Response(media_type=_TYPES[kind], headers=headers)
    _room.take()
    packing = _Packing(site.repository, tree, name, kind)
    return StreamedAnswer(iter(packing), _room, _TYPES[kind], headers, packing.close)


def disposition(name: bytes) -> str:
    """Return the header that makes a browser save content under a name (RFC 6266); for old browsers also in ASCII."""
    text = re.sub(r"[/\\]", "_", show_name(name))
    plain = re.sub(r"[^A-Za-z0-9 ._()+=@-]", "_", text)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(text, safe='')}"


def _day(time_ns: int) -> bytes:
    return f"{local_time(time_ns):%Y-%m-%d}".encode()


def content_tag(node: Node) -> str:
    """Return the entity tag of a file: equal for equal content."""
    return f'"{hashlib.blake2b("".join(node.content or ()).encode(), digest_size=16).hexdigest()}"'


def send_content(request: Request, site: Site, node: Node, kind: str, headers: dict[str, str]) -> Response:
    """Answer with a file's content or the requested range; raise DamageError."""
    reader = site.reader(node)
    tag = content_tag(node)
    headers |= {"content-security-policy": CONTENT_POLICY, "accept-ranges": "bytes", "etag": tag}
    part = _asked_part(request, reader.length, tag)
    if part is None:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{reader.length}"})
    begin, end = part
    status = 200
    if (begin, end) != (0, reader.length):
        status = 206
        headers["content-range"] = f"bytes {begin}-{end - 1}/{reader.length}"
    headers["content-length"] = str(end - begin)
    if request.method == "HEAD":
        return Response(status_code=status, media_type=kind, headers=headers)
    return StreamingResponse(_pieces(reader, begin, end), status, headers, kind)


def _asked_part(request: Request, length: int, tag: str) -> tuple[int, int] | None:
    """Return start and end of the requested range, None if it is empty. Several ranges count as none."""
    match = _range(request.headers.get("range", ""))
    if match is None or match[0] == "bytes=-" or request.headers.get("if-range", tag) != tag:
        return 0, length
    if not match[1]:
        begin, end = max(0, length - int(match[2])), length
    else:
        begin, end = int(match[1]), min(length, int(match[2]) + 1 if match[2] else length)
    return (begin, end) if begin < end else None


def _pieces(reader: FileReader, begin: int, end: int) -> Iterator[bytes]:
    while begin < end:
        piece = reader.read(begin, min(_PIECE_BYTES, end - begin))
        begin += len(piece)
        yield piece


class _Packing:
    """A thread that writes an archive to a pipe, from which the response reads: a slow reader blocks it."""

    def __init__(self, repository: Repository, tree: ID, root: bytes, kind: str) -> None:
        reading, writing = os.pipe()
        self._stream = open(reading, "rb", buffering=0)  # noqa: SIM115 - closed by close
        self._error: PyresticError | None = None

        def pack() -> None:
            try:
                with open(writing, "wb", buffering=_PIPE_BYTES) as output:
                    dump_folder(repository, tree, root, output, kind)
            except PyresticError as error:
                self._error = error
            except BrokenPipeError:
                # The client has disconnected.
                return

        self._thread = threading.Thread(target=pack, name="archive", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[bytes]:
        while data := self._stream.read(_PIPE_BYTES):
            yield data
        self._thread.join()
        if self._error is not None:
            # Break off the connection: half an archive must not look complete.
            raise self._error

    def close(self) -> None:
        """End the thread."""
        self._stream.close()
