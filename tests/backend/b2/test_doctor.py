"""What is amiss with a bucket is found and named."""

import dataclasses
from collections.abc import Callable

import pytest

from pyrestic.backend.b2 import api
from pyrestic.backend.b2.doctor import Held, count_held, examine
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.b2 import BUCKET, open_b2
from tools.b2_server import B2Server

ALL = ["listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles"]
GOOD_RULE = {"daysFromHidingToDeleting": 30, "daysFromUploadingToHiding": None, "fileNamePrefix": ""}
CONFIG = Handle(FileType.CONFIG, "")


@pytest.fixture
def healthy(b2: B2Server) -> tuple[str, str]:
    """A key for a bucket with nothing amiss."""
    open_b2(b2).create()
    change(b2, rules=[GOOD_RULE])
    return b2.add_key(ALL, bucket=BUCKET)


def change(server: B2Server, **values: object) -> None:
    server.store.put_bucket(dataclasses.replace(server.store.buckets()[0], **values))  # type: ignore[arg-type]


def found(server: B2Server, key: tuple[str, str], path: str = f"{BUCKET}:repository") -> dict[str, bool]:
    """Return the codes of what is found, and which are problems."""
    return {finding.code: finding.problem for finding in examine(open_b2(server, path, key=key))}


def test_nothing_is_found_where_nothing_is_amiss(b2: B2Server, healthy: tuple[str, str]) -> None:
    assert found(b2, healthy) == {}


@pytest.mark.parametrize(
    ("code", "problem", "spoil"),
    [
        ("public", True, lambda server: change(server, type="allPublic")),
        ("rule-missing", False, lambda server: change(server, rules=[])),
        ("rule-missing", False, lambda server: change(server, rules=[GOOD_RULE | {"fileNamePrefix": "elsewhere/"}])),
        ("rule-hides", True, lambda server: change(server, rules=[GOOD_RULE | {"daysFromUploadingToHiding": 7}])),
    ],
)
def test_what_is_wrong_with_the_bucket_is_found(
    b2: B2Server, healthy: tuple[str, str], code: str, problem: bool, spoil: Callable[[B2Server], None]
) -> None:
    spoil(b2)
    assert found(b2, healthy) == {code: problem}


@pytest.mark.parametrize("missing", ALL)
def test_missing_capabilities_are_found(b2: B2Server, healthy: tuple[str, str], missing: str) -> None:
    key = b2.add_key([name for name in ALL if name != missing], bucket=BUCKET)
    expected = {
        "listBuckets": {"bucket-unseen": False},
        "deleteFiles": {"append-only": False},
    }
    assert found(b2, key) == expected.get(missing, {f"missing-{missing}": True})


def test_a_key_that_is_too_powerful_and_one_for_another_prefix_are_found(
    b2: B2Server, healthy: tuple[str, str]
) -> None:
    assert found(b2, (b2.master_id, b2.master_key)) == {"master-key": False}
    narrow = b2.add_key(["readFiles", "writeFiles", "deleteFiles"], bucket=BUCKET, prefix="laptop/")
    assert found(b2, narrow) == {"missing-listFiles": True, "prefix": True}


def test_unfinished_files_are_found(b2: B2Server, healthy: tuple[str, str]) -> None:
    session = open_b2(b2).session
    api.start_large_file(session.caller, session.authorization(), session.bucket_id(), "repository/data/x", "0" * 40)
    assert found(b2, healthy) == {"unfinished": True}
    assert found(b2, healthy, f"{BUCKET}:elsewhere") == {}


def test_hidden_files_without_a_rule_are_a_problem_and_counted(b2: B2Server, healthy: tuple[str, str]) -> None:
    change(b2, rules=[])
    keeper = open_b2(b2, key=b2.add_key(["listFiles", "readFiles", "writeFiles"], bucket=BUCKET))
    pack = Handle(FileType.PACK, hash_id(b"x").hex())
    keeper.save(CONFIG, b"first")
    keeper.save(CONFIG, b"second one")
    keeper.save(pack, b"12345")
    keeper.remove(pack)
    assert found(b2, healthy) == {"rule-missing": True}
    assert count_held(open_b2(b2)) == Held(files=1, file_bytes=10, hidden=2, hidden_bytes=10)


def test_every_finding_says_what_to_do(b2: B2Server, healthy: tuple[str, str]) -> None:
    change(b2, rules=[GOOD_RULE | {"daysFromUploadingToHiding": 7, "daysFromHidingToDeleting": None}], type="allPublic")
    findings = examine(open_b2(b2))
    assert len(findings) == 4
    assert [finding.problem for finding in findings] == [True, True, False, False]
    assert all(finding.text.isprintable() and len(finding.remedy) > 20 for finding in findings)
