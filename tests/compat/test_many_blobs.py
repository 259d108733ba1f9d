"""Thousands of small blobs, which compiled code works through together: the real restic finds them as it left them."""

import itertools
import random
import shutil
from pathlib import Path

import pytest

from pyrestic.native.code_files import KINDS
from tests.support.engines import keep_code
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import NEWEST, PASSWORD, Program, find_pyrestic, find_restic

pytestmark = pytest.mark.restic
pytest.importorskip("numba")

FILES = 2500


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests have in common, so that code is compiled once."""
    folder = tmp_path_factory.mktemp("many")
    keep_code(folder / "cache" / "pyrestic", *KINDS)
    return folder


@pytest.fixture(scope="module")
def pyrestic(home: Path) -> Program:
    return find_pyrestic(home)


@pytest.fixture(scope="module")
def restic(home: Path) -> Program:
    return find_restic(NEWEST, home)


@pytest.fixture(scope="module")
def made_by_restic(home: Path, restic: Program) -> Path:
    """A repository of the real restic with two snapshots of small files, of which half are others in the second."""
    source, repository = home / "source", make_quick_repository(home / "repository")
    source.mkdir()
    dice = random.Random(3)
    for step in (1, 2):
        for number in range(0, FILES, step):
            (source / f"{number:04}").write_bytes(b"%d " % number * dice.randint(1, 300) + dice.randbytes(step * 9))
        restic.run("backup", "-q", source, repository=repository)
    return repository


def restored(program: Program, repository: Path, target: Path, source: Path) -> dict[str, bytes]:
    program.run("restore", "-q", "latest", "--target", target, repository=repository)
    found = {path.name: path.read_bytes() for path in (target / str(source).lstrip("/")).iterdir()}
    shutil.rmtree(target)
    return found


def test_what_was_copied_is_whole_for_the_real_restic(
    pyrestic: Program, restic: Program, made_by_restic: Path, home: Path, tmp_path: Path
) -> None:
    target = make_quick_repository(tmp_path / "target")
    pyrestic.run("copy", "-q", "--from-repo", made_by_restic, repository=target, RESTIC_FROM_PASSWORD=PASSWORD)
    assert list((pyrestic.home / "cache" / "pyrestic").glob("blobs-*"))
    restic.run("check", "-q", "--read-data", repository=target)
    content = {path.name: path.read_bytes() for path in (home / "source").iterdir()}
    assert restored(restic, target, tmp_path / "restored", home / "source") == content


def test_what_prune_packs_anew_is_whole_for_the_real_restic(
    pyrestic: Program, restic: Program, made_by_restic: Path, home: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(made_by_restic, repository)
    pyrestic.run("forget", "-q", "--keep-last", "1", "--prune", "--max-unused", "0", repository=repository)
    restic.run("check", "-q", "--read-data", "--check-unused", repository=repository)
    content = {path.name: path.read_bytes() for path in (home / "source").iterdir()}
    assert restored(restic, repository, tmp_path / "restored", home / "source") == content


def test_both_find_the_same_blobs_damaged(
    pyrestic: Program, restic: Program, made_by_restic: Path, tmp_path: Path
) -> None:
    pyrestic.run("check", "-q", "--read-data", repository=made_by_restic)
    repository = tmp_path / "repository"
    shutil.copytree(made_by_restic, repository)
    largest = max((repository / "data").glob("*/*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    for place in (100, len(data) // 2):
        data[place] ^= 1
    largest.chmod(0o600)
    largest.write_bytes(data)
    told = []
    for program in (restic, pyrestic):
        result = program.run("check", "-q", "--read-data", repository=repository, code=1)
        words = (result.text + result.stderr.decode()).split()
        told.append({word for before, word in itertools.pairwise(words) if before.endswith("blob") and len(word) > 64})
        assert largest.name in " ".join(words)
    assert told[0] == told[1]
    assert len(told[0]) == 2
