"""Our contestant in `benchmarks.stiff_node`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Arrays, hand_back, receive
from benchmarks.peers.stopwatch import seconds
from benchmarks.stiff_networks import PARAMETERS
from equilib import ops
from equilib.arrays import Array
from equilib.arrays.trees import Tree
from equilib.autodiff import stop_gradient, value_and_grad
from equilib.ode.adjoints import Discrete, Gauss, Interpolating
from equilib.ode.evolution import Evolution, evolve
from equilib.ode.solution import OdeOptions
from equilib_ode.bdf import BDF
from equilib_ode.kencarp47 import KenCarp47

INTEGRATORS = {"kencarp47": KenCarp47, "bdf": BDF}
ADJOINTS: dict[str, type[Any]] = {"discrete": Discrete, "interpolating": Interpolating, "gauss": Gauss}


def main() -> None:
    """Time every case; return solutions, gradients, counts and times."""
    folder, arrays, settings = receive()
    found: Arrays = {}
    report: dict[str, Any] = {}
    for case in settings["cases"]:
        network = {name: arrays[f"{case}/{name}"] for name in (*PARAMETERS, "rates", "leak", "y0", "t")}
        results, report[case] = measure(network, settings)
        found |= {f"{case}/{name}": each for name, each in results.items()}
    hand_back(folder, found, {"cases": report, "versions": {name: version(name) for name in ("equilib", "numpy")}})


def measure(network: Arrays, settings: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """Return solution and gradient of one case, counts, and the seconds of some repetitions."""
    params = {name: network[name] for name in PARAMETERS}

    def forward(params: Tree) -> Evolution:
        constants = network["rates"], network["leak"]
        how = {"adjoint": ADJOINTS[settings["adjoint"]](), "options": options}
        return evolve(
            field,
            network["y0"],
            network["t"],
            params,
            constants,
            integrator=INTEGRATORS[settings["integrator"]](),
            **how,
        )

    def loss(params: Tree) -> tuple[Array, Evolution]:
        evolution = forward(params)
        return ops.mean(ops.multiply(evolution.y, evolution.y)), stop_gradient(evolution)

    options = OdeOptions(rtol=settings["rtol"], atol=settings["atol"], max_steps=settings["max_steps"], per_sample=True)
    gradient_of = value_and_grad(loss, has_aux=True)
    (_, done), gradient = gradient_of(params)
    slope = field(np.zeros((1, 1)), network["y0"], params, (network["rates"], network["leak"]))
    solution = done.solution
    steps = {name: int(np.max(getattr(solution, name))) for name in ("accepted", "rejected")}
    counts = {"nfe": solution.nfe, "njvp": solution.njvp, "vjp": done.adjoint_nvjp, "compile_seconds": None}
    times = {
        "forward": seconds(lambda: forward(params), settings["repeats"]),
        "gradient": seconds(lambda: gradient_of(params), settings["repeats"]),
    }
    return {"slope": slope, "y": solution.y, **gradient}, {**steps, **counts, **times}


def field(t: Array, y: Array, params: Tree, constants: tuple[Array, Array]) -> Array:
    """Return rates · (net(y) − leak · y), of the shape of y, (batch, size)."""
    rates, leak = constants
    hidden = ops.tanh(ops.dense(y, params["weight1"], params["bias1"]))
    net = ops.dense(hidden, params["weight2"], params["bias2"])
    return ops.multiply(ops.subtract(net, ops.multiply(leak, y)), rates)


if __name__ == "__main__":
    main()
