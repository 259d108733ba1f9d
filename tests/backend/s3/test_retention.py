"""Which files of a bucket with object lock are locked."""

import pytest

from pyrestic.backend.s3.retention import Retainer, Retention


class Caller:
    """Stands for the requests; the bucket was looked at already."""

    def now(self) -> float:
        return 1_700_000_000.0


@pytest.mark.parametrize(
    ("key", "locked"),
    [
        ("config", True),
        ("locks/" + "a" * 64, False),
        ("p/locks/" + "a" * 64, False),
        ("locks/config", True),
        ("locks/keys/" + "a" * 64, True),
        ("locks/locks/" + "a" * 64, False),
        ("data/aa/" + "a" * 64, True),
    ],
)
def test_lock_files_alone_stay_unlocked_whatever_the_prefix(key: str, locked: bool) -> None:
    retainer = Retainer(Caller(), Retention(30))  # type: ignore[arg-type]
    retainer._checked = True
    headers = retainer.headers(key)
    assert bool(headers) == locked
    assert headers.get("X-Amz-Object-Lock-Retain-Until-Date") in (None, "2023-12-14T22:13:20Z")
