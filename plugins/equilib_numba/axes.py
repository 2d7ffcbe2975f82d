"""Axes of an array whose numbers are neighbours."""

from __future__ import annotations

from math import prod

_LONG = 8
"""Numbers of a row, at least: shorter ones are added no faster."""


def axes_together(shape: tuple[int, ...], axis: int | tuple[int, ...] | None) -> tuple[int, int] | None:
    """Return the first axis and the one after the last, if these follow one another and long rows follow them."""
    if axis is None:
        return None
    axes = sorted((axis,) if isinstance(axis, int) else axis)
    if (
        not axes
        or axes != list(range(axes[0], axes[0] + len(axes)))
        or not -len(shape) <= axes[0] <= axes[-1] < len(shape)
    ):
        return None
    first = axes[0] % len(shape)
    end = first + len(axes)
    return (first, end) if prod(shape[end:]) >= _LONG else None
