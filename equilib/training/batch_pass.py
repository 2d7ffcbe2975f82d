"""Passes of one batch, forward and backward: each rank's through its shares, and the sum over all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from equilib.arrays import Array, Tree
from equilib.autodiff import value_and_grad
from equilib.fixed_points.solution import UnsolvedWarning
from equilib.machine.ranks.division import Division
from equilib.machine.ranks.group import Ranks
from equilib.training.finite import check_finite
from equilib.training.gradient_sum import GradientSum
from equilib.training.metric import Batch
from equilib.training.optimizers import global_norm
from equilib.training.shares import Share, own_shares, settle
from equilib.training.statistics import Measured


@dataclass(frozen=True, kw_only=True)
class BatchPass:
    """Mean loss of a batch, its gradient and its norm, what every share measured, and the records of one's own.

    `own` are pairs of a record and the samples that it is of; `observed` are the parameters with the statistics of this
    batch, which then is one share, or None.
    """

    loss: float
    gradient: Tree
    norm: float
    measured: tuple[Measured, ...]
    own: list[tuple[Any, np.ndarray]]
    observed: Tree | None


def pass_batch(
    loss_of: Callable[..., Any],
    params: Tree,
    rows: np.ndarray,
    take: Callable[[Share], tuple[Array, Array]],
    *,
    rng: np.random.Generator,
    score: Callable[[Array, Array], Array],
    division: Division,
    ranks: Ranks,
    place: str,
    allow_unused: bool,
) -> BatchPass:
    """Return what a batch amounts to, the same on all ranks but for `own`, and the same for all numbers of ranks.

    `loss_of` maps params, inputs, targets and share to (weighted loss, (prediction, record, observed)), `take` a share
    of the batch `rows` to inputs and targets, shapes (samples, ...).

    Raises RunError if the loss or its gradient is not finite;
    IndependentError if the loss does not depend on some parameter, unless that is allowed.
    """
    total = GradientSum(ranks, params, division) if division.shares > 1 or ranks.size > 1 else None
    differentiate = value_and_grad(
        loss_of, has_aux=True, allow_unused=allow_unused, arrived=total.arrived if total else None
    )
    passes: list[tuple[Share, Any, float, Array, bytes | None]] = []
    gradient: Tree = None
    observed: Tree | None = None
    for share in own_shares(rows, division, ranks.rank, rng):
        x, y = take(share)
        with recorded():  # what is not finite is refused before the update
            (value, (prediction, record, observed)), gradient = differentiate(params, x, y, share)
        if total is not None:
            total.end_share(gradient)
        passes.append((share, record, float(value), score(prediction, y), share.drawn()))
    summed = gradient if total is None else total.result()
    norm = global_norm(summed)
    told = [
        (part, Measured.of(Batch(record=record, scores=scores, loss=share.mean(part), gradient_norm=norm)), drawn)
        for share, record, part, scores, drawn in passes
    ]
    parts, measured, drawn = zip(*chain.from_iterable(ranks.gather(told)), strict=True)
    loss = sum(parts)
    own = [(part, record) for _, record, part, _, _ in passes]
    check_finite(loss, norm, place=place, ranks=ranks, gradient=total.own if total else gradient, own=own)
    settle(rng, drawn)
    records = [(record, share.rows) for share, record, *_ in passes]
    return BatchPass(loss=loss, gradient=summed, norm=norm, measured=measured, own=records, observed=observed)


@contextmanager
def recorded() -> Iterator[None]:
    """Leave to the record what is not finite and what does not converge, of which else there are warnings."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsolvedWarning)
        yield
