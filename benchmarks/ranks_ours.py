"""Measurements that are made as one of several ranks: `mpiexec -n N python -m benchmarks.ranks_ours JSON`."""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any

import numpy as np

from equilib.arrays import tree_leaves
from equilib.experiments.assembly import assemble
from equilib.machine.process import peak_memory, prepare_process
from equilib.machine.ranks.division import Division
from equilib.machine.ranks.group import ALONE, Ranks, use_ranks
from equilib.machine.ranks.launched import launched
from equilib.machine.ranks.tree_sum import added
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.request import RunRequest
from equilib.training.reporter import Reporter

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
    registry = Registry.discover()
    context = RunContext(request=RunRequest(**asked), registry=registry, reporter=Reporter(), ranks=ranks)
    trainer = assemble(context).trainer
    seconds, waits, before = [], [], ranks.waited
    for metrics in trainer.epochs():
        seconds.append(metrics["seconds"])
        waits.append(ranks.waited - before)
        before = ranks.waited
    return {
        "seconds": seconds,
        "waited": waits,
        "batches": trainer.step / max(len(seconds), 1),
        "gradient": sum(leaf.size * leaf.dtype.itemsize for leaf in tree_leaves(trainer.params)),
        "memory": ranks.gather(peak_memory()),
    }


def main() -> None:
    """Measure what the argument asks for, and print it on rank 0."""
    asked = json.loads(sys.argv[1])
    ranks = ALONE
    if launched() is not None:
        from equilib_mpi.communicator import Mpi

        ranks = Ranks(Mpi().connect())
        use_ranks(ranks)
    prepare_process()
    found = sums(ranks, asked["sums"]) if "sums" in asked else training(ranks, asked)
    if ranks.rank == 0:
        print(json.dumps(found))
    ranks.close()


if __name__ == "__main__":
    main()
