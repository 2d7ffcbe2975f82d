"""Our contestant in `benchmarks.cell`."""

from __future__ import annotations

from importlib.metadata import version
from time import perf_counter

import numpy as np

from benchmarks.cells import CellCase, convolve
from benchmarks.peers.exchange import Arrays, hand_back, receive
from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.machine.process import prepare_process

WEIGHTS = ("recur", "inject", "after")
SAME = ((1, 1), (1, 1))


def main() -> None:
    """Evaluate f, and the gradient of Σ zₙ² / size after `depth` times f, some times over."""
    folder, arrays, settings = receive()
    prepare_process()
    u = np.tanh(convolve(arrays["x"], arrays["inject"]))
    f = CellCase("conv", 0.0, (arrays["recur"], arrays["after"]), u).map("float32")
    seconds: dict[str, list[float]] = {"f": [], "gradient": []}
    for _ in range(settings["repeats"]):
        start = perf_counter()
        value = f(arrays["z"])
        seconds["f"].append(perf_counter() - start)

    def loss(given: Arrays) -> np.ndarray:
        state = given["z"]
        injected = ops.conv2d_block(arrays["x"], given["inject"], activation="tanh", padding=SAME)
        for _ in range(settings["depth"]):
            before = ops.conv2d_block(state, given["recur"], after=injected, activation="tanh", padding=SAME)
            state = ops.conv2d_block(before, given["after"], activation="tanh", padding=SAME)
        return ops.mean(ops.multiply(state, state))

    gradient_of = value_and_grad(loss)
    for _ in range(settings["gradients"]):
        start = perf_counter()
        _, gradient = gradient_of({name: arrays[name] for name in ("z", *WEIGHTS)})
        seconds["gradient"].append(perf_counter() - start)
    versions = {name: version(name) for name in ("equilib", "numpy")}
    hand_back(
        folder, {"f": value} | {name: gradient[name] for name in WEIGHTS}, {"seconds": seconds, "versions": versions}
    )


if __name__ == "__main__":
    main()
