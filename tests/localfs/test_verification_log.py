"""The book of what was proven when."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.localfs.verification_log import Drill, ProofBook, Proofs

ONE, TWO, THREE = (bytes([number]) * 32 for number in (1, 2, 3))
DRILL = Drill(100, "ab" * 32, 3, 4000, well=True)


def test_what_is_entered_is_found_again_for_each_repository(tmp_path: Path) -> None:
    book = ProofBook(str(tmp_path), "repository")
    assert book.read() == Proofs()
    book.add_packs([ONE, TWO], 100, {ONE, TWO, THREE})
    book.add_drill(DRILL)
    book.add_packs([TWO], 200, {ONE, TWO, THREE})
    book.add_drill(DRILL._replace(well=False))
    known = ProofBook(str(tmp_path), "repository").read()
    assert known.packs == {ONE: 100, TWO: 200}
    assert known.drills == [DRILL, DRILL._replace(well=False)]
    assert ProofBook(str(tmp_path), "other").read() == Proofs()


def test_packs_that_are_gone_are_forgotten_and_drills_are_bounded(tmp_path: Path) -> None:
    book = ProofBook(str(tmp_path), "repository")
    book.add_packs([ONE, TWO], 100, {ONE, TWO})
    book.add_packs([], 200, {TWO})
    assert book.read().packs == {TWO: 100}
    for number in range(205):
        book.add_drill(DRILL._replace(seconds=number))
    assert [drill.seconds for drill in book.read().drills] == list(range(5, 205))


@given(
    st.binary(max_size=60)
    | st.sampled_from(
        [
            b'{"version":2,"drills":[],"packs":{}}',
            b'{"version":1,"drills":[]}',
            b'{"version":1,"drills":[{}],"packs":{}}',
            b'{"version":1,"drills":[],"packs":{"00":1}}',
            b'{"version":1,"drills":[],"packs":{"' + b"0" * 64 + b'":-1}}',
            b'{"version":1,"drills":[],"packs":{"' + b"0" * 64 + b'":true}}',
            b'{"version":1,"drills":[{"seconds":1,"snapshot":1,"files":1,"bytes":1,"well":true}],"packs":{}}',
            b"[" * 100_000,
        ]
    )
)
def test_a_damaged_book_is_put_aside_and_begun_anew(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("book")
    book = ProofBook(str(folder), "repository")
    book.add_drill(DRILL)
    Path(book.path).write_bytes(content)
    assert book.read() == Proofs()
    book.add_packs([ONE], 1, {ONE})
    assert book.read().packs == {ONE: 1}
    assert Path(f"{book.path}.damaged").read_bytes() == content
