"""Results as tables in Markdown."""

from collections.abc import Iterator
from typing import NamedTuple

from tools.benchmark.goals import CPU_GOAL, PEAK_GOAL, ROWS, Row
from tools.benchmark.results import Figure, Figures, Results

_HEAD = (
    "| work | wall s, ours / restic | ratio | goal | CPU s, ours / restic | ratio | peak MiB, ours / restic | ratio |",
    "|---|---|---|---|---|---|---|---|",
)
_BASE_HEAD = (" base install: wall | CPU | peak |", "---|---|---|")


class Told(NamedTuple):
    """A row with its figures, with `fast` and without."""

    row: Row
    figures: Figures
    base: Figures | None


def select(results: Results, base: Results | None = None) -> list[Told]:
    """Return the rows that were measured, in the order of the goals."""
    told = []
    for row in ROWS:
        figures = results.parts.get(row.part, {}).get(row.step)
        if figures is not None:
            told.append(Told(row, figures, base.parts.get(row.part, {}).get(row.step) if base is not None else None))
    return told


def make_table(told: list[Told]) -> Iterator[str]:
    """Iterate the lines of the table; ratios that miss their goal are in bold."""
    with_base = any(one.base is not None for one in told)
    for head, more in zip(_HEAD, _BASE_HEAD, strict=True):
        yield head + more if with_base else head
    for row, figures, base in told:
        wall, cpu, peak = figures.values()
        line = (
            f"| {row.title} | {_both(wall, 2)} | {_ratio(wall, row.wall_goal)} | {row.wall_goal} "
            f"| {_both(cpu, 2)} | {_ratio(cpu, CPU_GOAL)} | {_both(peak, 0)} | {_ratio(peak, PEAK_GOAL)} |"
        )
        if with_base:
            cells = [f"{figure.ratio:.2f}" for figure in base.values()] if base is not None else ["", "", ""]
            line += f" {' | '.join(cells)} |"
        yield line


def count_reached(told: list[Told]) -> tuple[int, int, int]:
    """Return how many rows reach the goals of wall time, CPU time and peak memory."""
    return (
        sum(one.figures["wall_seconds"].ratio <= one.row.wall_goal for one in told),
        sum(one.figures["cpu_seconds"].ratio <= CPU_GOAL for one in told),
        sum(one.figures["peak_mib"].ratio <= PEAK_GOAL for one in told),
    )


def _both(figure: Figure, digits: int) -> str:
    return f"{figure.pyrestic:.{digits}f} / {figure.restic:.{digits}f}"


def _ratio(figure: Figure, goal: float) -> str:
    return f"**{figure.ratio:.2f}**" if figure.ratio > goal else f"{figure.ratio:.2f}"
