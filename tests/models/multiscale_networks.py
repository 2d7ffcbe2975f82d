"""Small networks whose state has two scales, in float64, and one batch for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib import Picard, Sensitivity, Solver, ops
from equilib.arrays.trees import tree_map
from equilib.layers import Chain, Conv, Dense, Flatten, Fork, GroupNorm, Merge, Upsample, WeightNorm
from equilib.models import (
    DeepEquilibrium,
    DEQChain,
    InitialGuess,
    InjectedCell,
    LayerGuess,
    MultiScaleCell,
    OneStepGuess,
    Regularization,
    ResidualCell,
    ZeroGuess,
)
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.networks import TIGHT

VECTORS = MultiScaleCell(
    first=InjectedCell(Dense(3, 4), Dense(4, 4), Chain(ops.tanh)),
    rest=(Chain(Dense(2, 2), ops.tanh),),
    mapping=((Chain(), Dense(4, 2)), (Dense(2, 4), Chain())),
    shapes=((4,), (2,)),
    fuse=(Chain(ops.tanh), Chain(ops.gelu)),
)
IMAGES = MultiScaleCell(
    first=ResidualCell(
        InjectedCell(
            Chain(Conv(1, 2, padding="same"), GroupNorm(2, 1)), WeightNorm(Conv(2, 2, padding="same")), Chain(ops.tanh)
        ),
        Chain(lambda z: ops.multiply(ops.tanh(z), 0.4)),
    ),
    rest=(Chain(WeightNorm(Conv(3, 3, padding="same")), ops.tanh),),
    mapping=((Chain(), Conv(2, 3, stride=2, padding=1)), (Chain(Conv(3, 2, (1, 1)), Upsample(2)), None)),
    shapes=((4, 4, 2), (2, 2, 3)),
)
_rng = np.random.default_rng(6)
LABELS = np.array([1, 0])


@dataclass(frozen=True, eq=False)
class Scales:
    """A cell of two scales, with what goes around it; `name` is for test ids."""

    name: str
    cell: MultiScaleCell
    guess: Fork
    after: Merge
    scale: float
    x: np.ndarray

    def __str__(self) -> str:
        return self.name

    def model(
        self, guess: str = "deq", solver: Solver | None = None, sensitivity: Sensitivity | None = None, **settings: Any
    ) -> DEQChain:
        """Return the network with a kind of initial guess."""
        start: InitialGuess = {"deq": ZeroGuess(), "regdeq": OneStepGuess(), "skipdeq": LayerGuess(self.guess)}[guess]
        solver = NewtonGMRES() if solver is None else solver
        deq = DeepEquilibrium(self.cell, solver, start, sensitivity, TIGHT, **settings)
        return DEQChain(Chain(ops.tanh), deq, self.after)

    def params(self, guess: str = "deq") -> Any:
        """Draw parameters in float64, small enough that f is a contraction."""
        rng = np.random.default_rng(2)
        drawn = self.model(guess).init(rng)
        params = tree_map(lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape), drawn)
        params["deq"]["cell"] = tree_map(lambda leaf: self.scale * leaf, params["deq"]["cell"])
        return params


NETWORKS = (
    Scales(
        "vectors",
        VECTORS,
        Fork(Dense(3, 4), Dense(3, 2)),
        Merge(Dense(4, 3), Dense(2, 3)),
        0.6,
        _rng.standard_normal((2, 3)),
    ),
    Scales(
        "images",
        IMAGES,
        Fork(Conv(1, 2, padding="same"), Conv(1, 3, stride=2, padding=1)),
        Merge(Chain(Flatten(), Dense(32, 3)), Chain(Flatten(), Dense(12, 3))),
        0.4,
        _rng.standard_normal((2, 4, 4, 1)),
    ),
)
REGULARIZATION = Regularization(guess=0.3)


def loss_of(model: DEQChain, both: Any) -> Any:
    """Return cross-entropy + 0.3·mean |z0 − z*| at (params, x)."""
    prediction, equilibrium = model(*both)
    return REGULARIZATION(ops.cross_entropy(prediction, LABELS[: prediction.shape[0]]), equilibrium)


def converging(network: Scales, depth: int = 80) -> bool:
    """Tell whether Picard iteration converges, which some ways of differentiating need."""
    model = network.model(solver=Picard())
    residual = model.unrolled(depth)(network.params(), network.x)[1].residual
    return float(np.max(np.abs(residual))) < 1e-11
