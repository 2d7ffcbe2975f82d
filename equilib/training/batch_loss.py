"""The loss of a batch of training as a function of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from equilib.arrays import Array, Tree
from equilib.autodiff import stop_gradient
from equilib.layers.observation import observes
from equilib.training.model import Model
from equilib.training.objectives import Objective
from equilib.training.shares import Share
from equilib.training.warm_starts import WarmStarts


def batch_loss(model: Model, objective: Objective, warm_starts: WarmStarts) -> Callable[..., Any]:
    """Return what maps params, inputs, targets, shapes (samples, ...), and share to what `pass_batch` differentiates.

    That is (weighted loss, (prediction, record, observed)), where observed are the parameters with the statistics of
    the batch, or None for a model without any.
    """
    draws, called = getattr(model, "needs_rng", False), _called(model)

    def loss(params: Tree, x: Array, y: Array, share: Share) -> tuple[Array, Any]:
        extra = {"rng": share.rng} if draws else {}
        guesses = warm_starts.guesses(model, share.rows, share.count)
        (prediction, record), observed = called(params, x, **extra, **guesses)
        weighted = share.weigh(objective.loss(prediction, record, y))
        return weighted, (stop_gradient(prediction), record, observed)

    return loss


def _called(model: Model) -> Callable[..., tuple[Any, Tree | None]]:
    if observes(model):
        observe: Callable[..., tuple[Any, Tree]] = model.observe  # type: ignore[attr-defined]
        return observe
    return lambda params, x, **given: (model(params, x, **given), None)
