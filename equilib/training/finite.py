"""Refusal of a loss or a gradient that is not finite, before it reaches the parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from equilib.adjoints.equilibrium import Record
from equilib.arrays import Tree, take_rows, to_host
from equilib.errors import RunError, some
from equilib.machine.ranks.group import Ranks
from equilib.training.data import Dataset
from equilib.training.optimizers import global_norm
from equilib.training.reductions import describe_statuses


class NonfiniteError(RunError):
    """A loss or a gradient that is not finite; `what` says which, and where."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; lower the learning rate, or try another seed or solver")
        self.what = what


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

    Raises NonfiniteError with `place`, the rank, and how its solves ended.
    """
    if np.isfinite(loss) and np.isfinite(norm):
        return
    lost = not np.isfinite(loss)
    evidence = ranks.gather(_evidence_of_loss(own) if lost else _evidence_of_gradient(gradient, own))
    culprits = [(rank, text) for rank, text in enumerate(evidence) if text]
    rank, text = culprits[0] if culprits else (0, "by the sum of all shares")
    where = f" on rank {rank} of {ranks.size}" if ranks.size > 1 and culprits else ""
    what = f"the loss became {loss}" if lost else f"the gradient's norm became {norm}"
    raise NonfiniteError(f"{what} at {place}{where} ({text})")


@contextmanager
def blaming(data: Dataset, rows: np.ndarray) -> Iterator[None]:
    """Blame what is not finite on the training data, where numbers of the samples `rows` are not; raises RunError."""
    try:
        yield
    except NonfiniteError as error:
        for name in ("train_inputs", "train_targets"):
            values = to_host(take_rows(getattr(data, name), rows))
            odd = rows[~np.isfinite(values).reshape(len(rows), -1).all(axis=1)]
            if odd.size:
                raise RunError(
                    f"{error.what}: {name} hold nan or inf in {odd.size} of its {some(len(rows), 'samples')}, first at "
                    f"row {odd.min()}; leave such samples out, or fill in what they lack"
                ) from error
        raise


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
