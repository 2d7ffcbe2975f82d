"""The networks that fit functions of one number."""

from __future__ import annotations

import numpy as np

from equilib import ops
from equilib.arrays import from_host, to_host, tree_leaves
from equilib.experiments import Recipe
from equilib.layers import Chain, Dense, TruncatedNormal
from equilib.models import InjectedCell, Regularization
from equilib.training.objectives import Regression
from equilib.training.plan import Plan
from equilib.training.schedules import Cosine
from equilib.training.trainer import Trainer
from equilib_experiments.recipes.architecture import GUESSES, Architecture, SizedCell, identity

SMALL = TruncatedNormal(0.05)
BEYOND = -5.0
"""Where the line is predicted: no training point is near."""


def _predicted(trainer: Trainer, x: float) -> float:
    like = tree_leaves(trainer.params)[0]
    prediction, _ = trainer.model(trainer.params, from_host(np.asarray([[x]], np.float32), like))
    return float(to_host(prediction)[0, 0])


# z' = ann(z + x) − z from z0 = ann(x), with two affine layers: z* = (a x + b) / (1 − a) for their product a. Where
# a ≥ 1 there is no steady state, so the weights begin small. The post keeps the rate at 0.05, at which Adam ends at
# -10 give or take 0.4; here it falls to zero.
LINEAR = Recipe(
    network=Architecture(
        before=lambda _: Chain(identity),
        cell=lambda _: InjectedCell(
            Chain(identity),
            Chain(identity),
            Chain(Dense(1, 2, initial_weight=TruncatedNormal(0.5)), Dense(2, 1, initial_weight=TruncatedNormal(0.5))),
        ),
        guess=lambda: Dense(1, 1),
        after=lambda _: Chain(identity),
    ).network("regdeq"),
    schedule=lambda steps: Cosine(0.05, steps),
    solver="tsit5",
    options={"rtol": 1e-5, "atol": 1e-5, "max_steps": 200},
    objective=Regression(),
    plan=Plan(epochs=100, batch_size=1),
    title="y = 2x as an equilibrium",
    samples="points",
    conclude=lambda trainer: {f"prediction at {BEYOND:g}": _predicted(trainer, BEYOND)},
)

# FastDEQ draws all weights with a deviation of 0.01. Then the biases move the kinks of the first layer out of [-1, 1]
# before the weights have grown, and the plain model stays the best straight line.
POLYNOMIAL_NETWORK = Architecture(
    before=lambda _: Chain(Dense(1, 100), ops.relu),
    cell=lambda _: SizedCell(_small(100, 200), _small(100, 200), Chain(ops.relu, _small(200, 100)), size=100),
    guess=lambda: Chain(_small(100, 200), ops.relu, _small(200, 100)),
    after=lambda _: Dense(100, 1),
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
        options={"rtol": 1e-4, "atol": 1e-6, "max_steps": 100},
        objective=Regression(Regularization(guess=0.0 if model == "deq" else 0.001)),
        plan=Plan(epochs=450 if model == "skipdeq" else 300),
        title=f"{model} for a polynomial",
        samples="points",
        conclude=lambda trainer: {
            "evaluations of f for the test points": trainer.evaluate()["forward_nfe"],
        },
    )


POLYNOMIAL = {model: polynomial(model) for model in GUESSES}
