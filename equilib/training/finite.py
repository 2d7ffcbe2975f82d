"""Refusal of a loss or a gradient that is not finite, before it reaches the parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equilib.adjoints.equilibrium import Record
from equilib.arrays import Tree
from equilib.errors import RunError
from equilib.machine.ranks.group import Ranks
from equilib.training.optimizers import global_norm
from equilib.training.reductions import describe_statuses


def check_finite(
    loss: float,
    norm: float,
    *,
    place: str,
    ranks: Ranks,
    gradient: Tree,
    own: Sequence[tuple[float, Record]],
) -> None:
    """Refuse a loss of the batch or a norm of its gradient that is not finite; all ranks have the same two.

    `own` are the losses and records of this rank's shares, and `gradient` what theirs amount to.

    Raises RunError with `place`, the rank, and how its solves ended.
    """
    if np.isfinite(loss) and np.isfinite(norm):
        return
    lost = not np.isfinite(loss)
    evidence = ranks.gather(_evidence_of_loss(own) if lost else _evidence_of_gradient(gradient, own))
    culprits = [(rank, text) for rank, text in enumerate(evidence) if text]
    rank, text = culprits[0] if culprits else (0, "by the sum of all shares")
    where = f" on rank {rank} of {ranks.size}" if ranks.size > 1 and culprits else ""
    what = f"the loss became {loss}" if lost else f"the gradient's norm became {norm}"
    raise RunError(f"{what} at {place}{where} ({text}); lower the learning rate, or try another seed or solver")


def _evidence_of_loss(own: Sequence[tuple[float, Record]]) -> str:
    """Return how the solves of the shares ended whose loss is not finite; nothing where there are none."""
    statuses = [status for loss, record in own if not np.isfinite(loss) for status in record.status]
    return f"samples: {describe_statuses(statuses)}" if statuses else ""


def _evidence_of_gradient(gradient: Tree, own: Sequence[tuple[float, Record]]) -> str:
    """Return how the adjoint solves of shares ended whose gradient is not finite; nothing where there are none."""
    if not own or np.isfinite(global_norm(gradient)):
        return ""
    solves = describe_statuses(status for _, record in own for each in record.adjoints for status in each.status)
    return f"adjoint: {solves}" if solves else "no adjoint equation was solved"
