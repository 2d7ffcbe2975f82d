"""The networks that fit functions of one number."""

from __future__ import annotations

from equilib import ops
from equilib.layers import Chain, Dense, TruncatedNormal
from equilib.models import InjectedCell, Regularization
from equilib.training.objectives import Regression
from equilib.training.schedules import Cosine
from equilib_experiments.recipes.recipe import GUESSES, Architecture, Recipe, identity
from equilib_experiments.recipes.sized_cell import SizedCell

SMALL = TruncatedNormal(0.05)

# z' = ann(z + x) − z from z0 = ann(x), with two affine layers: z* = (a x + b) / (1 − a) for their product a. Where
# a ≥ 1 there is no steady state, so the weights begin small. The post keeps the rate at 0.05, at which Adam ends at
# -10 give or take 0.4; here it falls to zero.
LINEAR = Recipe(
    network=Architecture(
        before=lambda: Chain(identity),
        cell=lambda: InjectedCell(
            Chain(identity),
            Chain(identity),
            Chain(Dense(1, 2, initial_weight=TruncatedNormal(0.5)), Dense(2, 1, initial_weight=TruncatedNormal(0.5))),
        ),
        guess=lambda: Dense(1, 1),
        after=lambda: Chain(identity),
    ).network("regdeq"),
    schedule=lambda steps: Cosine(0.05, steps),
    solver="tsit5",
    method={"rtol": 1e-5, "atol": 1e-5, "max_steps": 200},
    objective=Regression(),
    batch_size=1,
    epochs=100,
)

# FastDEQ draws all weights with a deviation of 0.01. Then the biases move the kinks of the first layer out of [-1, 1]
# before the weights have grown, and the plain model stays the best straight line.
POLYNOMIAL_NETWORK = Architecture(
    before=lambda: Chain(Dense(1, 100), ops.relu),
    cell=lambda: SizedCell(_small(100, 200), _small(100, 200), Chain(ops.relu, _small(200, 100)), size=100),
    guess=lambda: Chain(_small(100, 200), ops.relu, _small(200, 100)),
    after=lambda: Dense(100, 1),
)


def _small(inputs: int, outputs: int) -> Dense:
    return Dense(inputs, outputs, initial_weight=SMALL)


def polynomial(model: str) -> Recipe:
    """Return the recipe of FastDEQ's polynomial fit; only a guess that can learn is pulled to the fixed point.

    At the source's tolerance of 1e-3 the error of the solves is what remains of the loss; a pull of more than 0.001
    keeps the equilibrium where a guess can follow, which costs accuracy. A step of the model that guesses takes half
    the evaluations of f, so it may train half as long again.
    """
    return Recipe(
        network=POLYNOMIAL_NETWORK.network(model),
        schedule=lambda steps: Cosine(1e-3, steps),
        solver="bs3",
        method={"rtol": 1e-4, "atol": 1e-6, "max_steps": 100},
        objective=Regression(Regularization(guess=0.0 if model == "deq" else 0.001)),
        batch_size=32,
        epochs=450 if model == "skipdeq" else 300,
    )


POLYNOMIAL = {model: polynomial(model) for model in GUESSES}
