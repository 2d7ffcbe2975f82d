"""What a chart shows, apart from how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

SOLID, DASHED, DOTTED = "solid", "dashed", "dotted"
_WIDE = 50  # values that differ by more are shown on a logarithmic scale


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line.

    Attributes
    ----------
    run : int
        The run that it belongs to, which decides colour and marker.
    label : str
        What the run is called.
    kind : str
        What distinguishes the line from the run's others.
    style : str
        "solid", "dashed" or "dotted", the same for all lines of the kind.
    points : list of (float, float)
    hollow : int
        Points from the first on that have a hollow marker.
    """

    run: int
    label: str
    kind: str
    style: str
    points: list[tuple[float, float]]
    hollow: int = 0


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines over one axis.

    Attributes
    ----------
    name : str
        The stem of its file.
    title, x_label, y_label, note : str
    series : tuple of Series
        Each has a point.
    logarithmic : bool
    percent : bool
        Whether y is a share, shown in percent.
    from_zero : bool
        Whether the axis begins at zero.
    span : tuple of float
        What x reaches at least.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    note: str = ""
    logarithmic: bool = False
    percent: bool = False
    from_zero: bool = True
    span: tuple[float, ...] = ()

    def visible(self) -> Iterator[Series]:
        """Yield the lines with the points that the scale can show, where there are any."""
        shows: Callable[[float], bool] = (lambda y: 0 < y < math.inf) if self.logarithmic else math.isfinite
        for each in self.series:
            kept = [(place, point) for place, point in enumerate(each.points) if shows(point[1])]
            if kept:
                hollow = sum(place < each.hollow for place, _ in kept)
                yield replace(each, points=[point for _, point in kept], hollow=hollow)


def is_wide(series: Iterable[Series]) -> bool:
    """Tell whether the values are better shown on a logarithmic scale."""
    values = [y for each in series for _, y in each.points]
    return bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)
