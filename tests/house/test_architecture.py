"""docs/architecture.md: the functions on the page are called in the order on the page."""

import random
import re
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import pytest

import pyrestic
from tests.support.b2 import BUCKET
from tests.support.cli import Caller
from tools.b2_server import B2Server

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = Path(pyrestic.__file__).parent
TEXT = (ROOT / "docs" / "architecture.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))

Step = tuple[str, str]


def steps_of(title: str) -> list[Step]:
    """Return the steps of a section: file and qualified name of each function."""
    items = re.findall(r"^(\d+)\. (.*)$", SECTIONS[title], re.MULTILINE)
    assert [int(number) for number, _ in items] == list(range(1, len(items) + 1))
    steps = [re.match(r"`([\w/]+\.py)` `([\w.]+)` ", text) for _, text in items]
    assert all(steps), title
    return [(step[1], step[2]) for step in steps if step]


@contextmanager
def recorded(wanted: list[Step]) -> Iterator[list[Step]]:
    """Record the calls of these functions, in any thread that starts meanwhile, and in this one."""
    called: list[Step] = []
    names = {(str(PACKAGE / file), name): (file, name) for file, name in wanted}
    known: dict[CodeType, Step | None] = {}

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            code = frame.f_code
            if code not in known:
                known[code] = names.get((code.co_filename, code.co_qualname))
            if (step := known[code]) is not None:
                called.append(step)

    before = sys.getprofile()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield called
    finally:
        sys.setprofile(before)
        threading.setprofile(before)


def check(title: str, run: Callable[[], object]) -> None:
    """Run something, and see that it calls the functions of a section in this order."""
    steps = steps_of(title)
    assert len(steps) > 5
    with recorded(steps) as called:
        run()
    rest = iter(called)
    for number, step in enumerate(steps, 1):
        assert step in called, f"{title}: {step} is never called"
        assert step in rest, f"{title}: step {number}, {step}, is not called after the previous one"


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    caller = Caller(tmp_path)
    caller.create()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(random.Random(1).randbytes(5_000_000))
    return caller


def test_a_file_goes_into_a_pack(call: Caller) -> None:
    check("A file into a pack", lambda: call("backup", "source"))
    assert call("check").code == 0


def test_a_blob_goes_back_into_a_file(call: Caller) -> None:
    assert call("backup", "source").code == 0
    check("A blob back into a file", lambda: call("restore", "latest", "--target", "target"))
    (restored,) = call.folder.glob("target/**/file")
    assert restored.read_bytes() == (call.folder / "source" / "file").read_bytes()


def test_a_flag_goes_into_an_operation(call: Caller) -> None:
    for tag in ("a,b", "a"):
        assert call("backup", "source", "--tag", tag).code == 0
    outcomes = []
    check("A flag into an operation", lambda: outcomes.append(call("--json", "snapshots", "--tag", "a,b")))
    assert [snapshot["tags"] for snapshot in outcomes[0].json] == [["a", "b"]]


def test_an_answer_becomes_an_error(call: Caller, b2: B2Server) -> None:
    place = {
        "RESTIC_REPOSITORY": f"b2:{BUCKET}:repository",
        "B2_ACCOUNT_ID": b2.master_id,
        "B2_ACCOUNT_KEY": b2.master_key,
    }
    flags = ("-o", f"b2.endpoint={b2.url}")
    assert call("init", *flags, **place).code == 0
    b2.faults.add("status", "b2_download*", times=1, status=503, code="busy", retry_after=0)
    b2.faults.add("status", "b2_download*", status=403, code="access_denied")
    outcomes = []
    check("An HTTP answer into an error", lambda: outcomes.append(call("snapshots", *flags, **place)))
    assert outcomes[0].code == 1
    assert "403" in outcomes[0].err


def test_the_picture_shows_the_layers_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    picture = re.search(r"```\n(.*?)```", SECTIONS["Layers"], re.DOTALL)
    assert picture
    shown = [re.split(r"\s{2,}", line)[0] for line in picture[1].splitlines() if not line.startswith(" ")]
    assert shown == layers


def test_every_file_on_the_page_exists() -> None:
    for name in re.findall(r"`([\w/]+\.py)`", TEXT):
        assert (PACKAGE / name).exists() or (ROOT / name).exists(), name
