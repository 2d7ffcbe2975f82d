"""Times that a user gives: the output times of an integration, its span, its stops, and where a trajectory is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equilib.arrays import Array
from equilib.errors import brief
from equilib.fixed_points.arguments import real_numbers

Times = Sequence[float] | np.ndarray
"""Output times, the initial one first, shape (times,); or (times, batch), a grid for each sample."""


def checked_times(t: Times, batch: int, *, per_sample: bool) -> np.ndarray:
    """Return the times on the host, shape (times,) or (times, batch).

    Raises
    ------
    TypeError
        If they are traced.
    ValueError
        If they are not monotonic and finite, or a grid for each sample where the batch steps as one.
    """
    must = "t must be two or more finite times, increasing or decreasing"
    times = real_numbers(t, must)
    if times.ndim not in (1, 2) or len(times) < 2 or not times.size:
        raise ValueError(f"{must}, got {_shaped(t, times)}")
    if times.ndim == 2 and not (per_sample and times.shape[1] == batch):
        raise ValueError(
            f"t of shape {times.shape} is a grid for each sample: it must be (times, batch), here (..., {batch}), with "
            "per_sample=True"
        )
    with np.errstate(invalid="ignore"):
        steps, way = np.diff(times, axis=0), np.sign(times[-1] - times[0])
    turned = np.where(way == 0, steps != 0, np.sign(steps) == -way)
    for wrong, what in ((~np.isfinite(times), "is"), (turned, "turns back after")):
        if wrong.any():
            place, *sample = (int(each[0]) for each in np.nonzero(wrong))
            where = f"t[{', '.join(map(str, (place + (what != 'is'), *sample)))}]"
            raise ValueError(f"{must}, got {brief(t)}, where {where} {what} {times[place, *sample]}")
    return times


def checked_span(span: tuple[float, float]) -> None:
    """Require two finite times; raises TypeError or ValueError."""
    must = "span must be two finite times, as in (0.0, 1.0)"
    if real_numbers(span, must).shape != (2,) or not np.isfinite(real_numbers(span, must)).all():
        raise ValueError(f"{must}, got {brief(span)}")


def checked_stops(stops: Sequence[float]) -> tuple[float, ...]:
    """Return the stops as numbers, in their order in time, each once; raises ValueError if they are no finite times."""
    must = "stops must be finite times, as in [0.5], at which f is not smooth"
    times = real_numbers(stops, must)
    if times.ndim != 1 or not np.isfinite(times).all():
        raise ValueError(f"{must}, got {_shaped(stops, times)}")
    return tuple(np.unique(times).tolist())


def query_times(t: float | Times, lanes: int) -> np.ndarray:
    """Return times at which a trajectory is asked for, shape (), (times,) or (times, lanes); raises ValueError."""
    must = "t must be a time or times, of the shape (times,)" + (f" or (times, {lanes})" if lanes > 1 else "")
    times = real_numbers(t, must)
    if times.ndim > 2 or (times.ndim == 2 and times.shape[1] not in (1, lanes)):
        raise ValueError(f"{must}, got {_shaped(t, times)}")
    return times


def _shaped(given: Array | Sequence[float] | float, times: np.ndarray) -> str:
    return f"an array of shape {times.shape}" if times.ndim > 1 else brief(given)
