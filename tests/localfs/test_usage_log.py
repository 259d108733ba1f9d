"""The book of what was asked of B2."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.metering import Sums
from pyrestic.errors import LocalFileError
from pyrestic.localfs.usage_log import CostBook


def test_what_is_added_is_summed_by_day_and_place(tmp_path: Path) -> None:
    book = CostBook(str(tmp_path / "state"))
    assert book.read() == {}
    book.add("2026-11-22", "b2:x:y", Sums(class_a=1, uploaded_bytes=10))
    book.add("2026-11-23", "b2:x:y", Sums(class_b=2))
    book.add("2026-11-23", "b2:x:y", Sums(class_b=3, stored_bytes=-5))
    book.add("2026-11-23", "b2:z:", Sums(class_c=4))
    assert CostBook(str(tmp_path / "state")).read() == {
        "2026-11-22": {"b2:x:y": Sums(class_a=1, uploaded_bytes=10)},
        "2026-11-23": {"b2:x:y": Sums(class_b=5, stored_bytes=-5), "b2:z:": Sums(class_c=4)},
    }
    assert stat.S_IMODE(os.stat(book.path).st_mode) == 0o600


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: CostBook(str(tmp_path)).add("2026-11-23", "b2:x:", Sums(class_b=1)), range(50)))
    assert CostBook(str(tmp_path)).read()["2026-11-23"]["b2:x:"].class_b == 50


@given(
    st.binary(max_size=60)
    | st.sampled_from(
        [
            b'{"version":1,"days":{"x":{}}}',
            b'{"version":1,"days":{"2026-01-01":3}}',
            b'{"version":1,"days":{"2026-01-01":{"p":{"class_a":"1"}}}}',
            b"[" * 100_000,
            b'{"version":2}',
        ]
    )
)
def test_a_damaged_book_is_put_aside_and_begun_anew(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("book")
    (folder / "costs.json").write_bytes(content)
    book = CostBook(str(folder))
    assert book.read() == {}
    book.add("2026-11-23", "b2:x:", Sums(class_b=1))
    assert book.read() == {"2026-11-23": {"b2:x:": Sums(class_b=1)}}
    assert (folder / "costs.json.damaged").read_bytes() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalFileError, match=r"file/costs\.json"):
        CostBook(str(tmp_path / "file")).add("2026-11-23", "b2:x:", Sums())
