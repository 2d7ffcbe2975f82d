"""Running statistics in training: who moves them, and where nobody can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equilib.arrays import Tree, tree_map
from equilib.errors import UserError, said, some
from equilib.layers.observation import observes, running_statistics
from equilib.training.data import Dataset
from equilib.training.model import EquilibriumModel
from equilib.training.plan import Plan, batches


def require_observable(
    model: Any, params: Tree, data: Dataset, plan: Plan, shares: int, used: Sequence[Any] = ()
) -> None:
    """Refuse to train a model whose statistics nobody would move; nothing is asked of a model without any.

    The smallest batch passes through it once. `used` are layers that were seen to use running statistics in a call.

    Raises UserError if a layer with statistics is where it sees no batch, as in the cell of an equilibrium, if the
    model has no `observe`, if a batch has no variance, or of several shares none sees the batch.
    """
    if not observes(model):
        _refuse_used(used)
        return
    if not hasattr(model, "observe"):
        raise UserError(
            f"{type(model).__name__} holds a BatchNorm, whose statistics would stay at their start: give the model a "
            "method observe(params, x), as DEQChain has it, which returns the prediction and the record, and the "
            "parameters that equilib.layers.observing makes of them"
        )
    if shares > 1:
        raise UserError(
            f"a BatchNorm needs the statistics of a whole batch, of which each of {shares} shares sees a part: train "
            "in one process without shares, or take a GroupNorm or LayerNorm"
        )
    last = batches(data.train_inputs.shape[0], plan.batch_size)[-1]
    shallow = model.unrolled(1) if isinstance(model, EquilibriumModel) else model
    try:
        with np.errstate(all="ignore"), running_statistics() as used:
            shallow.observe(params, data.train_inputs[last, ...])  # type: ignore[union-attr]
    except ValueError as error:
        size = some(last.stop - last.start, "samples")
        raise UserError(f"training cannot use the statistics of a batch, the last of {size}: {said(error)}") from error
    _refuse_used(used)


def _refuse_used(used: Sequence[Any]) -> None:
    if used:
        raise UserError(
            f"{used[0]!r} is called by its running statistics, which would stay at their start: hold it where it is "
            "seen, in an attribute or a child, and give what holds it a method observe(params, x), as Chain has it"
        )


def with_statistics(updated: Tree, observed: Tree | None, before: Tree) -> Tree:
    """Return the updated parameters with the statistics that a batch has moved, which are no optimizer's."""
    if observed is None:
        return updated
    return tree_map(lambda new, seen, old: new if seen is old else seen, updated, observed, before)
