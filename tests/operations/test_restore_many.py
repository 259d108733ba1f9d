"""Restores of very many small files, which go to compiled code: they give back the same as those without it."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pyrestic.engine_types import Stamp
from pyrestic.localfs import new_files, write
from pyrestic.native.blob_batch import BlobEngine
from pyrestic.native.code_files import KINDS
from pyrestic.native.engines import CompiledEngines
from pyrestic.repository.codec import BlobCodec
from tests.operations.test_preflight import open_recorded
from tests.support.cli import Caller, Outcome
from tests.support.engines import keep_code
from tests.support.sourcetree import describe, difference

pytestmark = pytest.mark.slow

pytest.importorskip("numba")

FILES = 1500
EVERYTHING = ("--json", "-v", "-v")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository of a folder with small files, some alike, some empty, some linked, and a few large ones."""
    folder = tmp_path_factory.mktemp("many")
    call = Caller(folder)
    call.create()
    keep_code(folder / "cache" / "pyrestic", *KINDS)
    dice = random.Random(5)
    source = folder / "source"
    for number in range(FILES):
        place = source / f"{number // 100}" / f"{number % 7}"
        place.mkdir(parents=True, exist_ok=True)
        content = b"" if number % 50 == 0 else b"%d " % (number % 1000) * dice.randint(1, 900)
        (place / f"file {number}\udcff\n").write_bytes(content)
    for number in range(3):
        (source / f"large {number}").write_bytes(dice.randbytes(2 << 20))
    (source / "another name").hardlink_to(next((source / "1" / "2").iterdir()))
    assert call("backup", source, "--pack-size", "4").code == 0
    return call


def restore(call: Caller, made: Caller, target: Path, *flags: str) -> tuple[Outcome, list[dict[str, object]]]:
    """Restore, and return what was printed, without its times and in an order that does not depend on threads."""
    outcome = call("restore", f"latest:{made.folder}/source", "--target", target, *EVERYTHING, *flags)
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    told = [line | {"seconds_elapsed": 0, "space_free": 0} for line in lines if line["message_type"] != "status"]
    return outcome, sorted(told, key=str)


class Used:
    """How often compiled code was taken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files = 0
        self.blobs = 0
        make, decode = new_files.make_new, BlobEngine.decode_all

        def made(*words: Any) -> list[Stamp | None]:
            stamps = make(*words)
            self.files += sum(stamp is not None for stamp in stamps)
            return stamps

        def decoded(engine: BlobEngine, *words: Any) -> list[int]:
            self.blobs += len(words[1])
            return decode(engine, *words)

        monkeypatch.setattr(write, "make_new", made)
        monkeypatch.setattr(BlobEngine, "decode_all", decoded)


def test_the_files_and_what_is_said_of_them_are_those_of_a_restore_without_compiled_code(
    made: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = Used(monkeypatch)
    outcome, told = restore(made, made, tmp_path / "compiled")
    assert outcome.code == 0, outcome.err
    assert used.files >= FILES
    assert used.blobs > 1000
    compiled = used.files
    monkeypatch.setattr(CompiledEngines, "writer", None)
    monkeypatch.setattr(BlobCodec, "engine", None)
    outcome, usual = restore(made, made, tmp_path / "usual")
    assert outcome.code == 0, outcome.err
    assert used.files == compiled
    assert told == usual
    expected = describe(made.folder / "source")
    assert difference(expected, describe(tmp_path / "compiled")) == []
    assert difference(expected, describe(tmp_path / "usual")) == []


def test_files_that_are_there_are_kept_and_others_are_made_again(
    made: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    assert restore(made, made, target)[0].code == 0
    gone = sorted(path for path in target.rglob("file *"))[::2]
    for path in gone:
        path.unlink()
    changed = sorted(path for path in target.rglob("file *"))[::40]
    for path in changed:
        path.write_bytes(b"something else")
    used = Used(monkeypatch)
    outcome, told = restore(made, made, target, "--verify")
    assert outcome.code == 0, outcome.err
    assert used.files == len(gone)
    assert difference(describe(made.folder / "source"), describe(target)) == []
    actions = [line["action"] for line in told if line["message_type"] == "verbose_status"]
    assert actions.count("updated") == len(changed)


def test_damaged_blobs_cost_their_files_alone_and_nothing_of_them_is_written(made: Caller, tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.environment |= {"HOME": made.environment["HOME"], "RESTIC_REPOSITORY": str(made.repository)}
    repository, _ = open_recorded(made.repository)
    totals = {pack: total.blobs for pack, total in repository.index.totals_by_pack() if not total.trees}
    most = max(totals, key=totals.__getitem__).hex()
    pack = made.repository / "data" / most[:2] / most
    mode, whole = pack.stat().st_mode, pack.read_bytes()
    broken = bytearray(whole)
    for place in range(0, len(broken), 20_000):
        broken[place] ^= 1
    pack.chmod(0o600)
    try:
        pack.write_bytes(broken)
        outcome, told = restore(call, made, tmp_path / "target")
    finally:
        pack.write_bytes(whole)
        pack.chmod(mode)
    assert outcome.code == 1
    failed = {json.loads(line)["item"] for line in outcome.err.splitlines() if '"error"' in line and "item" in line}
    assert failed
    source, target = made.folder / "source", tmp_path / "target"
    for path in source.rglob("file *"):
        back = target / path.relative_to(source)
        known = json.loads(json.dumps(f"/{path.relative_to(source)}"))
        if back.exists():
            assert back.read_bytes() == path.read_bytes()
        else:
            assert any(known.split("\udcff")[0] in item for item in failed)
    assert any(line.get("action") == "restored" for line in told)
