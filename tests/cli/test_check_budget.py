"""Checks that read a part each time get round to every pack, and say how long ago each was verified."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.localfs.verification_log import ProofBook
from pyrestic.operations.check_rotation import Coverage, Rotation, measure_coverage
from tests.support.cli import Caller
from tests.support.damage import flip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of several packs."""
    folder = tmp_path_factory.mktemp("original")
    call = Caller(folder)
    call.create()
    source = folder / "source"
    source.mkdir()
    dice = random.Random(4)
    for number in range(3):
        (source / f"{number}").write_bytes(dice.randbytes(2 << 20))
        assert call("backup", source).code == 0
    return call.repository


@pytest.fixture
def made(original: Path, tmp_path: Path) -> Caller:
    shutil.copytree(original, tmp_path / "repository")
    return Caller(tmp_path)


def packs(call: Caller) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (call.repository / "data").glob("??/*")}


def find_book(call: Caller) -> ProofBook:
    identifier = json.loads(call("cat", "config").out)["id"]
    return ProofBook(str(call.folder / ".local" / "state" / "pyrestic"), identifier)


def summary(call: Caller, *words: str, code: int = 0) -> dict[str, Any]:
    outcome = call("check", "--json", *words)
    assert outcome.code == code, outcome.err
    found: dict[str, Any] = json.loads(outcome.out.splitlines()[-1])
    return found


@pytest.mark.process
def test_each_run_reads_others_until_every_pack_was_verified(made: Caller) -> None:
    count = len(packs(made))
    assert count > 3
    verified: list[int] = []
    while not verified or verified[-1] < count:
        found = summary(made, "--budget", "3M")
        assert found["verified_packs"] + found["never_verified_packs"] == count
        assert found["never_verified_bytes"] <= sum(packs(made).values())
        verified.append(found["verified_packs"])
        assert len(verified) <= count
    assert len(verified) > 2
    assert verified == sorted(set(verified))
    assert 0 <= found["oldest_verified_age"] < 600


@pytest.mark.process
def test_what_read_data_verified_counts_and_the_oldest_comes_first(made: Caller) -> None:
    assert "verified_packs" not in summary(made, "--read-data")
    book = find_book(made)
    known = book.read().packs
    assert {pack.hex() for pack in known} == set(packs(made))
    oldest = min(known)
    book.add_packs([oldest], 1_000_000_000, known)
    outcome = made("check", "--budget", "1K")
    assert outcome.code == 0
    assert f"read 1 of {len(known)} packs" in outcome.out
    assert f"verified from this machine so far: {len(known)} of {len(known)} packs, the oldest " in outcome.out
    assert book.read().packs[oldest] > 1_000_000_000


@pytest.mark.process
def test_a_damaged_pack_is_found_is_no_longer_verified_and_comes_first_again(made: Caller) -> None:
    summary(made, "--read-data")
    book = find_book(made)
    known = book.read().packs
    victim = max(known)
    flip(next(made.repository.rglob(victim.hex())))
    book.add_packs([victim], 1_000_000_000, known)
    for _ in range(2):
        found = summary(made, "--budget", "1K", code=1)
        assert found["broken_packs"] == [victim.hex()]
        assert found["never_verified_packs"] == 1
        assert victim not in book.read().packs


@pytest.mark.parametrize("other", ["--read-data", "--read-data-subset=1/2"])
def test_a_budget_excludes_the_other_ways_to_choose(tmp_path: Path, other: str) -> None:
    outcome = Caller(tmp_path)("check", "--budget", "1G", other)
    assert outcome.code == 1
    assert "--budget cannot be used together" in outcome.err


@pytest.mark.parametrize("text", ["0", "-1", "much"])
def test_a_budget_that_is_no_size_is_refused(tmp_path: Path, text: str) -> None:
    outcome = Caller(tmp_path)("check", "--budget", text)
    assert outcome.code == 1
    assert "--budget must be a size" in outcome.err


@pytest.mark.process
def test_without_a_place_to_remember_the_check_goes_on(made: Caller) -> None:
    outcome = made("check", "--budget", "1G", XDG_STATE_HOME="/dev/null")
    assert outcome.code == 0
    assert "could not record the verification" in outcome.err
    for flags in (["--read-data"], ["--budget", "1G", "-q"], ["--read-data", "-q"]):
        outcome = made("check", *flags, XDG_STATE_HOME="/dev/null")
        # A check that does not look into the book may be quiet about it.
        assert (outcome.code, outcome.err.count("could not record")) == (0, int(flags != ["--read-data", "-q"]))


@given(
    st.dictionaries(st.binary(min_size=32, max_size=32), st.integers(1, 100), max_size=12),
    st.integers(1, 300),
    st.data(),
)
def test_none_that_is_left_was_verified_longer_ago_than_one_that_is_read(
    lengths: dict[bytes, int], budget: int, data: st.DataObject
) -> None:
    known = data.draw(st.sets(st.sampled_from(sorted(lengths)))) if lengths else set()
    verified = {pack: data.draw(st.integers(1, 9)) for pack in known}
    chosen = Rotation(verified, budget).choose(lengths)
    left = lengths.keys() - chosen.keys()
    assert bool(chosen) == bool(lengths)
    assert len(chosen) == 1 or sum(chosen.values()) <= budget
    assert all(verified.get(one, 0) <= verified.get(other, 0) for one in chosen for other in left)
    coverage = measure_coverage(lengths, verified)
    assert coverage == Coverage(
        len(lengths),
        len(lengths) - len(verified),
        sum(lengths[pack] for pack in lengths.keys() - verified.keys()),
        min(verified.values(), default=None),
    )
