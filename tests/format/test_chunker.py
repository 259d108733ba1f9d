"""Cut points: both engines against a plain restatement, and against the real restic."""

import functools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.format.chunker import MAX_LENGTH, MIN_LENGTH, Chunker
from pyrestic.format.polynomial import random_polynomial
from pyrestic.format.rabin import FirstCut, make_tables
from pyrestic.native.chunker import agrees, load_code
from pyrestic.native.machinecode import extract
from tests.support.chunker_reference import Reference
from tests.support.engines import CHUNKERS
from tests.support.restic import Program

KNOWN_POLYNOMIAL = 0x3DA3358B4DC173
SMALL_MIN, SMALL_MAX = 4096, 65_536


def data_with_cuts(length: int, seed: int) -> bytes:
    """Random bytes with runs of zeros, whose fingerprint allows a cut, here and there."""
    source = random.Random(seed)
    data = bytearray(source.randbytes(length))
    for _ in range(length // 20_000):
        start = source.randrange(length - 200)
        count = source.randrange(60, 140)
        data[start : start + count] = bytes(count)
    return bytes(data)


@pytest.fixture(params=CHUNKERS)
def engine(request: pytest.FixtureRequest) -> FirstCut:
    return CHUNKERS[request.param]()


@functools.cache
def expected_cuts(seed: int) -> tuple[int, bytes, list[int]]:
    """Return a polynomial, data, and the cuts of its plain restatement, which takes long."""
    polynomial = KNOWN_POLYNOMIAL if seed == 0 else random_polynomial()
    data = data_with_cuts(300_000, seed)
    return polynomial, data, Reference(polynomial, SMALL_MIN, SMALL_MAX).cuts(data)


@pytest.mark.parametrize("seed", range(4))
def test_cuts_equal_the_plain_restatement_for_random_polynomials(engine: FirstCut, seed: int) -> None:
    polynomial, data, expected = expected_cuts(seed)
    chunker = Chunker(polynomial, min_length=SMALL_MIN, max_length=SMALL_MAX)
    assert chunker.cuts(data, len(data), final=True, engine=engine) == expected
    assert len(expected) > 5


@given(length=st.integers(0, 40_000), seed=st.integers(0, 1000), period=st.integers(0, 300))
def test_both_engines_agree_on_any_data(length: int, seed: int, period: int) -> None:
    source = random.Random(seed)
    data = (source.randbytes(period) * (length // period + 1))[:length] if period else data_with_cuts(length, seed)
    chunker = Chunker(KNOWN_POLYNOMIAL, min_length=256, max_length=4096)
    found = [chunker.cuts(data, length, final=True, engine=find()) for find in CHUNKERS.values()]
    assert found == [chunker.cuts(data, length, final=True)] * len(CHUNKERS)


def test_zeros_are_cut_at_the_minimum_and_constant_bytes_at_the_maximum(engine: FirstCut) -> None:
    chunker = Chunker(KNOWN_POLYNOMIAL)
    zeros = bytes(3 * MIN_LENGTH + 7)
    assert chunker.cuts(zeros, len(zeros), final=True, engine=engine) == [
        MIN_LENGTH,
        2 * MIN_LENGTH,
        3 * MIN_LENGTH,
        len(zeros),
    ]
    ones = b"\1" * (MAX_LENGTH + 5)
    assert chunker.cuts(ones, len(ones), final=True, engine=engine) == [MAX_LENGTH, MAX_LENGTH + 5]


@pytest.mark.parametrize("length", [0, 1, MIN_LENGTH - 1, MIN_LENGTH])
def test_what_is_not_longer_than_the_minimum_is_one_chunk(engine: FirstCut, length: int) -> None:
    chunker = Chunker(KNOWN_POLYNOMIAL)
    assert chunker.cuts(b"x" * length, length, final=True, engine=engine) == ([length] if length else [])
    assert chunker.cuts(b"x" * length, length, final=False, engine=engine) == []


@pytest.mark.parametrize("buffer_length", [131_072, 131_073, 200_000])
def test_cutting_buffer_by_buffer_gives_the_cuts_of_the_whole(engine: FirstCut, buffer_length: int) -> None:
    data = data_with_cuts(700_000, 5)
    chunker = Chunker(KNOWN_POLYNOMIAL, min_length=SMALL_MIN, max_length=SMALL_MAX)
    ends, start, position = [], 0, 0
    buffer = b""
    while position < len(data) or buffer:
        taken = buffer_length - len(buffer)
        buffer += data[position : position + taken]
        position += taken
        final = position >= len(data)
        decided = chunker.cuts(buffer, len(buffer), final=final, engine=engine)
        ends += [start + end for end in decided]
        if final:
            break
        start += decided[-1]
        buffer = buffer[decided[-1] :]
    assert ends == chunker.cuts(data, len(data), final=True, engine=engine)


def test_a_polynomial_of_another_degree_and_lengths_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError):
        make_tables(0b1011)
    with pytest.raises(UsageError):
        Chunker(KNOWN_POLYNOMIAL, min_length=10)


@pytest.mark.slow
def test_compiled_code_can_be_kept_and_gives_the_same_cuts() -> None:
    pytest.importorskip("numba")
    from pyrestic.native.sources.chunker import compile_engine

    compiled = compile_engine()
    assert agrees(compiled.first_cut)
    assert compiled.code is not None
    engine = load_code(compiled.code)
    assert engine is not None
    data = data_with_cuts(400_000, 9)
    chunker = Chunker(KNOWN_POLYNOMIAL, min_length=SMALL_MIN, max_length=SMALL_MAX)
    assert chunker.cuts(data, len(data), final=True, engine=engine) == chunker.cuts(data, len(data), final=True)


def test_an_engine_with_other_answers_is_not_believed() -> None:
    def wrong(*_: object) -> int:
        return -1

    engine: FirstCut = wrong
    assert not agrees(engine)


@pytest.mark.parametrize("code", [b"", bytes(1 << 20)])
def test_code_of_an_impossible_length_is_not_loaded(code: bytes) -> None:
    assert load_code(code) is None


def test_what_is_no_object_file_gives_no_code() -> None:
    assert extract(b"not an object file", "name") is None


@pytest.mark.restic
def test_the_real_restic_cuts_at_the_same_places(newest: Program, tmp_path: Path) -> None:
    repository, folder = tmp_path / "repository", tmp_path / "folder"
    folder.mkdir()
    source = random.Random(3)
    files = {
        "random": source.randbytes(9 << 20),
        "zeros": bytes(5 * MIN_LENGTH + 1),
        "words": b" ".join(source.choices([b"alpha", b"beta", b"gamma", b"delta"], k=600_000)),
        "period": source.randbytes(1000) * 9000,
        "edge": source.randbytes(MIN_LENGTH + 64),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    newest.run("init", repository=repository)
    newest.run("backup", ".", repository=repository, cwd=folder)
    polynomial = int(newest.run("cat", "config", repository=repository).json["chunker_polynomial"], 16)
    tree = newest.run("cat", "tree", newest.snapshots(repository)[0]["id"], repository=repository).json
    lengths = {}
    import hashlib

    chunker = Chunker(polynomial)
    for find in CHUNKERS.values():
        for node in tree["nodes"]:
            data = files[node["name"]]
            ends = chunker.cuts(data, len(data), final=True, engine=find())
            chunks = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
            assert [hashlib.sha256(chunk).hexdigest() for chunk in chunks] == node["content"], node["name"]
            lengths[node["name"]] = len(chunks)
    assert lengths["random"] > 3
