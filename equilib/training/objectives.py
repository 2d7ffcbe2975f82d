"""What training minimizes, and how a prediction is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from equilib import ops
from equilib.arrays import Array, array_namespace
from equilib.models.equilibrium import Equilibrium


class Objective(Protocol):
    """**Protocol:** the loss of a batch, and a score for each sample.

    `score_name` names the mean score in the metrics.
    """

    @property
    def score_name(self) -> str:
        """The name of the mean score."""

    def loss(self, prediction: Array, equilibrium: Equilibrium, target: Array) -> Array:
        """Return the mean loss of the batch: a scalar."""

    def score(self, prediction: Array, target: Array) -> Array:
        """Return one score per sample, of untraced arrays, shape (batch,)."""


@dataclass(frozen=True)
class Classification:
    """Cross-entropy + `guess_weight`·MSE(z*, u0), the second term pulling the initial guess to the fixed point.

    Pal et al. 2022, arXiv:2201.12240, §3.
    """

    guess_weight: float = 0.01
    score_name: str = "accuracy"

    def loss(self, prediction: Array, equilibrium: Equilibrium, target: Array) -> Array:
        """Return the mean loss; `prediction` holds logits, shape (batch, classes), `target` class numbers."""
        pull = ops.mse(equilibrium.z_star, equilibrium.u0)
        return ops.add(ops.cross_entropy(prediction, target), ops.multiply(pull, self.guess_weight))

    def score(self, prediction: Array, target: Array) -> Array:
        """Return which samples' largest logit is that of their class; with a logit that is not finite, none is."""
        xp = array_namespace(prediction)
        # argmax takes nan for the largest, which would be right wherever its place is.
        finite = xp.all(xp.isfinite(prediction), axis=-1)
        return xp.logical_and(xp.argmax(prediction, axis=-1) == target, finite)
