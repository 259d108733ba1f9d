import copy
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError, UnauthenticError, UsageError
from pyrestic.format.crypto import ENGINES, OVERHEAD, MasterKey, Sealer

KEY = MasterKey(bytes(range(32)), bytes(range(100, 116)), bytes(range(200, 216)))
NONCE = bytes(range(1, 17))

engines = pytest.mark.parametrize("engine", ENGINES)


@engines
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 63, 64, 65, 1000, 1 << 20])
def test_sealed_bytes_open_to_what_was_sealed(engine: str, length: int) -> None:
    plaintext = os.urandom(length)
    sealer = Sealer(KEY, engine)
    sealed = sealer.seal(plaintext)
    assert len(sealed) == length + OVERHEAD
    assert sealer.open(sealed) == plaintext


@given(st.binary(max_size=300), st.binary(min_size=16, max_size=16).filter(any))
def test_both_engines_make_the_same_bytes(plaintext: bytes, nonce: bytes) -> None:
    fast, base = (Sealer(KEY, engine) for engine in ENGINES)
    sealed = fast.seal(plaintext, nonce=nonce)
    assert sealed == base.seal(plaintext, nonce=nonce)
    assert fast.open(sealed) == base.open(sealed) == plaintext
