"""Passes of one batch, forward and backward: each rank's through its share, and the sum over the ranks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.arrays import Array, Tree
from equilib.autodiff import value_and_grad
from equilib.fixed_points.solution import UnsolvedWarning
from equilib.machine.ranks.group import Ranks
from equilib.training.finite import check_finite
from equilib.training.gradient_sum import GradientSum
from equilib.training.metric import Batch
from equilib.training.optimizers import global_norm
from equilib.training.shares import Share
from equilib.training.statistics import Measured


@dataclass(frozen=True, kw_only=True)
class BatchPass:
    """Mean loss of a batch, its gradient and its norm, what every share measured, and one's own record, or None."""

    loss: float
    gradient: Tree
    norm: float
    measured: tuple[Measured, ...]
    record: Any  # a `Record`


def pass_batch(
    loss_of: Callable[..., Any],
    params: Tree,
    share: Share,
    take: Callable[[Share], tuple[Array, Array]],
    *,
    score: Callable[[Array, Array], Array],
    ranks: Ranks,
    place: str,
    allow_unused: bool,
) -> BatchPass:
    """Return what a batch amounts to, the same on all ranks but for the record.

    `loss_of` maps params, inputs, targets and share to (weighted loss, (prediction, record)), `take` a share to inputs
    and targets, shapes (samples, ...).

    Raises RunError if the loss or its gradient is not finite;
    IndependentError if the loss does not depend on some parameter, unless that is allowed.
    """
    total = GradientSum(ranks, params) if ranks.size > 1 else None
    part, record, gradient, scores = 0.0, None, None, None
    if share.rows.size:
        x, y = take(share)
        differentiate = value_and_grad(
            loss_of, has_aux=True, allow_unused=allow_unused, arrived=total.arrived if total else None
        )
        with recorded():  # what is not finite is refused before the update
            (value, (prediction, record)), gradient = differentiate(params, x, y, share)
        part, scores = float(value), score(prediction, y)
    summed = gradient if total is None else total.result(gradient)
    norm = global_norm(summed)
    own = None
    if record is not None:
        own = Measured.of(Batch(record=record, scores=scores, loss=share.mean(part), gradient_norm=norm))
    parts, measured, drawn = zip(*ranks.gather((part, own, share.drawn())), strict=True)
    loss = sum(parts)
    check_finite(loss, norm, place=place, ranks=ranks, own=(part, gradient, record))
    share.settle(drawn)
    shares = tuple(each for each in measured if each is not None)
    return BatchPass(loss=loss, gradient=summed, norm=norm, measured=shares, record=record)


@contextmanager
def recorded() -> Iterator[None]:
    """Leave to the record what is not finite and what does not converge, of which else there are warnings."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsolvedWarning)
        yield
