"""The parts of the pages that are functions of their values: names, lengths, comparisons, plots, pages of lists."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.web.access import ServerSecrets, split_host
from pyrestic.web.addresses import clean_location
from pyrestic.web.browse import MOST_CRUMBS, crumbs
from pyrestic.web.compare import Pair, Piece, compare_line, compare_lines
from pyrestic.web.download import disposition
from pyrestic.web.paging import Pages
from pyrestic.web.preview import decode_text, image_type
from pyrestic.web.size import Point, draw, round_step, thin
from pyrestic.web.texts import machine_time, show_bytes, show_change, show_name, show_time

LINES = st.lists(st.sampled_from(["", "a", "b", "a longer line", "a longer word", "ünï"]), max_size=40)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.00 KiB"),
        (10_230, "9.99 KiB"),
        (10_240, "10.0 KiB"),
        (1_023_000, "999 KiB"),
        (1_023_999, "0.98 MiB"),
        (5 << 40, "5.00 TiB"),
        (1 << 63, "8.00 EiB"),
    ],
)
def test_lengths_have_three_digits(count: int, shown: str) -> None:
    assert show_bytes(count) == shown


def test_changes_have_a_sign() -> None:
    assert [show_change(count) for count in (0, 2048, -2048)] == ["±0", "+2.00 KiB", "\N{MINUS SIGN}2.00 KiB"]


@given(st.integers(-(1 << 80), 1 << 80))
def test_every_time_is_shown(time_ns: int) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", show_time(time_ns))
    assert machine_time(time_ns)[:10] == show_time(time_ns)[:10]


@given(st.binary(max_size=40))
def test_every_name_can_be_shown_and_kept(name: bytes) -> None:
    shown = show_name(name)
    assert shown.isprintable()
    shown.encode("utf-8")
    header = disposition(name)
    assert re.fullmatch(r"attachment; filename=\"[A-Za-z0-9 ._()+=@-]*\"; filename\*=UTF-8''[A-Za-z0-9._~%-]*", header)


@given(st.binary(max_size=60))
def test_a_location_has_one_slash_before_each_name(location: bytes) -> None:
    clean = clean_location(location)
    assert clean.startswith(b"/")
    assert b"//" not in clean
    assert clean == b"/" or not clean.endswith(b"/")
    assert clean_location(clean) == clean


def side(pairs: Sequence[Pair], which: str) -> list[tuple[int, str]]:
    """Return the numbers and lines that the rows show on a side."""
    sides = [getattr(pair, which) for pair in pairs]
    return [(each.number, "".join(piece.text for piece in each.pieces)) for each in sides if each.number is not None]


@given(LINES, LINES)
def test_a_comparison_shows_every_line_that_differs_at_its_place(before: list[str], after: list[str]) -> None:
    pairs = list(compare_lines(before, after))
    for which, lines in (("old", before), ("new", after)):
        shown = side(pairs, which)
        assert shown == sorted(shown, key=lambda each: each[0])
        assert all(lines[number - 1] == text for number, text in shown)
    skipped = sum(pair.skipped for pair in pairs)
    assert len(side(pairs, "old")) + skipped == len(before)
    assert len(side(pairs, "new")) + skipped == len(after)
    for pair in pairs:
        if pair.kind == "equal":
            assert pair.old.pieces == pair.new.pieces


@given(st.text("ab ", max_size=30), st.text("ab ", max_size=30))
def test_lines_in_pieces_are_whole_and_share_what_is_not_marked(old: str, new: str) -> None:
    pieces = compare_line(old, new)
    assert ["".join(piece.text for piece in each) for each in pieces] == [old, new]
    shared = [[piece.text for piece in each if not piece.differs] for each in pieces]
    whole = pieces == ((Piece(old),) if old else (), (Piece(new),) if new else ())
    assert shared[0] == shared[1] or whole


@given(st.lists(st.tuples(st.integers(0, 2_000_000_000), st.integers(0, 1 << 50)), min_size=1, max_size=30))
def test_a_plot_stays_within_its_frame(points: list[Point]) -> None:
    plot = draw({"all": sorted(points)})
    numbers = [float(text) for text in re.findall(r"-?\d+\.\d", plot.curves[0].line)]
    assert all(-0.1 <= number <= 960.1 for number in numbers)
    heights = [row.place for row in plot.rows]
    assert plot.top - 0.1 <= min(heights) <= max(heights) <= plot.bottom + 0.1
    assert len(heights) <= 6


@given(st.floats(0, 1e18))
def test_steps_are_round_and_not_too_small(least: float) -> None:
    step = round_step(least)
    assert least <= step <= max(1, 2 * least)
    assert step & (step - 1) == 0


def test_many_points_are_thinned_and_the_ends_stay() -> None:
    points = [(number, number * number) for number in range(12_345)]
    thinned = thin(points)
    assert len(thinned) == 500
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])


@given(st.integers(0, 2_000), st.integers(1, 300), st.integers(-5, 10_000_000))
def test_pages_hold_everything_once(count: int, on_page: int, asked: int) -> None:
    pages = Pages(count, on_page, asked)
    assert 1 <= pages.number <= pages.last
    every = [Pages(count, on_page, number) for number in range(1, pages.last + 1)]
    assert [place for each in every for place in range(each.first, each.end)] == list(range(count))
    assert all(each.end - each.first <= on_page for each in every)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_a_text_or_none(data: bytes, cut: bool) -> None:
    text = decode_text(data, cut=cut)
    assert text is None or "\0" not in text
    assert image_type(data) in ("", "image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp", "image/avif")


def test_a_text_that_was_cut_within_a_character_is_still_one() -> None:
    whole = "Gärten".encode()
    assert decode_text(whole[:2], cut=True) == "G"
    assert decode_text(b"\xef\xbb\xbfabc") == "abc"
    assert decode_text("Gärten".encode("latin-1")) == "Gärten"
    assert decode_text(b"a\0b") is None


@given(st.text(max_size=40))
def test_no_name_of_a_host_is_taken_for_ours_by_chance(host: str) -> None:
    access = ServerSecrets(8421, ["backup.example"])
    name, port = split_host(host)
    if access.knows_host(host):
        assert name == "backup.example" or (port == "8421" and (name == "localhost" or "." in name or ":" in name))


def test_the_secrets_are_long_and_used_once() -> None:
    access = ServerSecrets(1)
    other = ServerSecrets(1)
    token = access.token
    assert len(token) >= 40
    assert token != other.token
    assert access.trade("") is None
    assert access.trade(token + "x") is None
    cookie = access.trade(token)
    assert cookie is not None
    assert access.trade(token) is None
    assert access.trade("") is None
    assert access.admits_cookies(f"a=b; pyrestic-1={cookie}")
    assert not other.admits_cookies(f"pyrestic-1={cookie}")
    assert not access.admits_cookies(f"pyrestic-2={cookie}")


def test_of_a_long_way_the_last_folders_are_named() -> None:
    assert [(crumb.name, crumb.location) for crumb in crumbs(b"/a/b")] == [(b"a", b"/a"), (b"b", b"/a/b")]
    above, *named = crumbs(b"/a" * 5000)
    assert (above.name.decode(), above.location) == ("…", b"/a" * (5000 - MOST_CRUMBS))
    assert [len(crumb.location) // 2 for crumb in named] == list(range(5001 - MOST_CRUMBS, 5001))
