"""Drawings of charts by Matplotlib: SVG inside a page, and PNG files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from equilib.report.charts import DASHED, DOTTED, SOLID, Chart, LegendLine, Series
from equilib.report.numbers import brief, decade
from equilib.report.palette import COLOURS, MARKERS, colour_of
from equilib.runs.files import whole_file

_LONGEST = 80  # characters of the name of a file
_TAG = "equilib report"
_WIDTH, _HEIGHT = 560, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 30, 44
_LIGHT = {name: light for name, (light, _) in COLOURS.items()}
_STROKES: dict[str, dict[str, Any]] = {
    SOLID: {"linestyle": "-", "linewidth": 2},
    DASHED: {"linestyle": (0, (3, 3)), "linewidth": 1.6},
    DOTTED: {"linestyle": (0, (0.1, 1.9)), "linewidth": 2.4, "dash_capstyle": "round"},
}
_STYLE: dict[str, Any] = {
    "axes.autolimit_mode": "round_numbers",
    "axes.edgecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": _LIGHT["soft"],
    "axes.xmargin": 0,
    "axes.ymargin": 0,
    "figure.dpi": 72,  # a point is a pixel of the page
    "font.size": 13,
    "grid.color": _LIGHT["faint"],
    "svg.fonttype": "none",
    "text.color": _LIGHT["soft"],
    "text.parse_math": False,
    "xtick.color": _LIGHT["edge"],
    "xtick.labelcolor": _LIGHT["soft"],
    "ytick.labelcolor": _LIGHT["soft"],
    "ytick.major.pad": 8,
    "ytick.major.size": 0,
}


def svg(chart: Chart) -> Markup:
    """Return a chart for a page, whose colours it takes and whose reader it tells what each marker stands for."""
    text = StringIO()
    with _style(chart.name):
        _figure(chart).savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    plain = text.getvalue().replace(' xmlns="http://www.w3.org/2000/svg"', "").replace("xlink:href", "href")
    root = ElementTree.fromstring(plain)
    marks = [mark for group in root.iter("g") if group.get("id") == "marks" for mark in group.iter("use")]
    for mark, hint in zip(marks, chart.hints(), strict=True):
        ElementTree.SubElement(mark, "title").text = hint
    for element in root.iter():
        _adapt(element)
    root.attrib = {"viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "role": "img", "aria-label": chart.description()}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def save_charts(charts: Iterable[Chart], folder: Path, *, single: bool) -> list[Path]:
    """Write each chart that has something to show as a PNG file, with title and legend; return the files."""
    drawn: dict[Path, Chart] = {}
    for chart in charts:
        if any(chart.visible()):
            # Names are made of recorded ones, which may look like anything, such as a path.
            stem = re.sub(r"[^a-z0-9]+", "-", chart.name.lower()).strip("-")[:_LONGEST] or "chart"
            ending = f"-{len(drawn)}" if folder / f"{stem}.png" in drawn else ""
            drawn[folder / f"{stem}{ending}.png"] = chart
    for path, chart in drawn.items():
        with _style(chart.name):
            figure = _figure(chart)
            _add_legend(figure, chart, single=single)
            with whole_file(path) as file:
                figure.savefig(
                    file, format="png", dpi=150, bbox_inches="tight", pad_inches=0.2, metadata={"Software": _TAG}
                )
    return list(drawn)


def remove_pictures(folder: Path) -> None:
    """Remove the pictures of an earlier report, which say in their metadata that they are that."""
    for path in filter(Path.is_file, folder.glob("*.png")):
        with path.open("rb") as file:
            if _TAG.encode() in file.read(256):
                path.unlink()


@contextmanager
def _style(salt: str) -> Iterator[None]:
    """Draw in the style of a page, whatever the user's settings of Matplotlib; `salt` tells ids of charts apart."""
    with style.context(["default", _STYLE | {"svg.hashsalt": salt}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names may hold signs that the font lacks
        yield


def _add_legend(figure: Figure, chart: Chart, *, single: bool) -> None:
    entries = chart.legend(single=single)
    legend = figure.legend(
        [_handle(entry) for entry in entries],
        [entry.label for entry in entries],
        ncols=4,
        title=chart.title,
        title_fontproperties={"weight": "bold", "size": 15},
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(0, 1.02),
        borderaxespad=0,
        borderpad=0,
        frameon=False,
    )
    legend.get_title().set_color(_LIGHT["ink"])


def _figure(chart: Chart) -> Figure:
    figure = Figure(figsize=(_WIDTH / 72, _HEIGHT / 72))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    axes = figure.add_axes((_LEFT / _WIDTH, _BOTTOM / _HEIGHT, width / _WIDTH, height / _HEIGHT))
    for series in chart.visible():
        _draw(axes, series, chart)
    _scale(axes, chart)
    axes.set_xlabel(chart.x_label)
    figure.text(0, 1, chart.y_label, va="top")
    return figure


def _draw(axes: Any, series: Series, chart: Chart) -> None:
    colour = _LIGHT[colour_of(series.run)]
    scale = 100 if chart.percent else 1
    points = [(x, scale * y) for x, y in series.points]
    drawstyle = "steps-post" if chart.stepped else "default"
    axes.plot(*zip(*points, strict=True), color=colour, drawstyle=drawstyle, clip_on=False, **_STROKES[series.style])
    marked = points[: len(series.marked())]
    for part, hollow in ((marked[: series.hollow], True), (marked[series.hollow :], False)):
        if part:
            look = _marker(series.run, colour, hollow=hollow)
            axes.plot(*zip(*part, strict=True), **look, clip_on=False, zorder=3, gid="marks")


def _marker(run: int, colour: str, *, hollow: bool) -> dict[str, Any]:
    _, marker, size = MARKERS[run % len(MARKERS)]
    inside, edge, width = (_LIGHT["panel"], colour, 1.6) if hollow else (colour, _LIGHT["panel"], 1)
    look = {"markerfacecolor": inside, "markeredgecolor": edge, "markeredgewidth": width}
    return {"marker": marker, "markersize": size, "linestyle": "", **look}


def _handle(entry: LegendLine) -> Line2D:
    colour = _LIGHT["soft" if entry.run is None else colour_of(entry.run)]
    stroke = _STROKES[entry.style] if entry.style else {}
    run = entry.run if entry.marked and entry.run is not None else 0
    marker = {} if stroke and not entry.marked else _marker(run, colour, hollow=not entry.marked)
    return Line2D([], [], color=colour, **marker | stroke)


def _scale(axes: Any, chart: Chart) -> None:
    xs = [*chart.span, *(x for series in chart.visible() for x, _ in series.points)]
    ys = [y for series in chart.visible() for _, y in series.points]
    if chart.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set(major_locator=LogLocator(numticks=8), minor_locator=NullLocator())
        plain = all(1e-4 <= y < 1e5 for y in axes.get_ylim())
        axes.yaxis.set_major_formatter(lambda y, _: brief(y) if plain else decade(y))
    else:
        if chart.from_zero:
            axes.update_datalim([(xs[0], 0 if any(ys) else 10)])
        axes.yaxis.set(major_locator=MaxNLocator(5, steps=[1, 2, 5, 10]), major_formatter=lambda y, _: brief(y))
        if chart.percent and max(ys) <= 1:
            axes.set_ylim(top=min(axes.get_ylim()[1], 100))
    if chart.logarithmic_x:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set(xlim=(min(xs), max(xs)) if min(xs) < max(xs) else (xs[0] - 1, xs[0] + 1), xticks=_x_ticks(xs))
    axes.xaxis.set_major_formatter(lambda x, _: brief(x))


def _x_ticks(xs: list[float]) -> list[float]:
    """Return round numbers; where all are whole, as epochs are, the first as well."""
    low, high, whole = min(xs), max(xs), all(x % 1 == 0 for x in xs)
    if low == high:
        return [low]
    ticks = MaxNLocator(8, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)
    apart = (ticks[1] - ticks[0]) / 2 if whole else 0
    return [*([low] if whole else []), *(x for x in ticks if low + apart <= x <= high)]


def _adapt(element: ElementTree.Element) -> None:
    """Leave colours and type to the style sheet of the page, and keep no id but those that are used."""
    for child in [each for each in element if each.tag in ("style", "metadata", "clipPath")]:
        element.remove(child)
    for name in ("clip-path", {"g": "id", "text": "transform"}.get(element.tag, "")):
        element.attrib.pop(name, None)
    css = re.sub(r"font[-a-z]*: [^;]*;? ?", "", element.attrib.pop("style", ""))
    for name, light in _LIGHT.items():
        css = css.replace(light, f"var(--{name})")
    if css:
        element.set("style", css)
    if element.tag not in ("title", "text"):
        element.text = None
    element.tail = None
