"""Wildcards of one component, compared with a plain restatement of Go's filepath.Match, and globbing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.localfs.wildcards import ComponentKind, compile_component, glob
from tests.localfs.reference_filter import BadPatternError, match_component

PIECES = [
    b"a", b"b", b"*", b"?", b"[ab]", b"[^a]", "[^é]".encode(), b"\\*", "é".encode(), "[a-😀]".encode(),
    b"[", b"]", b"\\", b"-", b"^", b"\xc3", b"[\xff]", b".", b"\n",
]  # fmt: skip
NAMES = [b"a", b"b", b"*", "é".encode(), b"\xc3", b"\xff", "😀".encode(), b".", b"]", b"\n", "\ufffd".encode()]

patterns = st.lists(st.sampled_from(PIECES), max_size=7).map(b"".join)
names = st.lists(st.sampled_from(NAMES), max_size=6).map(b"".join)


def fits(pattern: bytes, name: bytes) -> bool:
    return compile_component(pattern).test(name)


@given(patterns, names)
def test_a_pattern_fits_what_go_says_it_fits(pattern: bytes, name: bytes) -> None:
    try:
        expected = match_component(pattern, name)
    except BadPatternError:
        with pytest.raises(UsageError):
            compile_component(pattern)
    else:
        assert fits(pattern, name) == expected


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_any_bytes_are_a_pattern_or_refused(pattern: bytes, name: bytes) -> None:
    try:
        match_component(pattern, b"")
    except BadPatternError:
        with pytest.raises(UsageError, match="syntax error"):
            compile_component(pattern)
    else:
        assert fits(pattern, name) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        (b"name", ComponentKind.EQUAL),
        (b"\\*name", ComponentKind.EQUAL),
        (b"*.o", ComponentKind.ENDS),
        (b"lib**", ComponentKind.STARTS),
        (b"*mid*", ComponentKind.CONTAINS),
        (b"a*b", ComponentKind.OTHER),
        (b"?", ComponentKind.OTHER),
    ],
)
def test_simple_patterns_are_compared_without_regular_expressions(pattern: bytes, kind: ComponentKind) -> None:
    assert compile_component(pattern).kind is kind


def test_a_star_may_stop_inside_a_character_as_in_go() -> None:
    assert fits("*[^é]".encode(), "é".encode())
    assert not fits("[^é]".encode(), "é".encode())


def test_many_stars_cost_no_exponential_time() -> None:
    assert not fits(b"*a" * 30 + b"b", b"a" * 5000)
    assert not fits(b"*?" * 12 + b"b", "é".encode() * 60)


@pytest.mark.parametrize("pattern", [b"[", b"[]", b"[a", b"[a-", b"[a-]", b"[-a]", b"\\", b"[\\", b"[^", b"a[\xff]"])
def test_a_malformed_pattern_is_refused_with_its_text(pattern: bytes) -> None:
    with pytest.raises(UsageError, match="syntax error in pattern"):
        compile_component(pattern)


@pytest.fixture
def folder(tmp_path: Path) -> bytes:
    for name in ("one.txt", "two.txt", ".hidden.txt", "sub/three.txt", "sub/deep/four.txt", "other/five.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    return bytes(tmp_path)


def test_globbing_finds_sorted_names_with_leading_dots_too(folder: bytes) -> None:
    assert glob(folder + b"/*.txt") == [folder + b"/.hidden.txt", folder + b"/one.txt", folder + b"/two.txt"]


def test_globbing_goes_through_several_levels_and_cleans_paths(folder: bytes) -> None:
    assert glob(folder + b"//*/t*") == [folder + b"/sub/three.txt"]
    assert glob(folder + b"/*/./t*") == glob(folder + b"/*//t*") == []
    assert glob(folder + b"/s?b/*/*.txt") == [folder + b"/sub/deep/four.txt"]


def test_a_path_without_wildcards_is_kept_as_it_is_if_it_exists(folder: bytes) -> None:
    assert glob(folder + b"//sub/") == [folder + b"//sub/"]
    assert glob(folder + b"/dangling") == [folder + b"/dangling"]
    assert glob(folder + b"/missing") == []


def test_globbing_without_folder_looks_at_the_working_directory(folder: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.decode())
    assert glob(b"o*") == [b"one.txt", b"other"]
    assert glob(b"./o*") == [b"one.txt", b"other"]
    assert glob(b"../*/one.txt")[0].endswith(b"/one.txt")


@pytest.mark.parametrize("pattern", [b"[", b"a/[/b*", b"[a/b]*"])
def test_globbing_refuses_malformed_patterns(pattern: bytes) -> None:
    with pytest.raises(UsageError):
        glob(pattern)


@pytest.mark.slow
def test_globbing_survives_hostile_patterns(folder: bytes) -> None:
    assert glob(folder + b"/*\0") == []
    with pytest.raises(UsageError, match="too many parts"):
        glob(b"*/" * 5000 + b"*")
