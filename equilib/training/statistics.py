"""What happened in one pass over the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from equilib.arrays import Array, to_host
from equilib.fixed_points.solution import Status
from equilib.models.equilibrium import Record
from equilib.ode.solution import OdeStatus

AnyStatus: TypeAlias = Status | OdeStatus


class PassStatistics:
    """Sums over the batches of one pass, and the means they amount to.

    Evaluations are those of a batch, averaged over batches; scores, losses and residuals are averaged over samples.
    """

    def __init__(self) -> None:
        self._samples = self._batches = 0
        self._loss = self._score = 0.0
        self._residual: float | None = None
        self._nfe = self._njvp = self._adjoint_nfe = 0
        self._forward: Counter[AnyStatus] = Counter()
        self._adjoint: Counter[AnyStatus] = Counter()
        self._adjoint_residual = 0.0

    def add(self, record: Record, scores: Array, loss: float = 0.0) -> None:
        """Take note of one batch, after its backward pass if it has one."""
        count = len(record.status)
        self._samples += count
        self._batches += 1
        self._loss += loss * count
        self._score += float(np.sum(to_host(scores)))
        if record.residual_norm is not None:
            self._residual = (self._residual or 0.0) + float(np.sum(record.residual_norm))
        self._nfe += record.nfe
        self._njvp += record.njvp
        self._forward.update(record.status)
        for backward in record.backward_work():
            self._adjoint_nfe += backward.nvjp
            self._adjoint.update(backward.status)
            # np.maximum, unlike max, lets nan through.
            self._adjoint_residual = float(np.maximum(self._adjoint_residual, backward.residual))

    @property
    def loss(self) -> float:
        """The mean loss."""
        return self._loss / max(self._samples, 1)

    @property
    def score(self) -> float:
        """The mean score."""
        return self._score / max(self._samples, 1)

    def describe(self) -> dict[str, Any]:
        """Return means and counts as plain values; every sample is in one of the statuses.

        Those of the adjoint are empty where nothing was differentiated, or by a sensitivity that solves no equation.
        The residual is None where nothing was solved for, as in an integration.
        """
        batches, samples = max(self._batches, 1), max(self._samples, 1)
        return {
            "forward_nfe": self._nfe / batches,
            "forward_njvp": self._njvp / batches,
            "residual": None if self._residual is None else self._residual / samples,
            "unconverged": _failed(self._forward),
            "status": _names(self._forward),
            "adjoint_nfe": self._adjoint_nfe / batches,
            "adjoint_residual_max": self._adjoint_residual,
            "adjoint_unconverged": _failed(self._adjoint),
            "adjoint_status": _names(self._adjoint),
        }


def describe_statuses(statuses: Iterable[AnyStatus]) -> str:
    """Return how often each status occurs, as in "30 converged, 2 nonfinite"."""
    return ", ".join(f"{count} {name}" for name, count in _names(Counter(statuses)).items())


def _failed(counts: Counter[AnyStatus]) -> float:
    return sum(count for status, count in counts.items() if not status.success) / max(counts.total(), 1)


def _names(counts: Counter[AnyStatus]) -> dict[str, int]:
    order = [*Status, *OdeStatus]
    return {status.name.lower(): counts[status] for status in order if counts[status]}
