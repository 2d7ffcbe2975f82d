"""What happened in one pass over the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from equilib.arrays import Array, to_host
from equilib.models.equilibrium import Equilibrium
from equilib.solution import Solution, Status


class PassStatistics:
    """Sums over the batches of one pass, and the means they amount to.

    Evaluations are those of a batch, averaged over batches; scores, losses and residuals are averaged over samples.
    """

    def __init__(self) -> None:
        self._samples = self._batches = 0
        self._loss = self._score = self._residual = 0.0
        self._nfe = self._njvp = self._adjoint_nfe = 0
        self._forward: Counter[Status] = Counter()
        self._adjoint: Counter[Status] = Counter()
        self._adjoint_residual = 0.0

    def add(self, equilibrium: Equilibrium, scores: Array, loss: float = 0.0) -> None:
        """Take note of one batch, after its backward pass if it has one."""
        count = len(equilibrium.status)
        self._samples += count
        self._batches += 1
        self._loss += loss * count
        self._score += float(np.sum(to_host(scores)))
        self._residual += float(np.sum(equilibrium.residual_norm))
        self._nfe += equilibrium.nfe
        self._njvp += equilibrium.solution.njvp if equilibrium.solution else 0
        self._forward.update(equilibrium.status)
        for adjoint in equilibrium.adjoints:
            self._add_adjoint(adjoint)

    def _add_adjoint(self, adjoint: Solution) -> None:
        # An evaluation of w ↦ Jᵀw + g and a product of its linearization are one vjp each.
        self._adjoint_nfe += adjoint.nfe + adjoint.njvp
        self._adjoint.update(adjoint.status)
        # np.maximum, unlike max, lets nan through.
        worst = np.max(adjoint.residual_norm, initial=0.0)
        self._adjoint_residual = float(np.maximum(self._adjoint_residual, worst))

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
        """
        batches, samples = max(self._batches, 1), max(self._samples, 1)
        return {
            "forward_nfe": self._nfe / batches,
            "forward_njvp": self._njvp / batches,
            "residual": self._residual / samples,
            "unconverged": _unconverged(self._forward),
            "status": _names(self._forward),
            "adjoint_nfe": self._adjoint_nfe / batches,
            "adjoint_residual_max": self._adjoint_residual,
            "adjoint_unconverged": _unconverged(self._adjoint),
            "adjoint_status": _names(self._adjoint),
        }


def describe_statuses(statuses: Iterable[Status]) -> str:
    """Return how often each status occurs, as in "30 converged, 2 nonfinite"."""
    return ", ".join(f"{count} {name}" for name, count in _names(Counter(statuses)).items())


def _unconverged(counts: Counter[Status]) -> float:
    return (counts.total() - counts[Status.CONVERGED]) / max(counts.total(), 1)


def _names(counts: Counter[Status]) -> dict[str, int]:
    return {status.name.lower(): counts[status] for status in Status if counts[status]}
