"""The plot of docs/performance.md, by matplotlib (the extra `bench`)."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tools.benchmark.tables import Told

# In the middle between black and white: readable on either ground.
_INK = "#808890"
_COLOURS = {"wall_seconds": "#3a8fd9", "cpu_seconds": "#e0852b", "peak_mib": "#57a05a"}
_NAMES = {"wall_seconds": "wall time", "cpu_seconds": "CPU time", "peak_mib": "peak memory"}
_MOST = 2.0


def draw(told: list[Told], path: Path) -> None:
    """Draw the ratios of all rows as dots, with the goal of wall time, to an SVG without a background."""
    with mpl.rc_context({"svg.hashsalt": "pyrestic", "svg.fonttype": "none", "font.size": 9, "text.color": _INK}):
        figure = Figure(figsize=(8.5, 0.6 + 0.24 * len(told)), layout="constrained")
        axes = figure.add_subplot()
        heights = range(len(told))
        for name, colour in _COLOURS.items():
            ratios = [min(one.figures[name].ratio, _MOST) for one in told]
            axes.plot(ratios, heights, "o", color=colour, label=_NAMES[name], markersize=5, clip_on=False)
        goals = [one.row.wall_goal for one in told]
        axes.plot(goals, heights, "|", color=_COLOURS["wall_seconds"], label="goal of wall time", markersize=9)
        axes.axvline(1.0, color=_INK, linewidth=1)
        axes.set_yticks(heights, [_label(told, row) for row in heights])
        axes.invert_yaxis()
        axes.set_xlim(0, _MOST)
        axes.set_xlabel("ours / restic's; left of 1 pyrestic is faster or smaller", color=_INK)
        axes.tick_params(colors=_INK)
        axes.grid(axis="both", color=_INK, alpha=0.25, linewidth=0.5)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4, frameon=False)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def _label(told: list[Told], number: int) -> str:
    title = told[number].row.title
    return title if not title.startswith("the same again") else f"{told[number].row.part}: {title}"
