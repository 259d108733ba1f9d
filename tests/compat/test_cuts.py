"""Files are cut where each release of the real restic cuts them, whatever the polynomial."""

import random
from pathlib import Path

import pytest

from pyrestic.format.chunker import MAX_LENGTH, MIN_LENGTH, Chunker
from pyrestic.ids import hash_id
from pyrestic.native.code_files import can_compile
from tests.support.engines import CHUNKERS
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program

POLYNOMIALS = 2


def make_files(seed: int) -> dict[str, bytes]:
    """Return contents that lead to cuts of every kind: by the data, at the minimum, at the maximum, at the end."""
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(2, 9)) for _ in range(200)]
    mixed = bytearray(source.randbytes(4 << 20))
    for _ in range(12):
        start = source.randrange(len(mixed) - 4096)
        mixed[start : start + 4096] = bytes(4096)
    return {
        "random": source.randbytes(3 << 20),
        "mixed": bytes(mixed),
        "words": b"".join(source.choices(words, k=500_000)),
        "zeros": bytes(2 * MIN_LENGTH),
        "ones": b"\1" * (MAX_LENGTH + 1),
        "period": source.randbytes(97) * 20_000,
        "edge": source.randbytes(MIN_LENGTH - 64) + bytes(65),
        "under": source.randbytes(MIN_LENGTH - 1),
    }


@pytest.mark.restic
@pytest.mark.slow
def test_contents_are_cut_as_each_release_cuts_them(restic: Program, tmp_path: Path) -> None:
    seen = set()
    for number in range(POLYNOMIALS):
        repository = make_quick_repository(tmp_path / f"repository {number}")
        polynomial = int(restic.run("cat", "config", repository=repository).json["chunker_polynomial"], 16)
        seen.add(polynomial)
        files = make_files(number)
        folder = tmp_path / f"folder {number}"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        restic.run("backup", ".", repository=repository, cwd=folder)
        tree = restic.run("cat", "blob", restic.snapshots(repository)[0]["tree"], repository=repository).json
        contents = {node["name"]: node["content"] for node in tree["nodes"]}
        assert contents.keys() == files.keys()
        chunker = Chunker(polynomial)
        for engine, find in CHUNKERS.items():
            if engine == "compiled" and not can_compile():
                continue
            for name, data in files.items():
                ends = chunker.cuts(data, len(data), final=True, engine=find())
                starts = [0, *ends][:-1]
                chunks = [data[start:end] for start, end in zip(starts, ends, strict=True)]
                assert [hash_id(chunk).hex() for chunk in chunks] == contents[name], (hex(polynomial), engine, name)
    assert len(seen) == POLYNOMIALS
