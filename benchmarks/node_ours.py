"""Our contestant in `benchmarks.node`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.node_network import initial_tree, layers
from benchmarks.our_training import Training
from benchmarks.peers.exchange import hand_back, receive
from benchmarks.tutorial import named, params_like
from equilib import ops
from equilib.models import Autonomous, NeuralODE
from equilib.models.neural_ode import Evolution
from equilib.ode.sensitivity import ODE_SENSITIVITIES
from equilib.ode.solution import OdeOptions
from equilib.registry import Registry
from equilib.training.allocator import keep_big_blocks
from equilib.trees import Tree


def main() -> None:
    """Train, and return the record of the epochs and the parameters."""
    folder, arrays, settings = receive()
    keep_big_blocks()
    before, right_hand_side, after = layers()
    ode = NeuralODE(
        Autonomous(right_hand_side),
        Registry.discover().integrator(settings["integrator"]).load()(),
        ODE_SENSITIVITIES[settings["adjoint"]](),
        OdeOptions(rtol=settings["rtol"], atol=settings["atol"]),
    )

    def model(params: Tree, x: np.ndarray) -> tuple[Any, Evolution]:
        evolution = ode.evolve(params["ode"], before(params["before"], x), ode.span)
        return after(params["after"], evolution.y[-1, ...]), evolution

    run = Training(
        params_like(initial_tree(), arrays),
        arrays,
        settings["rate"],
        lambda epoch: ("train", model),
        lambda prediction, evolution, y: ops.cross_entropy(prediction, y),
        lambda done: (done.solution.nfe, 0, sum(each.nvjp for each in done.backward)),
    )
    epochs = run.epochs()
    versions = {name: version(name) for name in ("equilib", "numpy")}
    hand_back(
        folder, named(run.params), {"epochs": epochs, "first_batch_seconds": run.first_batch, "versions": versions}
    )


if __name__ == "__main__":
    main()
