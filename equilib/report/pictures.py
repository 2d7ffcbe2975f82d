"""The report as PNG files, which Matplotlib draws."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equilib.report.charts import DASHED, DOTTED, SOLID, Chart
from equilib.report.findings import Findings, confusion
from equilib.report.run import ReportedRun
from equilib.report.samples import FIRST, WRONG, wrong_ones
from equilib.report.svg import scales

_COLOURS = ("#0072b2", "#c8501e", "#00805c", "#8a4fa3", "#8c6d00", "#4a4f55")
_MARKERS = "os^Dv"
_STROKES = {SOLID: "-", DASHED: "--", DOTTED: ":"}
_TAG = "equilib report"


def has_matplotlib() -> bool:
    """Tell whether pictures can be drawn."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def remove_pictures(folder: Path) -> None:
    """Remove the pictures of an earlier report, which say in their metadata that they are that."""
    for path in folder.glob("*.png"):
        with path.open("rb") as file:
            if _TAG.encode() in file.read(256):
                path.unlink()


def draw_charts(charts: Iterable[Chart], folder: Path, *, single: bool) -> list[Path]:
    """Write a picture of each chart; return the files."""
    drawn = []
    for chart in charts:
        if any(chart.visible()):
            figure, axes = _figure(7.5, 4.2)
            _draw(chart, axes, single=single)
            drawn.append(_save(figure, folder / f"{chart.name}.png"))
    return drawn


def _draw(chart: Chart, axes: Any, *, single: bool) -> None:
    for series in chart.visible():
        colour = _COLOURS[series.run % len(_COLOURS)]
        axes.plot(
            *zip(*series.points, strict=True),
            _STROKES[series.style],
            color=colour,
            label=series.kind if single else f"{series.label}, {series.kind}",
        )
        marker = _MARKERS[series.run % len(_MARKERS)]
        for points, inside in ((series.points[: series.hollow], "white"), (series.points[series.hollow :], colour)):
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=colour, markerfacecolor=inside)
    along, up = scales(chart)
    if up.logarithmic:
        axes.set_yscale("log")
    axes.set_yticks(up.ticks, up.labels)
    axes.set_yticks([], minor=True)
    axes.set_ylim(up.low, up.high)
    axes.set_xticks(along.ticks, along.labels)
    axes.set_title(chart.title, loc="left", fontweight="bold")
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if any(series.hollow for series in chart.series):
        axes.plot([], [], "o", color="#4a4f55", markerfacecolor="white", label="pretraining at a fixed depth")
    axes.legend(fontsize="small", frameon=False)


def draw_tests(run: ReportedRun, tested: Findings, folder: Path, *, single: bool) -> list[Path]:
    """Write the confusion matrix and the images; return the files."""
    ending = "" if single else f"-{run.index + 1}-{re.sub(r'[^A-Za-z0-9._=-]+', '-', run.label)}"
    title, classes, images = ("" if single else f", {run.label}"), tested.classes, tested.images
    if classes is None:
        return []
    drawn = [_draw_confusion(tested, classes, folder / f"confusion{ending}.png", title)]
    if images is not None:
        first, wrong = np.arange(min(FIRST, tested.samples)), wrong_ones(tested)[:WRONG]
        for name, places in (("images", first), ("wrong", wrong)):
            if len(places):
                drawn.append(_draw_images(tested, images, classes, places, folder / f"{name}{ending}.png"))
    return drawn


def _draw_confusion(tested: Findings, classes: Sequence[str], path: Path, title: str) -> Path:
    counts = confusion(tested)
    counts = counts if counts[:, -1].any() else counts[:, :-1]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.5 + 0.45 * len(classes)
    figure, axes = _figure(side, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), n in np.ndenumerate(counts):
        if n:
            axes.text(column, row, n, ha="center", va="center", color="white" if shares[row, column] > 0.5 else "black")
    axes.set_xticks(range(counts.shape[1]), [*classes, "not finite"][: counts.shape[1]])
    axes.set_yticks(range(len(classes)), classes)
    if max(map(len, classes)) > 2:
        axes.tick_params(axis="x", rotation=60)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{tested.samples:,} test {tested.kind}{title}", fontsize="medium")
    return _save(figure, path)


def _draw_images(tested: Findings, images: np.ndarray, classes: Sequence[str], places: np.ndarray, path: Path) -> Path:
    columns = 10
    rows = -(-len(places) // columns)
    figure, grid = _figure(columns * 0.9, rows * 1.15, rows, columns)
    predicted = tested.predicted
    for axes in np.ravel(grid):
        axes.axis("off")
    for axes, place in zip(np.ravel(grid), places, strict=False):
        image = images[place]
        axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        true, said = classes[tested.targets[place]], classes[predicted[place]] if predicted[place] >= 0 else "nothing"
        right = true == said
        axes.set_title(said if right else f"{true} → {said}", fontsize=8, color="black" if right else _COLOURS[1])
    return _save(figure, path)


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=150, metadata={"Software": _TAG})
    return path
