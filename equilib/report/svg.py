"""Charts as inline SVG: they scale, follow the page's colours, and need no script."""

from __future__ import annotations

from itertools import chain

from equilib.report.charts import Chart, Series
from equilib.report.html import Html, element
from equilib.report.scale import Scale, linear_scale, log_scale, whole_scale

COLOURS = 6
"""Runs that have a colour of their own; the page's style sheet defines it."""

_WIDTH, _HEIGHT = 560, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 30, 44
_MARKED = 40  # points that are still told apart
_SHAPES = (
    '<circle r="4"/>',
    '<rect x="-3.5" y="-3.5" width="7" height="7"/>',
    '<path d="M0-5 4.6 3.4H-4.6Z"/>',
    '<path d="M0-5 5 0 0 5-5 0Z"/>',
    '<path d="M0 5 4.6-3.4H-4.6Z"/>',
)


def scales(chart: Chart) -> tuple[Scale, Scale]:
    """Return the axes of a chart that has something to show."""
    points = [point for series in chart.visible() for point in series.points]
    ys = [y for _, y in points]
    y_scale = log_scale(ys) if chart.logarithmic else linear_scale(ys, percent=chart.percent, from_zero=chart.from_zero)
    xs = [*chart.span, *(x for x, _ in points)]
    return whole_scale(xs) if all(x.is_integer() for x in xs) else linear_scale(xs), y_scale


def figure(chart: Chart, *, single: bool) -> Html:
    """Return the chart with title and legend; a `single` run is not named in it."""
    return element(
        "figure",
        element("figcaption", element("h3", chart.title), _legend(chart, single=single)),
        _svg(chart),
        element("p", chart.note, class_="note") if chart.note else None,
        class_="chart",
    )


def _svg(chart: Chart) -> Html:
    if not any(chart.visible()):
        return element("p", "There is no number above zero to show on a logarithmic scale.", class_="note")
    x, y = scales(chart)
    lines = [_line(series, chart, x, y) for series in chart.visible()]
    return element(
        "svg",
        *_grid(x, y),
        element("text", chart.y_label, x=0, y=13, class_="axis"),
        element("text", chart.x_label, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 6, class_="axis middle"),
        *lines,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=_description(chart),
    )


def _grid(x: Scale, y: Scale) -> chain[Html]:
    bottom = _HEIGHT - _BOTTOM
    across = (
        (
            element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_y(y, tick), y2=_y(y, tick), class_="grid"),
            element("text", label, x=_LEFT - 8, y=_y(y, tick) + 4, class_="tick end"),
        )
        for tick, label in zip(y.ticks, y.labels, strict=True)
    )
    along = (
        (
            element("line", x1=_x(x, tick), x2=_x(x, tick), y1=bottom, y2=bottom + 4, class_="mark"),
            element("text", label, x=_x(x, tick), y=bottom + 18, class_="tick middle"),
        )
        for tick, label in zip(x.ticks, x.labels, strict=True)
    )
    return chain.from_iterable(chain(across, along))


def _line(series: Series, chart: Chart, x: Scale, y: Scale) -> Html:
    places = [(_x(x, px), _y(y, py)) for px, py in series.points]
    path = " ".join(f"{px:g},{py:g}" for px, py in places)
    markers = [
        element(
            "g",
            element("title", f"{series.label}, {series.kind}, {chart.x_label} {px:g}: {_shown(py, chart)}"),
            Html(_SHAPES[series.run % len(_SHAPES)]),
            transform=f"translate({place[0]:g} {place[1]:g})",
            class_="hollow" if index < series.hollow else "full",
        )
        for index, ((px, py), place) in enumerate(zip(series.points, places, strict=True))
        if index < series.hollow or len(places) <= _MARKED
    ]
    line = element("polyline", points=path, class_=f"line {series.style}")
    return element("g", line, *markers, class_=f"run-{series.run % COLOURS}")


def _legend(chart: Chart, *, single: bool) -> Html | None:
    kinds = {series.kind: series.style for series in chart.series}
    hollow = any(series.hollow for series in chart.series)
    runs = {} if single else {series.run: series.label for series in chart.series}
    colour = f"run-{chart.series[0].run % COLOURS}" if len({series.run for series in chart.series}) == 1 else "ink"
    entries = [
        *(element("li", swatch(run), label) for run, label in runs.items()),
        *(element("li", _stroke(colour, style), kind) for kind, style in kinds.items()),
        element("li", _hollow(colour), "pretraining at a fixed depth") if hollow else None,
    ]
    return element("ul", *entries, class_="legend")


def swatch(run: int) -> Html:
    """Return a run's marker in its colour."""
    shape = element("g", Html(_SHAPES[run % len(_SHAPES)]), class_="full")
    return element("svg", shape, viewBox="-6 -6 12 12", class_=f"swatch run-{run % COLOURS}", aria_hidden="true")


def _stroke(colour: str, style: str) -> Html:
    line = element("polyline", points="1,6 27,6", class_=f"line {style}")
    return element("svg", line, viewBox="0 0 28 12", class_=f"stroke {colour}", aria_hidden="true")


def _hollow(colour: str) -> Html:
    shape = element("g", Html(_SHAPES[0]), class_="hollow")
    return element("svg", shape, viewBox="-6 -6 12 12", class_=f"swatch {colour}", aria_hidden="true")


def _description(chart: Chart) -> str:
    lines = (
        f"{series.label}, {series.kind}: {_shown(series.points[0][1], chart)} at {chart.x_label} "
        f"{series.points[0][0]:g}, {_shown(series.points[-1][1], chart)} at {series.points[-1][0]:g}"
        for series in chart.visible()
    )
    return f"{chart.title} by {chart.x_label}. " + "; ".join(lines)


def _shown(value: float, chart: Chart) -> str:
    return f"{100 * value:.2f} %" if chart.percent else f"{value:.4g}"


def _x(scale: Scale, value: float) -> float:
    return round(_LEFT + scale.place(value) * (_WIDTH - _LEFT - _RIGHT), 2)


def _y(scale: Scale, value: float) -> float:
    return round(_HEIGHT - _BOTTOM - scale.place(value) * (_HEIGHT - _TOP - _BOTTOM), 2)
