"""The messages of restore before it starts: the plan, missing data, and free space.

Restic prints none of this. So that scripts find the expected standard output, the plan goes there only on a terminal
and as JSON; with --dry-run and -v it otherwise goes to standard error. Missing data is always reported there.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from pyrestic.cli.billing import price_beyond
from pyrestic.cli.options import Settings
from pyrestic.cli.session import find_location
from pyrestic.cli.terminal import Fields, Terminal
from pyrestic.operations.cost import Prices, format_dollars, full_price
from pyrestic.operations.preflight import RestorePlan, WrongPack
from pyrestic.units import format_bytes

_MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class _Price:
    """In dollars: where the free allowance is used up, and beyond what is left of today's."""

    full: float
    beyond: float


def show_plan(
    settings: Settings,
    terminal: Terminal,
    plan: RestorePlan,
    prices: Prices,
    *,
    dry_run: bool,
    privileged: bool = True,
) -> None:
    """Print the plan, and missing data. Without `privileged`, devices and other privileged entries are left out."""
    price = None
    if find_location(settings).scheme == "b2":
        price = _Price(full_price(plan.usage, prices), price_beyond(settings.environment, plan.usage, prices))
    if terminal.json:
        if terminal.verbosity:
            terminal.print_json(_fields(plan, price))
        return
    if terminal.is_terminal:
        terminal.note(_text(plan, price, privileged=privileged))
    elif terminal.verbosity >= (1 if dry_run else 2):
        terminal.complain(_text(plan, price, privileged=privileged))
    for line in _shortened([_text_of(wrong) for wrong in plan.wrong_packs], len(plan.wrong_packs), "packs"):
        terminal.complain(line)
    lost = [f"{os.fsdecode(one.location)} cannot be restored: {one.error}" for one in plan.lost]
    for line in _shortened(lost, plan.lost_count, "files"):
        terminal.complain(line)


def _text(plan: RestorePlan, price: _Price | None, *, privileged: bool) -> str:
    there = f", {plan.files_there} files ({format_bytes(plan.bytes_there)}) are there" if plan.files_there else ""
    text = (
        f"to restore: {plan.files} files ({format_bytes(plan.bytes_to_write)}) and {plan.others} folders and"
        f" others{there}; to fetch: {format_bytes(plan.bytes_to_fetch)} of {plan.packs} packs"
        f" in {plan.requests} requests"
    )
    if price is not None:
        text += f" for {format_dollars(price.full)} ({format_dollars(price.beyond)} beyond the free allowance)"
    if plan.rights:
        text += f"; {'among them' if privileged else 'without the privileges of'} {', '.join(plan.rights)}"
    if plan.free_bytes is not None:
        text += f"; free on the target: {format_bytes(plan.free_bytes)}"
    for space in plan.spaces[1:]:
        if space.free_bytes is not None:
            free, needed = format_bytes(space.free_bytes), format_bytes(space.needed_bytes)
            text += f"; free on {os.fsdecode(space.path)}: {free} for {needed}"
    return text


def _text_of(wrong: WrongPack) -> str:
    if wrong.length is None:
        return f"pack {wrong.pack.hex()} is missing"
    return f"pack {wrong.pack.hex()} has {wrong.length} bytes, and should have {wrong.indexed_length}"


def _shortened(lines: list[str], count: int, word: str) -> Iterable[str]:
    yield from lines[:_MOST_LINES]
    if count > _MOST_LINES:
        yield f"and {count - _MOST_LINES} more {word}"


def _fields(plan: RestorePlan, price: _Price | None) -> Fields:
    fields: Fields = {
        "message_type": "preflight",
        "files": plan.files,
        "others": plan.others,
        "bytes_to_write": plan.bytes_to_write,
        "files_there": plan.files_there,
        "bytes_there": plan.bytes_there,
        "space_needed": plan.space_bytes,
        "space_free": plan.free_bytes,
        "devices": plan.devices,
        "set_id_files": plan.set_id_files,
        "capability_files": plan.capability_files,
        "packs": plan.packs,
        "requests": plan.requests,
        "bytes_to_fetch": plan.bytes_to_fetch,
    }
    if price is not None:
        fields |= {"dollars": round(price.full, 9), "dollars_beyond_allowance": round(price.beyond, 9)}
    if len(plan.spaces) > 1:
        fields["file_systems"] = [
            {"path": os.fsdecode(space.path), "space_needed": space.needed_bytes, "space_free": space.free_bytes}
            for space in plan.spaces
        ]
    return fields | {
        "wrong_packs": [
            {"id": wrong.pack.hex(), "length": wrong.length, "expected": wrong.indexed_length}
            for wrong in plan.wrong_packs
        ],
        "lost": [{"item": os.fsdecode(one.location), "message": str(one.error)} for one in plan.lost],
        "lost_count": plan.lost_count,
    }
