"""Two versions of a file side by side: lines of text, images, or properties."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from pyrestic.errors import NotFoundError
from pyrestic.format.node import FILE, Node
from pyrestic.web.addresses import requested_location
from pyrestic.web.browse import crumbs
from pyrestic.web.preview import IMAGE_BYTES, TEXT_BYTES, decode_text, image_type
from pyrestic.web.site import Site, Spot, site_of

_LINES = 8_000
"""Longer texts are not compared: the time grows with the square of the length."""
_CONTEXT = 3
_HEAD_BYTES = 32
_LINE_CHARACTERS = 400
_LOOKED_INTO = 300
_ROWS = 3_000


class Piece(NamedTuple):
    """A part of a line, and whether it is missing from the other side."""

    text: str
    differs: bool = False


class DiffLine(NamedTuple):
    """A line of one side with its number from 1; no number if this side has none."""

    number: int | None = None
    pieces: tuple[Piece, ...] = ()


class Pair(NamedTuple):
    """A row: kind is equal, replace, delete, insert, or skip for `skipped` equal rows."""

    kind: str
    old: DiffLine = DiffLine()
    new: DiffLine = DiffLine()
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of two versions; `reason` explains why their lines are not compared."""

    images: bool = False
    pairs: tuple[Pair, ...] = ()
    added: int = 0
    removed: int = 0
    cut: bool = False
    same: bool = False
    reason: str = ""


def show_comparison(request: Request) -> Response:
    """Answer with two versions of a file side by side."""
    site = site_of(request)
    location = requested_location(request, before=3)
    old = site.find(site.catalog.find(request.path_params["old"]), location)
    new = site.find(site.catalog.find(request.path_params["new"]), location)
    if new.stored.snapshot.time_ns < old.stored.snapshot.time_ns:
        old, new = new, old
    return site.renderer.page(
        "compare.html",
        active="timeline",
        spot=new,
        old=old,
        new=new,
        crumbs=crumbs(location),
        comparison=compare(site, _file(old), _file(new)),
    )


def _file(spot: Spot) -> Node:
    if spot.node is None or spot.node.type != FILE:
        raise NotFoundError("Only files can be compared.")
    return spot.node


def compare(site: Site, old: Node, new: Node) -> Comparison:
    """Return the comparison of two files; raise DamageError or BackendError."""
    if old.content == new.content:
        return Comparison(same=True)
    readers = [site.reader(node) for node in (old, new)]
    if all(image_type(reader.read(0, _HEAD_BYTES)) and reader.length <= IMAGE_BYTES for reader in readers):
        return Comparison(images=True)
    if any(reader.length > TEXT_BYTES for reader in readers):
        return Comparison(reason="These versions are too large to compare here.")
    texts = [decode_text(reader.read(0, TEXT_BYTES)) for reader in readers]
    if texts[0] is None or texts[1] is None:
        return Comparison(reason="These versions are not text, so there are no lines to compare.")
    before, after = texts[0].splitlines(), texts[1].splitlines()
    if max(len(before), len(after)) > _LINES:
        return Comparison(reason="These versions have too many lines to compare here.")
    pairs = list(compare_lines(before, after))
    return Comparison(
        pairs=tuple(pairs[:_ROWS]),
        added=sum(pair.kind in ("insert", "replace") and pair.new.number is not None for pair in pairs),
        removed=sum(pair.kind in ("delete", "replace") and pair.old.number is not None for pair in pairs),
        cut=len(pairs) > _ROWS,
    )


def compare_lines(before: Sequence[str], after: Sequence[str]) -> Iterator[Pair]:
    """Iterate the rows with changed lines, with three equal ones around each change."""
    looked_into = 0
    groups = SequenceMatcher(None, before, after).get_grouped_opcodes(_CONTEXT)
    shown = 0
    for group in groups:
        if group[0][1] > shown:
            yield Pair("skip", skipped=group[0][1] - shown)
        for kind, old_begin, old_end, new_begin, new_end in group:
            for step in range(max(old_end - old_begin, new_end - new_begin)):
                old, new = old_begin + step, new_begin + step
                left = before[old] if old < old_end else None
                right = after[new] if new < new_end else None
                pieces: tuple[tuple[Piece, ...], tuple[Piece, ...]] = (_whole(left), _whole(right))
                if kind == "replace" and left is not None and right is not None and looked_into < _LOOKED_INTO:
                    looked_into += 1
                    pieces = compare_line(left, right)
                yield Pair(
                    kind,
                    DiffLine(None if left is None else old + 1, pieces[0]),
                    DiffLine(None if right is None else new + 1, pieces[1]),
                )
            shown = old_end
    if shown < len(before):
        yield Pair("skip", skipped=len(before) - shown)


def compare_line(old: str, new: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Return both lines in pieces, with changed pieces marked; very different lines are not split."""
    if max(len(old), len(new)) > _LINE_CHARACTERS:
        return _whole(old), _whole(new)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if matcher.ratio() < 0.4:
        return _whole(old), _whole(new)
    left: list[Piece] = []
    right: list[Piece] = []
    for kind, old_begin, old_end, new_begin, new_end in matcher.get_opcodes():
        if old_end > old_begin:
            left.append(Piece(old[old_begin:old_end], kind != "equal"))
        if new_end > new_begin:
            right.append(Piece(new[new_begin:new_end], kind != "equal"))
    return tuple(left), tuple(right)


def _whole(line: str | None) -> tuple[Piece, ...]:
    return () if not line else (Piece(line),)
