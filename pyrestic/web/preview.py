"""The preview of a file: text, an image, or the reason why there is none. The content decides, not the name."""

from dataclasses import dataclass

from pyrestic.format.node import Node
from pyrestic.web.site import Site

TEXT_BYTES = 512 << 10
"""Limit of displayed text."""
IMAGE_BYTES = 64 << 20
_LINES = 5_000
_HEAD_BYTES = 32
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
_BINARY = frozenset(range(32)) - frozenset(b"\t\n\r\f\b\x1b")


@dataclass(frozen=True, slots=True)
class Preview:
    """The preview of a file: `image` for an image, `lines` of a text, otherwise `reason`."""

    image: bool = False
    lines: tuple[str, ...] = ()
    cut: bool = False
    """Whether the text is longer."""
    reason: str = ""


def image_type(head: bytes) -> str:
    """Return the type of an image from its first bytes, "" if it is not displayed.

    SVG is excluded: it is a document that may contain scripts.
    """
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "image/avif"
    return ""


def make_preview(site: Site, node: Node) -> Preview:
    """Return the preview of a file; raise DamageError or BackendError."""
    reader = site.reader(node)
    if not reader.length:
        return Preview(reason="This file is empty.")
    kind = image_type(reader.read(0, _HEAD_BYTES))
    if kind and reader.length <= IMAGE_BYTES:
        return Preview(image=True)
    data = reader.read(0, TEXT_BYTES)
    text = None if kind else decode_text(data, cut=reader.length > len(data))
    if text is None:
        return Preview(reason="There is no preview of this kind of file; download it to open it.")
    lines = text.splitlines()
    return Preview(lines=tuple(lines[:_LINES]), cut=reader.length > len(data) or len(lines) > _LINES)


def decode_text(data: bytes, *, cut: bool = False) -> str | None:
    """Return bytes as text, None if they are not text. `cut`: the last character may be incomplete."""
    if not _BINARY.isdisjoint(data):
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if cut and error.start > len(data) - 4:
            return data[: error.start].decode("utf-8-sig")
        return data.decode("latin-1")
