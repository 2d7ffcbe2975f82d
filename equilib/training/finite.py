"""Refusal of a loss or a gradient that is not finite, before it reaches the parameters."""

from __future__ import annotations

import numpy as np

from equilib.adjoints.equilibrium import Record
from equilib.arrays import Tree
from equilib.errors import RunError
from equilib.machine.ranks.group import Ranks
from equilib.training.optimizers import global_norm
from equilib.training.reductions import describe_statuses


def check_finite(
    loss: float, norm: float, *, place: str, ranks: Ranks, own: tuple[float, Tree | None, Record | None]
) -> None:
    """Refuse a loss of the batch or a norm of its gradient that is not finite; all ranks have the same two.

    `own` are the loss, the gradient and the record of this rank's share, None where it has no samples.

    Raises RunError with `place`, the rank, and how its solves ended.
    """
    if np.isfinite(loss) and np.isfinite(norm):
        return
    lost = not np.isfinite(loss)
    culprits = [(rank, text) for rank, text in enumerate(ranks.gather(_evidence(*own, lost=lost))) if text]
    rank, evidence = culprits[0] if culprits else (0, "by the sum of all ranks")
    where = f" on rank {rank} of {ranks.size}" if ranks.size > 1 and culprits else ""
    what = f"the loss became {loss}" if lost else f"the gradient's norm became {norm}"
    raise RunError(f"{what} at {place}{where} ({evidence}); lower the learning rate, or try another seed or solver")


def _evidence(loss: float, gradient: Tree | None, record: Record | None, *, lost: bool) -> str:
    """Return how the solves of a share ended that is not finite; nothing for another."""
    if record is None or np.isfinite(loss if lost else global_norm(gradient)):
        return ""
    if lost:
        return f"samples: {describe_statuses(record.status)}"
    solves = describe_statuses(status for each in record.adjoints for status in each.status)
    return f"adjoint: {solves}" if solves else "no adjoint equation was solved"
