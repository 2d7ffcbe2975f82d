"""Networks with one equilibrium, by their parts and by the initial guess."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from equilib.arrays import Array, Tree, array_namespace
from equilib.autodiff import static_value
from equilib.experiments import equilibrium
from equilib.layers import Activation, Dense, Layer
from equilib.models import Cell, DEQChain, InitialGuess, InjectedCell, LayerGuess, OneStepGuess, ZeroGuess
from equilib.plugin.choice import Choice
from equilib.training.data import ImageFormat
from equilib.training.schedules import OneCycle

GUESSES = ("deq", "regdeq", "skipdeq")
"""What `--model` says about the initial guess: zeros, f(0, x), a layer."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The parts of a network, made for the images that are read, or for None where it is something else.

    `guess` makes the layer of `skipdeq`.
    """

    before: Callable[[Any], Layer]
    cell: Callable[[Any], Cell]
    guess: Callable[[], Layer]
    after: Callable[[Any], Layer]

    def network(self, model: str) -> Callable[..., DEQChain]:
        """Return what makes the network `model` given the method and what it reads; the name says the initial guess."""

        def make(method: Choice, images: ImageFormat | None = None) -> DEQChain:
            layer = equilibrium(self.cell(images), self._initial_guess(model), method)
            return DEQChain(self.before(images), layer, self.after(images))

        return make

    def _initial_guess(self, model: str) -> InitialGuess:
        if model.startswith("skip"):
            return LayerGuess(self.guess())
        return OneStepGuess() if model == "regdeq" else ZeroGuess()


@dataclass(frozen=True)
class SizedCell(InjectedCell):
    """after(recur(z) + inject(x)) with a state of `size` numbers, whatever the size of the injection."""

    size: int = 1

    def zeros(self, params: Tree, u: Array) -> Array:
        """Return zeros, shape (batch, size)."""
        value = static_value(u)
        shape = (value.shape[0], self.size)
        return array_namespace(value).zeros(shape, dtype=value.dtype, device=getattr(value, "device", None))


def dense(sizes: tuple[int, ...], activation: Callable[[Array], Array]) -> list[Layer]:
    """Return affine layers from size to size, each followed by the activation."""
    return [layer for pair in pairwise(sizes) for layer in (Dense(*pair), Activation(activation))]


def one_cycle(peak: float) -> Callable[[int], OneCycle]:
    """Return what makes the schedule of so many steps, its peak where recorded runs have it, a step later."""
    return lambda steps: OneCycle(peak, steps, peak_step=0.3 * steps)


def identity(x: Array) -> Array:
    """Return x."""
    return x
