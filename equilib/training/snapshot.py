"""Snapshots: all that training needs to go on bit for bit, as plain values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from equilib.arrays import Array, Tree
from equilib.fixed_points.solution import Status
from equilib.ode.solution import OdeStatus

_ENUMS: dict[str, type[Enum]] = {each.__name__: each for each in (Status, OdeStatus)}
_ARRAY, _SCALAR, _COUNTER = "array", "scalar", "counter"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A trainer between two batches.

    `progress` is, as JSON holds it, what has no field of its own: steps, epochs and batches done, the state of the
    random numbers, the sums of the epoch at work, the metrics of the last one, the best so far.
    """

    params: Tree
    optimizer: Tree  # the fields of the optimizer's state
    order: np.ndarray  # int64: the samples in the order of the epoch at work; empty between two epochs
    progress: dict[str, Any]
    # The state of `WarmStarts`: for each thing kept an array, or None, for each sample.
    warm_starts: dict[str, tuple[Array | None, ...]] = field(default_factory=dict)


def to_plain(value: Any) -> Any:
    """Return a value as JSON holds it: arrays, NumPy's numbers and counts of statuses by their content.

    Raises TypeError if `value` is of another kind.
    """
    if isinstance(value, Counter):
        return {_COUNTER: [[type(key).__name__, key.name, count] for key, count in value.items()]}
    if isinstance(value, np.ndarray):
        return {_ARRAY: value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return {_SCALAR: value.item(), "dtype": str(value.dtype)}
    if isinstance(value, dict):
        return {name: to_plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}: {value!r}")


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given, tuples as lists."""
    if isinstance(value, list):
        return [from_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_COUNTER}:
        return Counter({_ENUMS[kind][name]: count for kind, name, count in value[_COUNTER]})
    if value.keys() == {_ARRAY, "dtype"}:
        return np.asarray(value[_ARRAY], dtype=value["dtype"])
    if value.keys() == {_SCALAR, "dtype"}:
        return np.dtype(value["dtype"]).type(value[_SCALAR])
    return {name: from_plain(each) for name, each in value.items()}
