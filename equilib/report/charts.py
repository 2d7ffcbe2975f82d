"""Charts of runs: what they show, apart from how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

SOLID, DASHED, DOTTED = "solid", "dashed", "dotted"
_WIDE = 50  # values that differ by more are shown on a logarithmic scale
_MARKED = 40  # points that are still told apart


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line of one run; its first `hollow` points have hollow markers."""

    run: int
    label: str
    kind: str = ""
    style: str = SOLID
    points: list[tuple[float, float]]
    hollow: int = 0

    def marked(self) -> list[tuple[float, float]]:
        """Return the points that have markers: where there are many, the hollow ones."""
        return self.points if len(self.points) <= _MARKED else self.points[: self.hollow]


@dataclass(frozen=True)
class LegendLine:
    """A line of a legend: the stroke of a kind, the marker of a run, both, or without either the hollow marker."""

    label: str
    run: int | None
    style: str | None = None
    marked: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines over one axis, which reaches at least over `span`; `name` is the stem of its file."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    note: str = ""
    logarithmic: bool = False
    logarithmic_x: bool = False
    percent: bool = False
    from_zero: bool = True
    stepped: bool = False
    span: tuple[float, ...] = ()

    def visible(self) -> Iterator[Series]:
        """Yield the lines with the points that the scale can show, where there are any."""
        for each in self.series:
            shown = [math.isfinite(y) and (y > 0 or not self.logarithmic) for _, y in each.points]
            points = [point for point, is_shown in zip(each.points, shown, strict=True) if is_shown]
            if points:
                yield replace(each, points=points, hollow=sum(shown[: each.hollow]))

    def legend(self, *, single: bool) -> list[LegendLine]:
        """Return what tells the lines apart; a `single` run is not named."""
        own = {series.run for series in self.series}
        run = own.pop() if len(own) == 1 else None
        runs = {} if single else {series.run: series for series in self.series}
        kinds = {series.kind: series.style for series in self.series if series.kind}
        entries = [
            LegendLine(each.label, of, None if each.kind else each.style, marked=True) for of, each in runs.items()
        ]
        entries += [LegendLine(kind, run, style) for kind, style in kinds.items()]
        hollow = any(series.hollow for series in self.series)
        return [*entries, LegendLine("pretraining at a fixed depth", run)] if hollow else entries

    def hints(self) -> list[str]:
        """Return what each marker stands for."""
        return [
            f"{series.label}, {series.kind}, {self.x_label} {x:g}: {self._shown(y)}"
            for series in self.visible()
            for x, y in series.marked()
        ]

    def description(self) -> str:
        """Return the beginning and the end of each line, in words."""
        lines = (
            f"{series.label}, {series.kind}: {self._shown(series.points[0][1])} at {self.x_label} "
            f"{series.points[0][0]:g}, {self._shown(series.points[-1][1])} at {series.points[-1][0]:g}"
            for series in self.visible()
        )
        return f"{self.title} by {self.x_label}. " + "; ".join(lines)

    def _shown(self, value: float) -> str:
        return f"{100 * value:.2f} %" if self.percent else f"{value:.4g}"


def is_wide(series: Iterable[Series]) -> bool:
    """Tell whether the values are better shown on a logarithmic scale."""
    values = [y for each in series for _, y in each.points]
    return bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)
