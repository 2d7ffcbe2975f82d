"""Momentum of which only the sign counts, as an optimizer for equilib."""

from dataclasses import dataclass
from typing import Any

from equilib.arrays import array_namespace, tree_map
from equilib.options import Checked, option


@dataclass(frozen=True)
class Memory:
    """The mean of the gradients, a tree like the parameters."""

    mean: Any


@dataclass(frozen=True)
class SignMomentum(Checked):
    """θ ← θ − rate · sign(m), m ← momentum · m + (1 − momentum) · g."""

    momentum: float = option(0.9, help="keep so much of the mean of the gradients", minimum=0, exclusive_maximum=1)

    def init(self, params):
        """Return a mean of zero."""
        return Memory(mean=tree_map(lambda p: 0 * p, params))

    def update(self, params, gradient, state, rate):
        """Return parameters and mean after a step."""
        mean = tree_map(lambda m, g: self.momentum * m + (1 - self.momentum) * g, state.mean, gradient)
        new = tree_map(lambda p, m: p - float(rate) * array_namespace(m).sign(m), params, mean)
        return new, Memory(mean=mean)
