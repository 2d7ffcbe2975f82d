"""Networks with one equilibrium, by their parts and by the initial guess."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from equilib.arrays import Array
from equilib.experiments import equilibrium
from equilib.layers import Activation, Dense, Layer
from equilib.models import Cell, DEQChain, InitialGuess, LayerGuess, OneStepGuess, ZeroGuess
from equilib.plugin.choice import SolveChoice
from equilib.training.data import ImageFormat

GUESSES = ("deq", "regdeq", "skipdeq")
"""What `--model` says about the initial guess: zeros, f(0, x), a layer."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The parts of a network: `guess` makes the layer of `skipdeq`, `before` and `after` are given what is read.

    What is read are images; None where it is something else.
    """

    before: Callable[[Any], Layer]
    cell: Callable[[], Cell]
    guess: Callable[[], Layer]
    after: Callable[[Any], Layer]

    def network(self, model: str) -> Callable[..., DEQChain]:
        """Return what makes the network `model`, one of `GUESSES`, given the method and what it reads."""

        def make(method: SolveChoice, images: ImageFormat | None = None) -> DEQChain:
            layer = equilibrium(self.cell(), initial_guess(model, self.guess), method)
            return DEQChain(self.before(images), layer, self.after(images))

        return make


def initial_guess(model: str, layer: Callable[[], Layer]) -> InitialGuess:
    """Return the initial guess of `model`, one of `GUESSES`; `layer` makes that of `skipdeq`."""
    if model == "skipdeq":
        return LayerGuess(layer())
    return OneStepGuess() if model == "regdeq" else ZeroGuess()


def dense(sizes: tuple[int, ...], activation: Callable[[Array], Array]) -> list[Layer]:
    """Return affine layers from size to size, each followed by the activation."""
    return [layer for pair in pairwise(sizes) for layer in (Dense(*pair), Activation(activation))]


def identity(x: Array) -> Array:
    """Return x."""
    return x
