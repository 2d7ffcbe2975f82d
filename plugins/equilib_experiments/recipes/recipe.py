"""What a recipe is, and what recipes are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from equilib.arrays import Array
from equilib.errors import UserError
from equilib.layers import Activation, Dense
from equilib.layers.protocol import Layer
from equilib.models import Cell, DeepEquilibrium, DEQChain, InitialGuess, LayerGuess, OneStepGuess, ZeroGuess
from equilib.plugin.choice import Method
from equilib.training.objectives import Classification, Objective
from equilib.training.optimizers import Adam, Optimizer
from equilib.training.plan import Plan
from equilib.training.schedules import Schedule

GUESSES = ("deq", "regdeq", "skipdeq")
"""What `--model` says about the initial guess: zeros, f(0, x), a layer."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is made and trained.

    Attributes
    ----------
    network : callable
        Makes the network, given the method.
    schedule : callable
        Makes the schedule, given the number of steps.
    solver : str
        The solver, or the integrator, unless the user names another.
    method : mapping
        Preferred options of the solver and its driver.
    images : int or None
        Images taken from the start of the training set, `train_share` of them to train, the others to test; None takes
        all, and the official test set.
    transform : callable, optional
        Changes the inputs of a batch at random, for training.
    with_all : mapping
        What differs where all images are used.
    """

    network: Callable[[Any], Any]
    schedule: Callable[[int], Schedule]
    solver: str = "newton-gmres"
    method: Mapping[str, object] = field(default_factory=dict)
    objective: Objective = field(default_factory=Classification)
    optimizer: Optimizer = field(default_factory=Adam)
    images: int | None = 2500
    train_share: float = 0.8
    batch_size: int = 32
    pretrain_epochs: int = 0
    pretrain_depth: int = 5
    epochs: int = 3
    transform: Callable[[Array, np.random.Generator], Array] | None = None
    with_all: Mapping[str, Any] = field(default_factory=dict)

    def plan(
        self, *, epochs: int | None = None, batch_size: int | None = None, pretrain_epochs: int | None = None
    ) -> Plan:
        """Return how long to train; what is None is as the recipe says."""
        return Plan(
            pretrain_epochs=self.pretrain_epochs if pretrain_epochs is None else pretrain_epochs,
            pretrain_depth=self.pretrain_depth,
            epochs=self.epochs if epochs is None else epochs,
            batch_size=batch_size or self.batch_size,
        )


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The parts of a network with one equilibrium; `guess` makes the layer that guesses in `skipdeq`."""

    before: Callable[[], Layer]
    cell: Callable[[], Cell]
    guess: Callable[[], Layer]
    after: Callable[[], Layer]

    def network(self, model: str) -> Callable[[Method], DEQChain]:
        """Return what makes the network `model`, one of `GUESSES`, given the method."""
        guesses: dict[str, Callable[[], InitialGuess]] = {
            "deq": ZeroGuess,
            "regdeq": OneStepGuess,
            "skipdeq": lambda: LayerGuess(self.guess()),
        }
        return lambda method: DEQChain(self.before(), equilibrium(self.cell(), guesses[model](), method), self.after())


def equilibrium(cell: Cell, guess: InitialGuess, method: Method) -> DeepEquilibrium:
    """Return the equilibrium layer of a method."""
    return DeepEquilibrium(
        cell, method.solver, guess, method.sensitivity, options=method.options, fallback=method.fallback
    )


def choose(recipes: Mapping[str, Mapping[str, Recipe]], recipe: str, model: str) -> Recipe:
    """Return the recipe of that name for that model.

    Raises
    ------
    UserError
        If it has none for it.
    """
    if model not in recipes[recipe]:
        others = [name for name, models in recipes.items() if model in models]
        raise UserError(
            f"--recipe {recipe} is for --model {', '.join(recipes[recipe])}; "
            f"for --model {model} there is --recipe {', '.join(others)}"
        )
    return recipes[recipe][model]


def dense(sizes: tuple[int, ...], activation: Callable[[Array], Array]) -> list[Layer]:
    """Return affine layers from size to size, each followed by the activation."""
    return [layer for pair in pairwise(sizes) for layer in (Dense(*pair), Activation(activation))]


def identity(x: Array) -> Array:
    """Return x."""
    return x
