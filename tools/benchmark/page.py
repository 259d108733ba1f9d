"""The part of docs/performance.md that is made from results."""

from collections.abc import Iterator
from pathlib import Path

from tools.benchmark.results import Results
from tools.benchmark.tables import count_reached, make_table, select

START, END = "<!-- figures: start -->", "<!-- figures: end -->"


def update_page(page: Path, several: list[Results], *, picture: str) -> None:
    """Put tables of merged results between the two marks of a page; `picture` is the file name of the plot."""
    before, _, rest = page.read_text().partition(START)
    _, _, after = rest.partition(END)
    made = "\n".join(_lines(several, picture))
    page.write_text(f"{before}{START}\n{made}\n{END}{after}")


def _lines(several: list[Results], picture: str) -> Iterator[str]:
    fast = [one for one in several if not one.is_base]
    for results in fast:
        base = next((one for one in several if one.is_base and one.on_disk == results.on_disk), None)
        told = select(results, base)
        about, (wall, cpu, peak) = results.about, count_reached(told)
        yield f"### On a {about['place']}"
        yield ""
        if not results.on_disk:
            yield f"![ratios of wall time, CPU time and peak memory to those of restic]({picture})"
            yield ""
        yield from make_table(told)
        yield ""
        yield (
            f"{about['processor']}, {about['threads']} threads, {about['memory_gib']} GiB, {about['system']}; Python"
            f" {about['python']}, {about['pyrestic']}, {about['restic']}; medians of {about['runs']} pairs."
            f" Of {len(told)} rows, {wall} meet their wall time goal, {cpu} the CPU time goal of 0.8, and {peak} the"
            " peak memory goal of 1.0."
        )
        yield ""
