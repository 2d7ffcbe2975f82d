"""Our contestant in `benchmarks.scaling`: one size of the batch."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.peers.exchange import hand_back, peak_memory, receive
from benchmarks.peers.stopwatch import seconds
from benchmarks.tutorial import network, params_like
from equilib import SolveOptions, ops
from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.arrays.trees import Tree
from equilib.autodiff import stop_gradient, value_and_grad
from equilib.machine.process import prepare_process
from equilib_anderson.solver import Anderson


def main() -> None:
    """Take the step some times over, then f; return the times, the counts and the memory before."""
    folder, arrays, settings = receive()
    prepare_process()
    options = SolveOptions(rtol=0.0, atol=0.0, max_steps=settings["steps"], on_failure="record")
    model = network(Anderson(), ImplicitAdjoint(Anderson(), rtol=0.0), options)
    params = params_like(model.init(np.random.default_rng(0)), arrays)

    def loss_of(params: Tree, images: np.ndarray, labels: np.ndarray) -> tuple[Any, Any]:
        logits, done = model(params, images)
        return ops.cross_entropy(logits, labels), stop_gradient(done)

    gradient_of = value_and_grad(loss_of, has_aux=True)
    gradient_of(params, arrays["images"][:1], arrays["labels"][:1])  # kernels are compiled
    before = peak_memory()
    whole = arrays["images"], arrays["labels"]
    (_, done), _ = gradient_of(params, *whole)
    # An evaluation of w ↦ Jᵀw + g is one vjp; one more ends in the parameters.
    counts = {"nfe": done.nfe, "vjp": 1 + done.adjoint_nvjp}
    del done  # else what it holds would count for the next step
    step = seconds(lambda: gradient_of(params, *whole), settings["repeats"])
    cell, own = model.deq.cell, params["deq"]["cell"]
    u = cell.inject(own, model.before(params["before"], arrays["images"]))
    f = seconds(lambda: cell.step(own, u, u), 5 * settings["repeats"])
    versions = {name: version(name) for name in ("equilib", "numpy")}
    hand_back(folder, {}, {"step": step, "f": f, **counts, "rss_before_mb": before, "versions": versions})


if __name__ == "__main__":
    main()
