"""The compiled scrypt against hashlib's, for every number of lanes, on several kinds of processors."""

import hashlib
import platform

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrestic.backend.mem import MemoryBackend
from pyrestic.format.crypto import MasterKey
from pyrestic.format.keyfile import Scrypt, ScryptParams, create
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from pyrestic.native.scrypt import agrees, load_code
from pyrestic.repository.keys import find_key
from tests.support.engines import GivenEngines, compile_for, machine_code

pytest.importorskip("numba")
from pyrestic.native.intrinsics import compile_function
from pyrestic.native.sources.scrypt import PARAMETERS, romix_of_eight, romix_of_four

X86 = platform.machine() == "x86_64"
KEY = MasterKey(bytes(range(32)), bytes(range(100, 116)), bytes(range(200, 216)))


def load(code: bytes | None) -> Scrypt:
    assert code is not None
    engine = load_code(code)
    assert engine is not None
    return engine


@pytest.fixture(scope="module")
def engine() -> Scrypt:
    return load(machine_code("scrypt"))


@pytest.fixture(scope="module")
def engines() -> list[Scrypt]:
    """Those for each number of lanes, one of which compile_code takes."""
    return [load(compile_function(romix, PARAMETERS)) for romix in (romix_of_four, romix_of_eight)]


@settings(max_examples=60)
@given(
    password=st.binary(max_size=80),
    salt=st.binary(min_size=1, max_size=80),
    exponent=st.integers(1, 7),
    r=st.integers(1, 9),
    p=st.integers(1, 18),
    length=st.integers(1, 100),
)
def test_keys_are_those_of_hashlib(
    engines: list[Scrypt], password: bytes, salt: bytes, exponent: int, r: int, p: int, length: int
) -> None:
    n = 1 << exponent
    expected = hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, dklen=length)
    assert [engine(password, salt, n, r, p, length) for engine in engines] == [expected] * len(engines)


@pytest.mark.slow
@pytest.mark.parametrize("p", [*range(2, 10), 16])
def test_keys_that_cost_what_restics_cost_are_those_of_hashlib(engine: Scrypt, p: int) -> None:
    expected = hashlib.scrypt(b"secret", salt=bytes(64), n=1 << 15, r=8, p=p, maxmem=1 << 26)
    assert engine(b"secret", bytes(64), 1 << 15, 8, p, 64) == expected


@pytest.mark.process
@pytest.mark.skipif(not X86, reason="names of other processors")
@pytest.mark.parametrize("romix", ["romix_of_four", "romix_of_eight"])
@pytest.mark.parametrize("processor", ["x86-64", "x86-64-v3"])
def test_code_for_older_processors_can_be_kept_too(processor: str, romix: str) -> None:
    assert agrees(load(compile_for(processor, "", "pyrestic.native.sources.scrypt", romix)))


@pytest.mark.skipif(not X86, reason="machine code of another processor")
def test_code_with_other_answers_is_not_believed() -> None:
    fails, takes_no_lanes, mixes_nothing = b"\xb8\x04\0\0\0\xc3", b"\x31\xc0\xc3", b"\x48\xc7\x07\x04\0\0\0\x31\xc0\xc3"
    for code in (fails, takes_no_lanes, mixes_nothing):
        assert load_code(code) is None


@pytest.mark.parametrize("code", [b"", bytes(1 << 20)])
def test_code_of_an_impossible_length_is_not_loaded(code: bytes) -> None:
    assert load_code(code) is None


@pytest.mark.parametrize(
    ("params", "asked"),
    [
        (ScryptParams(1 << 12, 8, 3), True),
        (ScryptParams(1 << 12, 8, 1), False),
        (ScryptParams(1 << 12, 64, 2), False),
        (ScryptParams(2, 8, 3), False),
    ],
)
def test_a_key_opens_with_either_engine_and_only_those_ask_for_one_that_it_suits(
    engine: Scrypt, params: ScryptParams, asked: bool
) -> None:
    data = create("secret", KEY, params=params, hostname="host", username="user", created="2026-03-04T05:06:07Z")
    asks: list[Scrypt] = []

    def find() -> Scrypt:
        asks.append(engine)
        return engine

    backend = MemoryBackend()
    backend.save(Handle(FileType.KEY, hash_id(data).hex()), data)
    assert find_key(backend, "secret", engines=GivenEngines(scrypt=find)).master == KEY
    assert find_key(backend, "secret").master == KEY
    assert bool(asks) == asked
