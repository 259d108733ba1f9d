"""Times pyrestic and the real restic in turn and prints ratios.

    python3 tools/bench.py                               # all parts, six pairs each
    python3 tools/bench.py --parts small --steps backup,rescan
    python3 tools/bench.py --scale 0.1 --runs 2          # a tenth of the data, two pairs
    python3 tools/bench.py --parts small --dir . --json small.json
    python3 tools/bench.py --page docs/performance.md --from small.json --from others.json

Each pair runs the same step with both tools, one right after the other and the first one changing from pair to pair, on
equal copies, so that a machine whose speed drifts slows both. Quoted are medians over the pairs of wall seconds, CPU
seconds (user and system, all threads) and peak memory, and the median of the ratios pyrestic / restic. What was
written is checked with the real `restic check`, what was restored is compared with the source, and what was listed with
what the other tool listed, before a figure is printed. On a RAM disk, memory is taken once before the first run, so
that no tool pays for it.

With `--python` another Python runs pyrestic, such as one without the extra `fast`; the page shows its ratios beside the
others. `--page` measures nothing: it puts tables and a plot of the JSON files into the page (that needs matplotlib,
from the extra `bench`).
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.benchmark import results as result_files
from tools.benchmark.measuring import BenchmarkError, Run, make_tools, run
from tools.benchmark.page import update_page
from tools.benchmark.part import CHEAP_KEY, Part, Setting
from tools.benchmark.parts_files import FirstPart, HistoriesPart, RandomPart, SmallPart, TextPart
from tools.benchmark.parts_index import OpenMillionPart, OpenMillionsPart
from tools.benchmark.parts_mount import MountPart
from tools.benchmark.parts_snapshots import CopyPart, HistoryPart, ListingPart, PrunePart
from tools.benchmark.results import Figures, Results, describe, merge, summarize
from tools.benchmark.tables import make_table, select

PARTS: dict[str, type[Part]] = {
    part.name: part
    for part in (
        RandomPart,
        TextPart,
        SmallPart,
        FirstPart,
        HistoriesPart,
        ListingPart,
        HistoryPart,
        PrunePart,
        CopyPart,
        OpenMillionPart,
        OpenMillionsPart,
        MountPart,
    )
}


def measure(part: Part, steps: list[str], runs: int) -> dict[str, Figures]:
    """Do the steps of a part in turn, that many times, and return their figures."""
    chosen = [step for step in part.steps if not steps or step in steps]
    pairs: dict[str, list[tuple[Run, Run]]] = {step: [] for step in chosen}
    for number in range(runs):
        for step in chosen:
            pairs[step].append(part.measure(step, reverse=number % 2 == 1))
    return {step: summarize(found) for step, found in pairs.items()}


def measure_all(options: argparse.Namespace) -> tuple[Results, list[str]]:
    """Measure the parts that the options name, each in a folder that is removed afterwards.

    Returns the figures, and what went wrong with parts that have none.
    """
    tools = make_tools(options.python, options.restic)
    setting = Setting(tools, options.scale, CHEAP_KEY if options.cheap_key else None)
    about = describe(tools, Path(options.dir), runs=options.runs, scale=options.scale)
    results = Results(about, {})
    # So that no step but the one that is about it runs without what later runs have.
    run(tools[0], ["compile-code"], Path(options.dir))
    failures: list[str] = []
    for name in options.parts.split(","):
        work = Path(tempfile.mkdtemp(prefix="pyrestic-bench-", dir=options.dir))
        try:
            part = PARTS[name](setting, work / name)
            results.parts[name] = measure(part, options.steps.split(",") if options.steps else [], options.runs)
        except BenchmarkError as error:
            failures.append(f"{name}: {error}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return results, failures


def write_page(page: Path, sources: list[Path]) -> None:
    """Put tables of JSON files into the page, and the plot beside it."""
    from tools.benchmark.plot import draw  # Measuring does without matplotlib.

    several = merge([result_files.read(source) for source in sources])
    picture = page.with_suffix(".svg")
    draw(select(next(one for one in several if not one.is_base)), picture)
    update_page(page, several, picture=picture.name)


def main() -> None:
    """Measure what the arguments ask for, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=6, help="pairs of runs per step (6); even numbers are fair")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full data (1.0)")
    parser.add_argument("--parts", "--data", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--steps", default="", help="steps of those parts (all)")
    parser.add_argument("--dir", default="/dev/shm", help="where to work (a RAM disk: /dev/shm)")
    parser.add_argument("--restic", default=None, help="the real restic")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs pyrestic")
    parser.add_argument("--cheap-key", action="store_true", help="passwords cost no time: to try the benchmark itself")
    parser.add_argument("--json", type=Path, default=None, help="write all figures to this file")
    parser.add_argument("--page", type=Path, default=None, help="measure nothing, put figures into this page")
    parser.add_argument("--from", dest="sources", type=Path, action="append", default=[], help="a file by --json")
    options = parser.parse_args()
    unknown = set(options.parts.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if options.page:
        write_page(options.page, options.sources)
        return
    try:
        results, failures = measure_all(options)
    except BenchmarkError as error:
        sys.exit(str(error))
    print("\n".join(make_table(select(results))))
    if options.json:
        result_files.write(options.json, results)
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
