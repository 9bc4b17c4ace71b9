"""Draws the ratios beside their goals, as an SVG."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Goal

_REACHED, _MISSED, _TOLD = "#2a7f62", "#b5493b", "#8a8f98"


def draw(goals: Sequence[Goal], file: Path) -> None:
    """A bar a ratio, from the lowest to the highest round a line, the goal a mark; log scale."""
    # Loaded when it is wanted: nothing but this needs it, and it takes a second.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Letters stay letters, so that the file can be searched, and ids are the same in every run.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stockwright"}):
        figure = Figure(figsize=(10, 0.45 * len(goals) + 1.2), layout="constrained")
        axes = figure.add_subplot()
        for place, goal in enumerate(goals):
            color = {True: _REACHED, False: _MISSED, None: _TOLD}[goal.reached]
            axes.barh(place, goal.measured, height=0.6, color=color)
            axes.plot([min(goal.ratios), max(goal.ratios)], [place, place], color="black", lw=1)
            marks = [*goal.ratios, *([] if goal.limit is None else [goal.limit])]
            axes.annotate(
                f"{goal.measured:.2f} x",
                (max(marks), place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
            if goal.limit is not None:
                axes.plot([goal.limit] * 2, [place - 0.4, place + 0.4], color="black", lw=2.5)
        axes.set_xscale("log")
        axes.margins(x=0.3)
        axes.axvline(1, color="gray", lw=0.5)
        axes.set_yticks(range(len(goals)), [f"{goal.load}: {goal.text}" for goal in goals])
        axes.invert_yaxis()
        axes.set_xlabel("ratio (bar), lowest to highest round (line), goal (mark)")
        figure.savefig(file, format="svg", metadata={"Date": None})
