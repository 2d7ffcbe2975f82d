"""Our contestant in `benchmarks.node`."""

from __future__ import annotations

from typing import Any

import numpy as np

import equilib
from benchmarks.named_params import named, params_like
from benchmarks.node_network import initial_tree, layers
from benchmarks.our_training import Training
from benchmarks.peers.exchange import hand_back, receive
from equilib import ops
from equilib.arrays.trees import Tree
from equilib.models import Autonomous, NeuralODE
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import Evolution
from equilib.ode.solution import OdeOptions
from equilib_ode.dopri5 import Dopri5
from equilib_ode.tsit5 import Tsit5

INTEGRATORS = {"tsit5": Tsit5, "dopri5": Dopri5}
ADJOINTS: dict[str, type[Any]] = {
    "interpolating": Interpolating,
    "gauss": Gauss,
    "backsolve": Backsolve,
    "discrete": Discrete,
}


def main() -> None:
    """Train, and return the record of the epochs and the parameters."""
    folder, arrays, settings = receive()
    before, right_hand_side, after = layers()
    ode = NeuralODE(
        Autonomous(right_hand_side),
        INTEGRATORS[settings["integrator"]](),
        ADJOINTS[settings["adjoint"]](),
        OdeOptions(rtol=settings["rtol"], atol=settings["atol"]),
    )

    def model(params: Tree, x: np.ndarray) -> tuple[Any, Evolution]:
        evolution = ode.evolve(params["ode"], before(params["before"], x), ode.span)
        return after(params["after"], evolution.output), evolution

    run = Training(
        params_like(initial_tree(), arrays),
        arrays,
        settings["rate"],
        lambda epoch: ("train", model),
        lambda prediction, evolution, y: ops.cross_entropy(prediction, y),
        lambda done: (done.solution.nfe, 0, done.adjoint_nvjp),
    )
    epochs = run.epochs()
    versions = {"equilib": equilib.__version__, "numpy": np.__version__}
    hand_back(
        folder, named(run.params), {"epochs": epochs, "first_batch_seconds": run.first_batch, "versions": versions}
    )


if __name__ == "__main__":
    main()
