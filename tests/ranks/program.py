"""Small trainings, each as one of several ranks: what rank 0 ends with goes into a file.

`mpiexec -n 4 python -m tests.ranks.program FILE [small|tutorial DTYPE SHARES SOLVER ...]`
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from equilib import ops
from equilib.arrays import Array, named_leaves, tree_map
from equilib.experiments.assembly import assemble
from equilib.fixed_points.options import SolveOptions
from equilib.layers import Chain, Dense, Dropout
from equilib.machine.ranks.group import ALONE, Ranks
from equilib.machine.ranks.launched import launched
from equilib.models import DeepEquilibrium, DEQChain, InjectedCell, OneStepGuess
from equilib.plugin.choosing import choose
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.request import RunRequest
from equilib.training import gradient_sum
from equilib.training.plan import Plan
from equilib.training.schedules import Constant
from equilib.training.trainer import Trainer
from equilib.training.warm_starts import EQUILIBRIA, WarmStarts
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.training.small import CLASSES, FEATURES, STATE, TRAIN, Heard, network, normal, trainer

TIGHT = {"float32": "1e-5", "float64": "1e-13"}
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


def of_solver(name: str, ranks: Ranks, dtype: str, shares: int) -> Trainer:
    """Return a training with a solver and its adjoint, with a tolerance near the rounding of the dtype."""
    method = choose(Registry.discover(), name, options={"rtol": TIGHT[dtype], "max_steps": "300"})
    deq = replace(network().deq, solver=method.solver, sensitivity=method.sensitivity, options=method.options)
    plan = Plan(epochs=1, batch_size=16, test_batch_size=7)
    subject = trainer(replace(network(), deq=deq), plan=plan, ranks=ranks, shares=shares, schedule=Constant(1e-3))
    return doubled(subject) if dtype == "float64" else subject


def of_tutorial(name: str, ranks: Ranks, dtype: str, shares: int) -> Trainer:
    """Return the training of the tutorial's network with a solver, for three batches of each phase."""
    request = RunRequest(
        experiment="mnist",
        values={"recipe": "tutorial", "limit": 100},
        solver=name,
        options={"rtol": "1e-12", "atol": "0", "max_steps": "2000"} if dtype == "float64" else {},
        dtype=dtype,
        shares=shares or None,
        pretrain_epochs=1,
        epochs=1,
    )
    context = RunContext(request=request, registry=Registry.discover(), reporter=Heard(), ranks=ranks)
    return assemble(context).trainer


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


OF_MODEL = {"small": of_solver, "tutorial": of_tutorial}
Outcomes: TypeAlias = dict[str, np.ndarray]


def outcomes(subjects: Mapping[str, Trainer]) -> Outcomes:
    """Return what all trainings end with, by name and place."""
    return {f"{name}:{place}": value for name, each in subjects.items() for place, value in outcome(each).items()}


def several_buckets() -> None:
    """Have a few leaves in a bucket, so that several are under way at a time."""
    gradient_sum.BUCKET = 64


def main() -> None:
    """Train, as one of the ranks where there are several, and write the file on rank 0."""
    path, *method = sys.argv[1:]
    ranks = ALONE
    if launched() is not None:
        from equilib_mpi.communicator import Mpi

        ranks = Ranks(Mpi().connect())
        ranks.watch()
    if method[:1] != ["tutorial"]:
        several_buckets()
    if method:
        model, dtype, shares, *solvers = method
        found = outcomes({name: OF_MODEL[model](name, ranks, dtype, int(shares)) for name in solvers})
    else:
        found = outcomes(trainings(ranks))
    if ranks.rank == 0:
        np.savez(path, **found)
    ranks.close()


if __name__ == "__main__":
    main()
