"""What a run does while it waits: in which wait, how often, and what counts in the end."""

from typing import cast

from pyrestic.report import NullReporter
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.repository import Repository

NO_REPOSITORY = cast(Repository, None)


def make(done: list[str]) -> Overlap[int]:
    """What notes its work; each read gives another number."""

    def look(_: Repository) -> int:
        done.append("read")
        return len(done)

    return Overlap(look, imports=lambda: done.append("import"))


def test_without_a_lock_imports_are_done_while_the_key_is_derived() -> None:
    done: list[str] = []
    overlap = make(done)
    overlap.while_key_is_derived()
    assert done == ["import"]
    overlap.opened(NO_REPOSITORY, NullReporter())
    overlap.read_rest()
    assert done == ["import", "read"]
    assert overlap.found == 2


def test_with_a_lock_all_is_done_while_that_waits_and_nothing_is_read_twice() -> None:
    done: list[str] = []
    overlap = make(done)
    overlap.waits_for_lock = True
    overlap.while_key_is_derived()
    overlap.opened(NO_REPOSITORY, NullReporter())
    assert done == []
    overlap.while_lock_waits(may_read=True)
    overlap.read_rest()
    assert done == ["import", "read"]


def test_what_was_read_before_a_lock_was_refused_does_not_count() -> None:
    done: list[str] = []
    overlap = make(done)
    overlap.opened(NO_REPOSITORY, NullReporter())
    for may_read in (True, False):
        overlap.while_lock_waits(may_read=may_read)
    assert done == ["import", "read", "import"]
    overlap.read_rest()
    assert done[-1] == "read"
    assert overlap.found == 4
