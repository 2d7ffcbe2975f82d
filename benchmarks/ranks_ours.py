"""Measurements that are made as one of several ranks: `mpiexec -n N python -m benchmarks.ranks_ours JSON`."""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any

import numpy as np

from equilib import ops
from equilib.arrays import tree_leaves
from equilib.experiments.assembly import assemble
from equilib.fixed_points.options import SolveOptions
from equilib.layers import Chain, Dense
from equilib.machine.process import peak_memory, prepare_process
from equilib.machine.ranks.division import Division
from equilib.machine.ranks.group import ALONE, Ranks, use_ranks
from equilib.machine.ranks.launched import launched
from equilib.machine.ranks.tree_sum import added
from equilib.models import DeepEquilibrium, DEQChain, InjectedCell
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.request import RunRequest
from equilib.training.data import Dataset
from equilib.training.objectives import Classification
from equilib.training.plan import Plan
from equilib.training.reporter import Reporter
from equilib.training.trainer import Trainer
from equilib_anderson.solver import Anderson

BEGAN = perf_counter()
REPEATS = 15


def sums(ranks: Ranks, sizes: list[int]) -> dict[str, Any]:
    """Return the median time of a sum of float32 arrays of so many bytes, and that of a small message of all to all."""
    found, division = [], Division(ranks.size, ranks.size, ranks.size)
    for size in sizes:
        values, times = np.ones((1, size // 4), np.float32), []
        for _ in range(REPEATS):
            ranks.gather(None)
            start = perf_counter()
            ranks.finish(ranks.start_reduce(values, lambda rows: added(rows, division)))
            times.append(perf_counter() - start)
        found.append(float(np.median(times)))
    times = []
    for _ in range(10 * REPEATS):
        start = perf_counter()
        ranks.gather({"loss": 1.0, "values": list(range(20))})
        times.append(perf_counter() - start)
    return {"sums": found, "gather": float(np.median(times))}


def training(ranks: Ranks, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of each epoch, those of waits, batches, the gradient's bytes, and the memory of each rank."""
    if "large" in asked:
        trainer = large(ranks, asked["large"], asked["samples"])
    else:
        context = RunContext(
            request=RunRequest(**asked), registry=Registry.discover(), reporter=Reporter(), ranks=ranks
        )
        trainer = assemble(context).trainer
    seconds, tests, waits, before = [], [], [], ranks.waited
    for metrics in trainer.epochs():
        seconds.append(metrics["seconds"])
        tests.append(metrics["test_seconds"])
        waits.append(ranks.waited - before)
        before = ranks.waited
    return {
        "seconds": seconds,
        "tests": tests,
        "waited": waits,
        "whole": perf_counter() - BEGAN,
        "batch": trainer.plan.batch_size,
        "batches": trainer.step / max(len(seconds), 1),
        "gradient": sum(leaf.size * leaf.dtype.itemsize for leaf in tree_leaves(trainer.params)),
        "memory": ranks.gather(peak_memory()),
    }


def large(ranks: Ranks, size: int, samples: int) -> Trainer:
    """Return the training of an equilibrium of two dense layers of so many units, 2 size² weights, on two batches."""

    def weight(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.standard_normal(shape, np.float32) / np.float32(2 * size**0.5)

    rng = np.random.default_rng(0)
    inject, recur = (Dense(size, size, initial_weight=weight) for _ in range(2))
    deq = DeepEquilibrium(
        InjectedCell(inject, recur, Chain(ops.tanh)), Anderson(), options=SolveOptions(rtol=1e-3, on_failure="record")
    )
    model = DEQChain(Dense(64, size), deq, Dense(size, 10))
    x, y, train = rng.standard_normal((3 * samples, 64), np.float32), rng.integers(0, 10, 3 * samples), 2 * samples
    return Trainer(
        model=model,
        params=model.init(rng),
        data=Dataset(train_inputs=x[:train], train_targets=y[:train], test_inputs=x[train:], test_targets=y[train:]),
        objective=Classification(),
        plan=Plan(epochs=2, batch_size=samples, test_batch_size=samples),
        rng=rng,
        ranks=ranks,
    )


def main() -> None:
    """Measure what the argument asks for, and print it on rank 0."""
    asked = json.loads(sys.argv[1])
    ranks = ALONE
    if launched() is not None:
        from equilib_mpi.communicator import Mpi

        ranks = Ranks(Mpi().connect())
        use_ranks(ranks)
        ranks.watch()
    prepare_process()
    found = sums(ranks, asked["sums"]) if "sums" in asked else training(ranks, asked)
    if ranks.rank == 0:
        print(json.dumps(found))
    ranks.close()


if __name__ == "__main__":
    main()
