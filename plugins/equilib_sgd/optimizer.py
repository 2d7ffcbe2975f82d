"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from dataclasses import dataclass

from equilib.arrays import Tree, tree_map, zeros_like
from equilib.options import Checked, OptionError, option


@dataclass(frozen=True, kw_only=True)
class SGDState:
    """The sum of the gradients, each weighted by momentum to the power of its age; a tree like the parameters."""

    velocity: Tree


@dataclass(frozen=True)
class SGD(Checked):
    """θ ← θ − rate · v with v ← momentum · v + g, or θ ← θ − rate · (g + momentum · v) with Nesterov's look ahead.

    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning", 2013, eq. 1
    to 4, with the rate outside of v, so that a schedule acts at once.

    Raises OptionError if an option is out of range, or Nesterov's look ahead has no momentum.
    """

    momentum: float = option(0.9, help="keep so much of the last step's direction", minimum=0.0, exclusive_maximum=1.0)
    nesterov: bool = option(False, help="take the gradient where the momentum leads")
    scale: float = option(1.0, help="multiply the learning rate of the recipe", exclusive_minimum=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise OptionError("SGD: option 'nesterov' looks where the momentum leads: give a momentum above 0")

    def init(self, params: Tree) -> SGDState:
        """Return a velocity of zero."""
        return SGDState(velocity=tree_map(zeros_like, params))

    def update(self, params: Tree, gradient: Tree, state: SGDState, rate: float) -> tuple[Tree, SGDState]:
        """Return the parameters and the state after one step of size `rate`.

        Raises ValueError if the structure of `gradient` is not that of `params`.
        """
        size = self.scale * float(rate)  # a NumPy scalar would turn float32 parameters into float64
        velocity = tree_map(lambda v, g: self.momentum * v + g, state.velocity, gradient)
        step = velocity
        if self.nesterov:
            step = tree_map(lambda g, v: g + self.momentum * v, gradient, velocity)
        return tree_map(lambda p, s: p - size * s, params, step), SGDState(velocity=velocity)
