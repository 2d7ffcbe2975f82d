"""Gradients of batches, each rank with its share: what rank 0 has in the end goes into a file.

`mpiexec -n 4 python -m tests.ranks.gradients FILE small|tutorial SOLVER ...`
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import product

import numpy as np

from equilib.arrays import named_leaves
from equilib.machine.ranks.division import Division
from equilib.machine.ranks.group import ALONE, Ranks
from equilib.machine.ranks.launched import launched
from equilib.training.batch_pass import pass_batch
from equilib.training.trainer import Trainer
from tests.ranks.program import OF_MODEL, several_buckets

BATCHES = {"small": (11, 2), "tutorial": (32, 2)}
"""Batches of so many samples: one that no ranks can share evenly, and one that leaves some of them none."""

DTYPES = ("float64", "float32")

Gradients = dict[str, np.ndarray]


def batch_gradient(subject: Trainer, rows: np.ndarray, division: Division, ranks: Ranks = ALONE) -> Gradients:
    """Return the gradient of the mean loss of samples of the training data, at the parameters, by place."""
    passed = pass_batch(
        subject._loss(subject.model),
        subject.params,
        rows,
        subject._taken,
        rng=np.random.default_rng(0),
        score=subject.objective.score,
        division=division,
        ranks=ranks,
        place="here",
        allow_unused=False,
    )
    return dict(named_leaves(passed.gradient))


def gradients(model: str, solvers: Iterable[str], ranks: Ranks = ALONE) -> Gradients:
    """Return the gradients of all batches with each solver, by dtype, solver, size and place."""
    found = {}
    for dtype, solver in product(DTYPES, solvers):
        subject = OF_MODEL[model](solver, ranks, dtype, 0)
        for size in BATCHES[model]:
            division = Division(size, ranks.size, ranks.size)
            for place, leaf in batch_gradient(subject, np.arange(size), division, ranks).items():
                found[f"{dtype}:{solver}:{size}:{place}"] = leaf
    return found


def main() -> None:
    """Compute, as one of the ranks where there are several, and write the file on rank 0."""
    path, model, *solvers = sys.argv[1:]
    ranks = ALONE
    if launched() is not None:
        from equilib_mpi.communicator import Mpi

        ranks = Ranks(Mpi().connect())
        ranks.watch()
    if model == "small":
        several_buckets()
    found = gradients(model, solvers, ranks)
    if ranks.rank == 0:
        np.savez(path, **found)
    ranks.close()


if __name__ == "__main__":
    main()
