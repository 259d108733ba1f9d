"""Shared by prune and forget --prune: the flags, and running a prune with its messages."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from pyrestic.backend.base import MetadataCache
from pyrestic.backend.metering import Sums
from pyrestic.cli.command import App
from pyrestic.cli.flag_fields import Flags, switch, text
from pyrestic.cli.leftovers import remove_old_leftovers
from pyrestic.cli.session import Session
from pyrestic.ids import ID, short
from pyrestic.operations.prune_options import PruneOptions, make_prune_options
from pyrestic.units import format_bytes, format_percent

if TYPE_CHECKING:
    from pyrestic.operations.prune_plan import PrunePlan, PruneStats
    from pyrestic.repository.index_copy import ReadIndex


class RepackFlags(Flags):
    """The flags of prune that forget has, too."""

    TITLE = "Repack"
    max_repack_size: str = text("--max-repack-size", value="SIZE", help="repack at most SIZE, such as 10G")
    max_unused: str = text(
        "--max-unused",
        value="LIMIT",
        default="5%",
        help="limit of unused data: bytes (10M), a percentage (5%) or unlimited",
    )
    repack_cacheable_only: bool = switch("--repack-cacheable-only", help="repack only packs of trees")
    repack_small: bool = switch(
        "--repack-small",
        advice="small files are automatically repacked. Use --repack-smaller-than to specify a minimum size",
    )
    repack_smaller_than: str = text(
        "--repack-smaller-than", value="SIZE", help="repack packs smaller than SIZE, such as 8M"
    )
    repack_uncompressed: bool = switch("--repack-uncompressed", help="repack all uncompressed data")


def make_options(flags: RepackFlags, *, recover_space: str = "") -> PruneOptions:
    """Return the options from the flags; raise UsageError."""
    return make_prune_options(
        max_unused=flags.max_unused,
        max_repack_size=flags.max_repack_size,
        repack_smaller_than=flags.repack_smaller_than,
        cacheable_only=flags.repack_cacheable_only,
        uncompressed=flags.repack_uncompressed,
        recover_space=recover_space,
    )


def run_prune(
    app: App,
    session: Session,
    options: PruneOptions,
    *,
    dry_run: bool,
    without: Collection[ID] = (),
    read: "ReadIndex | None" = None,
) -> "tuple[PruneStats, list[ID]]":
    """Plan a prune, print the plan, and execute it unless it is a dry run; raise PyresticError.

    Returns the numbers and the packs that could not be removed.

    `read` is as in plan_prune.
    """
    # This imports numpy, which is imported while a lock waits.
    from pyrestic.operations.prune import plan_prune

    terminal = app.terminal
    if not isinstance(session.repository.backend, MetadataCache):
        warning = "warning: running prune without a cache, this may be very slow!"
        (terminal.complain if terminal.json else terminal.print)(warning)
    kept: list[ID] = []
    prune = plan_prune(session.repository, options, terminal, without=without, read=read)
    if dry_run:
        terminal.note("")
        terminal.note("Would have made the following changes:")
    for line, level in describe_stats(prune.plan.stats):
        terminal.note(line, level)
    if dry_run:
        _tell_packs(app, prune.plan)
    else:
        repacked = Sums(class_b=len(prune.plan.repack), downloaded_bytes=prune.plan.stats.size.repack)
        session.ensure_allowed(repacked, "repacking (see --max-repack-size)")
        kept = prune.execute(terminal, session.ensure_locked)
    session.ensure_locked()
    remove_old_leftovers(app, dry_run=dry_run)
    return prune.plan.stats, kept


def _tell_packs(app: App, plan: "PrunePlan") -> None:
    lines = [
        "Repeated prune dry-runs can report slightly different amounts of data to keep or repack. This is expected"
        " behavior.",
        "",
    ]
    if plan.remove_first:
        lines += ["Would have removed the following unreferenced packs:", format_ids(plan.remove_first), ""]
    lines += ["Would have repacked and removed the following packs:", format_ids(plan.repack), ""]
    lines += ["Would have removed the following no longer used packs:", format_ids(plan.remove), ""]
    for line in lines:
        app.terminal.note(line, 2)


def format_ids(identifiers: Collection[ID]) -> str:
    """Return IDs in braces, each shortened, in order."""
    return "{" + " ".join(map(short, sorted(identifiers))) + "}"


def describe_stats(stats: "PruneStats") -> list[tuple[str, int]]:
    """Return the lines with the numbers of a plan, each with its minimum verbosity."""
    blobs, size, packs = stats.blobs, stats.size, stats.packs
    all_blobs = blobs.used + blobs.unused + blobs.duplicate
    all_bytes = size.used + size.duplicate + size.unused + size.unref
    wasted = size.duplicate + size.unused
    pruned = size.remove + size.repackrm + size.unref
    wasted_after = wasted - size.remove - size.repackrm
    removed_blobs = blobs.remove + blobs.repackrm
    lines = [("", 2), _count("used:", blobs.used, size.used, 2)]
    lines += [_count("duplicates:", blobs.duplicate, size.duplicate, 2)] * (blobs.duplicate > 0)
    lines.append(_count("unused:", blobs.unused, size.unused, 2))
    lines += [(f"unreferenced:                    {format_bytes(size.unref)}", 2)] * (size.unref > 0)
    lines += [
        _count("total:", all_blobs, all_bytes, 2),
        (f"unused size: {format_percent(wasted, all_bytes)} of total size", 2),
        ("", 1),
        _count("to repack:", blobs.repack, size.repack),
        _count("this removes:", blobs.repackrm, size.repackrm),
        _count("to delete:", blobs.remove, size.remove + size.unref),
        _count("total prune:", removed_blobs, pruned),
    ]
    lines += [(f"not yet compressed:              {format_bytes(size.uncompressed)}", 1)] * (size.uncompressed > 0)
    share = format_percent(wasted_after, all_bytes - pruned)
    lines += [
        _count("remaining:", all_blobs - removed_blobs, all_bytes - pruned),
        (f"unused size after prune: {format_bytes(wasted_after)} ({share} of remaining size)", 1),
        ("", 1),
        (f"totally used packs: {packs.used:>10}", 2),
        (f"partly used packs:  {packs.partly_used:>10}", 2),
        (f"unused packs:       {packs.unused:>10}", 2),
        ("", 2),
        (f"to keep:      {packs.keep:>10} packs", 2),
        (f"to repack:    {packs.repack:>10} packs", 2),
        (f"to delete:    {packs.remove:>10} packs", 2),
    ]
    if packs.unref > 0:
        lines += [(f"to delete:    {packs.unref:>10} unreferenced packs", 2), ("", 2)]
    return lines


def _count(label: str, blobs: int, length: int, level: int = 1) -> tuple[str, int]:
    return f"{label:<13} {blobs:>10} blobs / {format_bytes(length)}", level
