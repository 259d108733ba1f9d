"""Runs all steps of a check with their messages, and selects the packs to read."""

from collections.abc import Callable, Sequence

from pyrestic.errors import UsageError
from pyrestic.golang import parse_size
from pyrestic.ids import ID
from pyrestic.operations.check import Check, FindingKind, PackChoice, ReadFiles
from pyrestic.operations.check_rotation import Rotation
from pyrestic.report import Reporter
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.units import format_bytes

_MOST_GROUPS = 256
_MOST_DIGITS = 9


def run_check(
    check: Check,
    index: ReadFiles,
    select: Callable[[], Sequence[StoredSnapshot]],
    choice: PackChoice | Rotation | None,
    report: Reporter,
    *,
    filtered: bool,
    locked: bool,
    before_reading: Callable[[dict[ID, int]], None] = lambda _: None,
) -> bool:
    """Run all steps with the given index; False if it is too damaged to continue.

    `select` returns the snapshots to check, a subset if `filtered`: then only their packs are read. `choice` selects
    the packs to read, None for none. `locked` says that a lock is held. `before_reading` takes the chosen packs with
    their lengths, and may raise.
    """
    check.small_files(locks=not locked)
    if not check.use_index(index):
        return False
    kinds = check.kinds
    if kinds[FindingKind.DUPLICATE_PACK]:
        report.note("Duplicate packs are non-critical, you can run `restic repair index' to correct this.")
    if kinds[FindingKind.MIXED_PACK]:
        report.note(
            "Mixed packs with tree and data blobs are non-critical, you can run `restic prune` to correct this."
        )
    report.note("check all packs")
    check.packs()
    if kinds[FindingKind.ORPHANED_PACK] and not check.result.error_count:
        report.note(
            f"{kinds[FindingKind.ORPHANED_PACK]} additional files were found in the repo, "
            "which likely contain duplicate data."
        )
        report.note("This is non-critical, you can run `restic prune` to correct this.")
    report.note("check snapshots, trees and blobs")
    check.structure([stored.snapshot.tree_id for stored in select()], track=filtered)
    if choice is not None:
        packs = check.data_packs()
        chosen = choice.choose(packs)
        report.note(_describe(choice, packs, chosen, "filtered " if filtered else ""))
        before_reading(chosen)
        check.read(chosen)
    return True


def parse_subset(text: str) -> PackChoice | None:
    """Return the choice in --read-data-subset, None for none; raise UsageError."""
    if not text:
        return None
    flag = "check flag --read-data-subset"
    bad = UsageError(
        f"{flag} has invalid value, please see documentation",
        hint="Use N/M with 1 <= N <= M <= 256, a percentage such as 2.5%, or a size such as 10G.",
    )
    number, slash, total = text.partition("/")
    if slash:
        # int() refuses other digits, such as a superscript, and thousands of them.
        if not all(each.isascii() and each.isdigit() and len(each) <= _MOST_DIGITS for each in (number, total)):
            raise bad
        if not 1 <= int(number) <= int(total):
            raise UsageError(f"{flag}=n/t values must be positive integers, and n <= t, e.g. --read-data-subset=1/2")
        if int(total) > _MOST_GROUPS:
            raise UsageError(f"{flag}=n/t t must be at most {_MOST_GROUPS}")
        return PackChoice(bucket=int(number), buckets=int(total))
    if text.endswith("%"):
        try:
            percent = float(text[:-1])
        except ValueError:
            raise bad from None
        if not 0 < percent <= 100:
            raise UsageError(f"{flag}=x% x must be above 0.0% and at most 100.0%")
        return PackChoice(percent=percent)
    try:
        limit = parse_size(text)
    except UsageError:
        raise bad from None
    if limit <= 0:
        raise UsageError(f"{flag}=n n must be above 0")
    return PackChoice(limit_bytes=limit)


def _describe(choice: PackChoice | Rotation, packs: dict[ID, int], chosen: dict[ID, int], filtered: str) -> str:
    if isinstance(choice, Rotation):
        read, total = sum(chosen.values()), sum(packs.values())
        share = f"{len(chosen)} of {len(packs)} {filtered}packs ({format_bytes(read)} of {format_bytes(total)})"
        return f"read {share}, least recently verified first"
    if choice.buckets:
        group = f"read group #{choice.bucket} of {len(chosen)} {filtered}data packs"
        return f"{group} (out of total {len(packs)} packs in {choice.buckets} groups"
    if choice.limit_bytes is not None:
        total = sum(packs.values())
        limit = min(choice.limit_bytes, total)
        return f"read {limit} bytes ({limit / total if total else 1:.1%}) of {filtered}data packs"
    if choice.percent is not None:
        return f"read {choice.percent:.1f}% of {filtered}packfiles"
    return f"read all {filtered}data"
