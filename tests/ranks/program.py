"""Small trainings, each as one of several ranks: what rank 0 ends with goes into a file.

`mpiexec -n 4 python -m tests.ranks.program FILE [SOLVER ...]`
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from equilib import ops
from equilib.arrays import Array, named_leaves, tree_map
from equilib.fixed_points.options import SolveOptions
from equilib.layers import Chain, Dense, Dropout
from equilib.machine.ranks.group import ALONE, Ranks
from equilib.machine.ranks.launched import launched
from equilib.models import DeepEquilibrium, DEQChain, InjectedCell, OneStepGuess
from equilib.plugin.choosing import choose
from equilib.plugin.registry import Registry
from equilib.training import gradient_sum
from equilib.training.plan import Plan
from equilib.training.schedules import Constant
from equilib.training.trainer import Trainer
from equilib.training.warm_starts import EQUILIBRIA, WarmStarts
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.training.small import CLASSES, FEATURES, STATE, TRAIN, network, normal, trainer

PLAN = Plan(pretrain_epochs=1, pretrain_depth=4, epochs=2, batch_size=16, test_batch_size=7, clip_gradient=0.5)
"""50 samples: the last batch has 2, so that of 3 and 4 ranks some have none."""


def noisy(x: Array, rng: np.random.Generator) -> Array:
    """Return inputs with noise, and scaled by one number for all."""
    return (x + 0.1 * rng.standard_normal(x.shape)) * rng.uniform(0.9, 1.1)


def noisy_single(x: Array, rng: np.random.Generator) -> Array:
    """Return the same in float32."""
    return noisy(x, rng).astype(np.float32)


def dropping(options: SolveOptions) -> DEQChain:
    """Return a network that draws a mask for each sample, and the Jacobian's norm."""
    recur = Chain(Dense(STATE, STATE, initial_weight=normal(0.2)), Dropout(0.2, (STATE,)))
    cell = InjectedCell(Dense(STATE, STATE), recur, Chain(ops.tanh))
    solver = network().deq.solver
    deq = DeepEquilibrium(cell, solver, OneStepGuess(), options=options, jacobian_loss=True)
    return DEQChain(Dense(FEATURES, STATE), deq, Dense(STATE, CLASSES))


def doubled(subject: Trainer) -> Trainer:
    """Return a trainer in float64."""
    data = subject.data
    subject.params = tree_map(lambda leaf: leaf.astype(np.float64), subject.params)
    subject.data = replace(
        data, train_inputs=data.train_inputs.astype(np.float64), test_inputs=data.test_inputs.astype(np.float64)
    )
    subject.__post_init__()
    return subject


def trainings(ranks: Ranks) -> dict[str, Trainer]:
    """Return the trainings that are compared, by name."""
    exact = SolveOptions(rtol=1e-13, on_failure="record")
    coupled = NewtonGMRES(linear_solver=LibraryGMRES())
    small = {"plan": PLAN, "ranks": ranks}
    found = {
        "single": trainer(**small),
        "double": doubled(trainer(network(options=exact), transform=noisy, **small)),
        "dropout": doubled(trainer(dropping(exact), **small)),
        "warm": doubled(trainer(network(options=exact), **small)),
        "five shares": trainer(dropping(SolveOptions(rtol=1e-3)), transform=noisy_single, shares=5, **small),
        "coupled shares": trainer(network(solver=coupled), shares=4, **small),
    }
    for name in ("warm", "coupled shares"):
        found[name].warm_starts = WarmStarts(EQUILIBRIA, TRAIN)
    return found


def of_solver(name: str, ranks: Ranks) -> Trainer:
    """Return a training with a solver and its adjoint, in float64 with a tolerance near its rounding."""
    method = choose(Registry.discover(), name, options={"rtol": "1e-13", "max_steps": "300"})
    deq = replace(network().deq, solver=method.solver, sensitivity=method.sensitivity, options=method.options)
    plan = Plan(epochs=2, batch_size=16, test_batch_size=7)
    return doubled(trainer(replace(network(), deq=deq), plan=plan, ranks=ranks, schedule=Constant(1e-3)))


def outcome(subject: Trainer) -> dict[str, np.ndarray]:
    """Return the parameters at the end, and the metrics that are numbers."""
    *_, metrics = subject.epochs()
    names = ("loss", "train_accuracy", "test_accuracy", "forward_nfe", "gradient_norm")
    numbers = {name: metrics[name] for name in names}
    counts = {"converged": metrics["status"].get("converged", 0), **metrics["test"]["status"]}
    state = subject.rng.bit_generator.state["state"]["state"] % 2**52
    return {
        **dict(named_leaves(subject.params)),
        **{f"metrics/{name}": np.asarray(value) for name, value in {**numbers, **counts, "random": state}.items()},
    }


def outcomes(ranks: Ranks, solvers: list[str]) -> dict[str, np.ndarray]:
    """Return what all trainings end with, or those with the solvers, by name and place."""
    subjects = {name: of_solver(name, ranks) for name in solvers} or trainings(ranks)
    return {f"{name}:{place}": value for name, each in subjects.items() for place, value in outcome(each).items()}


gradient_sum.BUCKET = 64  # a few leaves, so that several buckets are under way at a time


def main() -> None:
    """Train, as one of the ranks where there are several, and write the file on rank 0."""
    path, *solvers = sys.argv[1:]
    ranks = ALONE
    if launched() is not None:
        from equilib_mpi.communicator import Mpi

        ranks = Ranks(Mpi().connect())
    found = outcomes(ranks, solvers)
    if ranks.rank == 0:
        np.savez(path, **found)
    ranks.close()


if __name__ == "__main__":
    main()
