"""The benchmark, on next to nothing: every part works, and what it says gets onto the page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.restic import ROOT
from tools.bench import PARTS
from tools.benchmark import results as result_files
from tools.benchmark.datasets import compare
from tools.benchmark.goals import ROWS
from tools.benchmark.measuring import BenchmarkError
from tools.benchmark.page import END, START
from tools.benchmark.results import Figure, Results

pytestmark = pytest.mark.restic
STEPS = {("small", "backup"), ("first", "backup"), ("small", "restore"), ("listing", "diff"), ("open-1m", "cat-blob")}
TINY = ["--scale", "0.0005", "--runs", "1", "--cheap-key", "--parts", "small,first,listing,open-1m"]
TINY += ["--steps", ",".join(sorted(step for _, step in STEPS))]


def bench(*arguments: str | Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "bench.py"), *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_parts_are_measured_and_told_on_a_page(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    table = bench(*TINY, "--dir", tmp_path, "--json", figures)
    measured = {(part, step) for part, steps in json.loads(figures.read_text())["parts"].items() for step in steps}
    rows = [row for row in ROWS if (row.part, row.step) in measured]
    assert measured == STEPS
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [f"| {row.title}" for row in rows]
    for figure in result_files.read(figures).parts["listing"]["diff"].values():
        assert figure.pyrestic > 0
        assert figure.restic > 0
    pytest.importorskip("matplotlib")
    pytest.importorskip("numba", reason="the page shows the figures with the extra `fast`")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    bench("--page", page, "--from", figures)
    text = page.read_text()
    assert text.startswith(f"before\n{START}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text
    assert all(line in text for line in table.splitlines())
    assert (tmp_path / "page.svg").read_text().count("diff of the first and the last") >= 1


def test_a_part_that_fails_is_told_and_the_figures_of_others_are_kept(tmp_path: Path) -> None:
    broken = tmp_path / "restic"
    broken.write_text('#!/bin/sh\n[ "$1" = version ] && echo restic 0 && exit\necho does not work >&2\nexit 1\n')
    broken.chmod(0o755)
    figures = tmp_path / "figures.json"
    words = [*TINY[:5], "--parts", "open-1m", "--restic", str(broken)]
    said = bench(*words, "--dir", tmp_path, "--json", figures, code=1)
    assert said.startswith("open-1m: restic -r ")
    assert "does not work" in said
    assert json.loads(figures.read_text())["parts"] == {}


def test_every_part_has_rows_with_goals_and_none_is_twice() -> None:
    assert {row.part for row in ROWS} == set(PARTS)
    assert len({(row.part, row.step) for row in ROWS}) == len(ROWS)


def test_later_figures_of_a_part_replace_earlier_ones_of_the_same_kind() -> None:
    def make(place: str, part: str, ratio: float) -> Results:
        return Results({"install": "fast", "place": place}, {part: {"step": {"wall_seconds": Figure(1, 1, ratio)}}})

    merged = result_files.merge([make("disk", "a", 1), make("RAM disk", "a", 2), make("disk", "b", 3)])
    assert [sorted(one.parts) for one in merged] == [["a"], ["a", "b"]]
    (_, later) = result_files.merge([make("disk", "a", 1), make("RAM disk", "a", 2), make("disk", "a", 4)])
    assert later.parts["a"]["step"]["wall_seconds"].ratio == 4


def test_a_wrong_result_gives_no_figure(tmp_path: Path) -> None:
    for name in ("source", "target"):
        (tmp_path / name / "folder").mkdir(parents=True)
        (tmp_path / name / "folder" / "file").write_bytes(b"right")
    compare(tmp_path / "source", tmp_path / "target")
    (tmp_path / "target" / "folder" / "file").write_bytes(b"wrong")
    with pytest.raises(BenchmarkError, match="file"):
        compare(tmp_path / "source", tmp_path / "target")
