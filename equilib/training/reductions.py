"""Reductions over batches: how the values of batches become that of a pass over the data."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.fixed_points.solution import SampleStatus
from equilib.training.number_formats import counts as describe_counts


@dataclass(frozen=True)
class Reduction:
    """What there is before the first batch, what a further batch makes of it, and what it amounts to in the end.

    `result` gets what was accumulated, the number of samples, and the number of batches. `join` makes the value of a
    batch of those of two shares of it, which were computed at the same time.
    """

    start: Any
    add: Callable[[Any, Any], Any]
    result: Callable[[Any, int, int], Any]
    join: Callable[[Any, Any], Any] = operator.add


def _by_label(counts: Counter[SampleStatus], samples: int = 0, batches: int = 0) -> dict[str, int]:
    """Return how often each status occurs, by its label, in the order of their definition."""
    kinds = dict.fromkeys(type(status) for status in counts)
    return {status.label: counts[status] for kind in kinds for status in kind if counts[status]}


def _share_failed(counts: Counter[SampleStatus], samples: int, batches: int) -> float:
    return sum(count for status, count in counts.items() if not status.success) / max(counts.total(), 1)


MEAN_OF_BATCHES = Reduction(0, operator.add, lambda total, samples, batches: total / max(batches, 1), max)
"""The mean over batches; of one that is shared, as of calls, what the share with most has."""

MEAN_OF_SAMPLES = Reduction(0.0, operator.add, lambda total, samples, batches: total / max(samples, 1))
"""The mean over samples, of which a batch gives the sum."""


def _larger(most: float, each: float) -> float:
    return float(np.maximum(most, each))


LARGEST = Reduction(0.0, _larger, lambda most, samples, batches: most, _larger)
"""The largest value; np.maximum, unlike max, lets nan through."""

STATUSES = Reduction(Counter(), operator.add, _by_label)
"""How many samples or solves ended in each status."""

FAILED = Reduction(Counter(), operator.add, _share_failed)
"""The share of the samples or solves whose status is no success."""


def describe_statuses(statuses: Iterable[SampleStatus]) -> str:
    """Return how often each status occurs, as in "30 converged, 2 nonfinite"."""
    return describe_counts(_by_label(Counter(statuses)))
