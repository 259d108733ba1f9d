"""Lists of patterns, compared with a plain restatement of restic's filter; tests/compat compares with the real one."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.localfs.patterns import PatternList, check_patterns, lower
from tests.localfs.reference_filter import match_list

PARTS = ["a", "b", "**", "*", "?", "a*", "[ab]", "ab", "..", ".", "é", "[^é]", "\\*"]
NAMES = [b"a", b"b", b"ab", b"A", "é".encode(), b"\xff", b"*"]

runs = st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("/".join)
patterns = st.tuples(st.sampled_from(["", "", "!"]), st.sampled_from(["", "/"]), runs).map("".join)
paths = st.tuples(
    st.sampled_from([b"/", b"/", b""]), st.lists(st.sampled_from(NAMES), min_size=1, max_size=6).map(b"/".join)
).map(b"".join)


@given(st.lists(patterns, max_size=5), st.lists(paths, min_size=1, max_size=8))
def test_a_list_decides_as_restic_does(texts: list[str], samples: list[bytes]) -> None:
    compiled = PatternList(texts)
    for path in samples:
        expected = match_list([text.encode() for text in texts], path)
        assert compiled.matches_or_below(path) == expected, (texts, path)
        assert compiled.matches(path) == expected[0]


@given(st.lists(st.text(max_size=12), max_size=4), st.binary(min_size=1, max_size=20))
def test_any_text_is_a_list_of_patterns_or_refused(texts: list[str], path: bytes) -> None:
    texts = [text.encode("utf-8", "surrogateescape" if text.isascii() else "replace").decode() for text in texts]
    try:
        compiled = PatternList(texts)
    except UsageError:
        with pytest.raises(UsageError):
            check_patterns(texts, "--exclude")
    else:
        check_patterns(texts, "--exclude")
        assert compiled.matches(path) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.py", b"/home/me/code/x.py", True),
        ("code", b"/home/me/code/x.py", True),
        ("me/*", b"/home/me/code/x.py", True),
        ("/me", b"/home/me", False),
        ("/home/*/code", b"/home/me/code/deep/below", True),
        ("/home/*", b"/home", False),
        ("/home/**", b"/home", True),
        ("home/**/x.py", b"/home/x.py", True),
        ("home/**/x.py", b"/home/a/b/c/x.py", True),
        ("/", b"/anything", True),
        ("/a/../b/", b"/b", True),
        ("**", b"/x", True),
        ("", b"/x", False),
    ],
)
def test_single_patterns(pattern: str, path: bytes, *, expected: bool) -> None:
    assert PatternList([pattern]).matches(path) == expected


def test_several_double_stars_need_room_as_in_restic() -> None:
    compiled = PatternList(["/a/**/b/**"])
    assert not compiled.matches(b"/a/b")
    assert compiled.matches(b"/a/b/c")
    assert not compiled.matches(b"/a/x/b")
    assert compiled.matches(b"/a/x/b/c")


def test_the_last_fitting_pattern_decides() -> None:
    compiled = PatternList(["*.log", "!keep.log", "/tmp/keep.log"])
    assert compiled.matches(b"/var/a.log")
    assert not compiled.matches(b"/var/keep.log")
    assert compiled.matches(b"/tmp/keep.log")


def test_below_tells_where_a_walk_can_stop() -> None:
    compiled = PatternList(["/home/*/docs"])
    assert compiled.matches_or_below(b"/home") == (False, True)
    assert compiled.matches_or_below(b"/home/me") == (False, True)
    assert compiled.matches_or_below(b"/home/me/docs") == (True, True)
    assert compiled.matches_or_below(b"/home/me/music") == (False, False)
    assert compiled.matches_or_below(b"/etc") == (False, False)


def test_case_is_ignored_on_request_beyond_ascii_too() -> None:
    compiled = PatternList(["*.JPG", "ÄRGER", "İX"], ignore_case=True)
    assert compiled.matches(b"/a/b.jpg")
    assert compiled.matches("/ärger/x".encode())
    assert compiled.matches(b"/ix")
    assert not PatternList(["*.JPG"]).matches(b"/a/b.jpg")


@given(st.binary(max_size=30))
def test_lower_case_is_stable_and_valid(text: bytes) -> None:
    small = lower(text)
    assert lower(small) == small
    if not text.isascii():
        small.decode("utf-8")


def test_malformed_patterns_are_named_with_their_option() -> None:
    with pytest.raises(UsageError) as caught:
        check_patterns(["ok", "[bad", "!*[._]log[.-][0-9]"], "--exclude")
    assert str(caught.value) == "--exclude: invalid pattern(s) provided:\n[bad\n!*[._]log[.-][0-9]"


def test_very_deep_paths_need_no_deep_stack() -> None:
    path = b"/a" * 2000
    assert PatternList(["b", "/a/**/c", "a/**/a/**/x"]).matches(path) is False
    assert PatternList(["/**/a"]).matches(path)


def test_memory_for_folders_is_bounded() -> None:
    compiled = PatternList(["x"])
    for number in range(40_000):
        compiled.matches(b"/%d/y" % number)
    assert len(compiled._states) <= 16_384


@pytest.mark.slow
def test_ten_patterns_cost_a_few_microseconds_for_a_path() -> None:
    compiled = PatternList(
        ["*.o", "node_modules", ".cache", "*~", "/var/tmp", "/home/*/.local", "*.pyc", "a*b", "[Tt]humbs", "!x.o"]
    )
    samples = [b"/home/me/project%d/src/file%d.c" % (number % 50, number) for number in range(20_000)]
    started = time.perf_counter()
    assert not any(map(compiled.matches, samples))
    # About 2 µs on the machine this was written on; the bound leaves room for slow and busy ones.
    assert (time.perf_counter() - started) / len(samples) < 40e-6


def test_a_path_of_any_depth_costs_one_step_for_each_folder() -> None:
    patterns = PatternList(["nothing", "/d/**/x"])
    steps = 0
    plain = patterns._automaton.step

    def step(state: int, name: bytes) -> int:
        nonlocal steps
        steps += 1
        return plain(state, name)

    patterns._automaton.step = step  # type: ignore[method-assign]
    path = b""
    for _ in range(2000):
        path += b"/d"
        assert not patterns.matches(path)
    assert patterns.matches(path + b"/x")
    # One for the path itself, one for the folder that holds it.
    assert steps < 3 * 2000
