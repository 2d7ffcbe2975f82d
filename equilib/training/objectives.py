"""Objectives: the loss that training minimizes, and the score of a prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Protocol, TypeAlias, runtime_checkable

from equilib import ops
from equilib.adjoints.equilibrium import Equilibrium
from equilib.arrays import Array, array_namespace
from equilib.autodiff import static_value
from equilib.errors import UserError
from equilib.models.regularizers import Regularization
from equilib.ops.losses import check_labels

Regularizer: TypeAlias = Callable[[Array, Any], Array]
"""Maps a loss and the record of a forward pass to the loss that training minimizes; `Regularization` is one."""


class Objective(Protocol):
    """**Protocol:** the loss of a batch, and a score for each sample.

    `score_name` names the mean score in the metrics, `higher_is_better` says which of two scores is better.
    """

    @property
    def score_name(self) -> str:
        """The name of the mean score."""

    @property
    def higher_is_better(self) -> bool:
        """Whether the greater of two scores is the better one."""

    def loss(self, prediction: Array, record: Any, target: Array) -> Array:
        """Return the mean loss of the batch, shape (); `record` is what the model returned with its prediction."""

    def score(self, prediction: Array, target: Array) -> Array:
        """Return one score per sample, of untraced arrays, shape (batch,)."""

    def show(self, score: float) -> str:
        """Return a mean score as people read it."""


def is_better(objective: Objective, score: float, best: float) -> bool:
    """Tell whether a mean score is better than the best so far; any number is, where that is none."""
    if isnan(best):
        return not isnan(score)
    return score > best if objective.higher_is_better else score < best


@runtime_checkable
class ChecksTargets(Protocol):
    """**Protocol:** an objective that looks at all targets before training begins."""

    def check_targets(self, targets: Array, prediction: Array, *, name: str) -> None:
        """Refuse targets, shape (samples, ...), beside the prediction for one sample; `name` opens the sentence.

        Raises UserError if a target is none that the loss can take.
        """


@dataclass(frozen=True)
class GuessPull:
    """`weight` · MSE(z*, z0), which pulls the initial guess to the fixed point.

    The term of DeepEquilibriumNetworks.jl's tutorials, after Pal et al. 2022, arXiv:2201.12240, §3.
    """

    weight: float = 0.01

    def __call__(self, loss: Array, record: Equilibrium) -> Array:
        """Return the loss plus the term, shape ()."""
        return ops.add(loss, ops.multiply(ops.mse(record.z, record.z0), self.weight))


@dataclass(frozen=True)
class Classification:
    """Cross-entropy, regularized; by default by the distance between guess and fixed point."""

    regularize: Regularizer = field(default_factory=GuessPull)
    score_name: str = "accuracy"
    higher_is_better: bool = True

    def loss(self, prediction: Array, record: Any, target: Array) -> Array:
        """Return the mean loss; `prediction` holds logits, shape (batch, classes), `target` class numbers."""
        return self.regularize(ops.cross_entropy(prediction, target), record)

    def check_targets(self, targets: Array, prediction: Array, *, name: str) -> None:
        """Refuse labels, shape (samples,), that are not the numbers of classes.

        Raises UserError if one is none.
        """
        try:
            check_labels(targets, prediction.shape[-1], name=name)
        except ValueError as error:
            raise UserError(str(error)) from error

    def score(self, prediction: Array, target: Array) -> Array:
        """Return which samples' largest logit is that of their class, shape (batch,); none if a logit is not finite."""
        xp = array_namespace(prediction)
        # argmax takes nan for the largest, which would be right wherever its place is.
        finite = xp.all(xp.isfinite(prediction), axis=-1)
        return xp.logical_and(xp.argmax(prediction, axis=-1) == target, finite)

    def show(self, score: float) -> str:
        """Return a percentage."""
        return f"{100 * score:.3f}%"


@dataclass(frozen=True)
class Labelling:
    """Cross-entropy of each place of a sample, such as the nodes of a graph or the positions of a text; regularized.

    Targets hold class numbers, shape (batch, ...), and −1 where a place has none; a sample's score is the share of its
    places with one that are right.
    """

    regularize: Regularizer = field(default_factory=Regularization)
    score_name: str = "accuracy"
    higher_is_better: bool = True

    def loss(self, prediction: Array, record: Any, target: Array) -> Array:
        """Return the mean loss of the places with a class; `prediction` holds logits, shape (batch, ..., classes)."""
        return self.regularize(ops.divide(ops.sum(self.losses(prediction, target)), _known(target)), record)

    def losses(self, prediction: Array, target: Array) -> Array:
        """Return −log softmax(prediction)[target] of each place, shape (batch, ...), 0 without a class."""
        logits = static_value(prediction)
        xp = array_namespace(logits)
        classes = xp.arange(logits.shape[-1], dtype=target.dtype, device=getattr(logits, "device", None))
        chosen = xp.astype(target[..., None] == classes, logits.dtype)
        return ops.negative(ops.sum(ops.multiply(ops.log_softmax(prediction), chosen), -1))

    def score(self, prediction: Array, target: Array) -> Array:
        """Return the share of right places of each sample, shape (batch,)."""
        xp = array_namespace(prediction)
        right = xp.logical_and(xp.argmax(prediction, axis=-1) == target, xp.all(xp.isfinite(prediction), axis=-1))
        return self.of_samples(xp.astype(right, prediction.dtype), target)

    def of_samples(self, places: Array, target: Array) -> Array:
        """Return the mean over the places of each sample that have a class, shape (batch,)."""
        xp = array_namespace(places)
        known = xp.astype(target >= 0, places.dtype)
        axes = tuple(range(1, places.ndim))
        return xp.sum(places * known, axis=axes) / xp.sum(known, axis=axes)

    def show(self, score: float) -> str:
        """Return a percentage."""
        return f"{100 * score:.3f}%"


def _known(target: Array) -> float:
    xp = array_namespace(target)
    return max(1.0, float(xp.sum(xp.astype(target >= 0, xp.int64))))


@dataclass(frozen=True)
class Regression:
    """The mean squared error, regularized; by default by nothing. A sample's score is its squared error."""

    regularize: Regularizer = field(default_factory=Regularization)
    score_name: str = "squared_error"
    higher_is_better: bool = False

    def loss(self, prediction: Array, record: Any, target: Array) -> Array:
        """Return the mean loss; raises ValueError unless `prediction` and `target` have one shape, (batch, outputs)."""
        if prediction.shape != target.shape:
            raise ValueError(
                f"targets have shape {tuple(target.shape)} and predictions {tuple(prediction.shape)}: give an array of "
                "targets that has the shape of the predictions"
            )
        return self.regularize(ops.mse(prediction, target), record)

    def score(self, prediction: Array, target: Array) -> Array:
        """Return the mean squared error of each sample, shape (batch,)."""
        error = prediction - target
        return array_namespace(error).mean(error * error, axis=-1)

    def show(self, score: float) -> str:
        """Return four digits."""
        return f"{score:.3e}"
