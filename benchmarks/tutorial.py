"""The network and the data of the MNIST tutorial, as named arrays for all contestants and as a model of ours."""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.cells import CellCase, convolve
from benchmarks.named_params import named, params_like
from benchmarks.peers.exchange import Arrays
from equilib import SolveOptions, ops
from equilib.adjoints.sensitivity import Sensitivity
from equilib.fixed_points.picard import Picard
from equilib.fixed_points.solver import Solver
from equilib.layers import Chain, Conv, Dense, GlobalMeanPool, GroupNorm, TruncatedNormal
from equilib.models import DeepEquilibrium, DEQChain, InjectedCell, OneStepGuess
from equilib_experiments.data.mnist import Mnist

BATCH, CHANNELS, CLASSES = 32, 64, 10
CHECKED = 100
"""Test images whose equilibria are checked."""


def network(solver: Solver, sensitivity: Sensitivity | None = None, options: SolveOptions | None = None) -> DEQChain:
    """Return the tutorial's network."""

    def same() -> Chain:
        weight = TruncatedNormal(0.01)
        return Chain(Conv(CHANNELS, CHANNELS, padding="same", bias=False, initial_weight=weight), ops.tanh)

    return DEQChain(
        Chain(Conv(1, CHANNELS), ops.gelu, GroupNorm(CHANNELS, CHANNELS), Conv(CHANNELS, CHANNELS, (4, 4), 2, 1)),
        DeepEquilibrium(
            InjectedCell(same(), same(), same()), solver, OneStepGuess(), sensitivity, options=options or SolveOptions()
        ),
        Chain(GroupNorm(CHANNELS, CHANNELS), ops.relu, GlobalMeanPool(), Dense(CHANNELS, CLASSES)),
    )


def initial_params() -> Arrays:
    """Return the initial parameters by their names, as in "params/deq/cell/recur/0/weight"."""
    return named(network(Picard()).init(np.random.default_rng(0)))


def tutorial_arrays(images: int, epochs: int, *, batch: int = BATCH, share: float = 0.8) -> Arrays:
    """Return the first training images as float32 of shape (n, 28, 28, 1), their labels, and the batches' order.

    `order` has shape (epochs, batches, batch).
    """
    mnist = Mnist().load(None, lambda line: print(line, file=sys.stderr))
    pixels = (mnist.train_images[:images].astype(np.float32) / 255)[..., None]
    labels = mnist.train_labels[:images].astype(np.int64)
    cut = round(share * len(pixels))
    rng = np.random.default_rng(1)
    whole = cut // batch * batch
    order = np.stack([rng.permutation(cut)[:whole].reshape(-1, batch) for _ in range(epochs)])
    return {
        "train_images": pixels[:cut],
        "train_labels": labels[:cut],
        "test_images": pixels[cut:],
        "test_labels": labels[cut:],
        "order": order,
    }


def equilibrium_residuals(found: Arrays, data: Arrays) -> np.ndarray:
    """Return ‖f(z) − z‖ / ‖z‖ of a trained model's equilibria for the first test images, in float64."""
    exact = {name: array.astype(np.float64) for name, array in found.items()}
    model = network(Picard())
    like = model.init(np.random.default_rng(0))
    params = params_like(like, exact)
    x = model.before(params["before"], data["test_images"][: len(found["z"])].astype(np.float64))
    cell = [exact[f"params/deq/cell/{part}/0/weight"] for part in ("inject", "recur", "after")]
    case = CellCase("conv", 0.0, (cell[1], cell[2]), np.tanh(convolve(x, cell[0])))
    size = np.linalg.norm(exact["z"].reshape(len(exact["z"]), -1), axis=1)
    residuals: np.ndarray = case.residual_norms(exact["z"]) / size
    return residuals
