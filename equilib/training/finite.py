"""Training stops where its numbers do."""

from __future__ import annotations

import numpy as np

from equilib.errors import RunError
from equilib.models.record import Record
from equilib.training.optimizers import global_norm
from equilib.training.statistics import describe_statuses
from equilib.trees import Tree


def refuse_nonfinite(loss: float, gradient: Tree, record: Record, place: str) -> None:
    """Refuse a loss or a gradient that is not finite before it reaches the parameters.

    Raises
    ------
    RunError
        With `place`, and how the solves of the batch ended.
    """
    remedy = "lower the learning rate, or try another seed or solver"
    if not np.isfinite(loss):
        solves = describe_statuses(record.status)
        raise RunError(f"the loss became {loss} at {place} (samples: {solves}); {remedy}")
    norm = global_norm(gradient)
    if not np.isfinite(norm):
        solves = describe_statuses(status for work in record.backward_work() for status in work.status)
        evidence = f"adjoint: {solves}" if solves else "no adjoint equation was solved"
        raise RunError(f"the gradient's norm became {norm} at {place} ({evidence}); {remedy}")
