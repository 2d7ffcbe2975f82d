"""Optimizers that break one law each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from equilib.arrays import array_namespace, tree_map, zeros_like
from tests.broken.fault import Fault, laws

Tree = Any


@dataclass(frozen=True)
class Velocity:
    """The sum of the gradients, each weighted by its age."""

    velocity: Tree


@dataclass(frozen=True)
class Sound:
    """Gradient descent with momentum, to be broken."""

    def init(self, params: Tree) -> Any:
        """Return a velocity of zero."""
        return Velocity(tree_map(zeros_like, params))

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Return the parameters and the state after one step."""
        size = float(rate)
        velocity = tree_map(lambda v, g: 0.5 * v + g, state.velocity, gradient)
        return tree_map(lambda p, v: p - size * v, params, velocity), Velocity(velocity)


@dataclass
class NotFrozen:
    """A dataclass, but not a frozen one."""

    init = Sound.init
    update = Sound.update


@dataclass(frozen=True)
class HoldingALambda(Sound):
    """A function made inside another, on the optimizer."""

    schedule: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", lambda step: 1.0)


@dataclass(frozen=True)
class Ascending(Sound):
    """The sign of the gradient."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Go uphill."""
        return super().update(params, gradient, state, -rate)


@dataclass(frozen=True)
class Diverging(Sound):
    """A velocity that is never damped, and a step that grows with it."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Return the parameters after a step along 1.1 times the last, and the gradient."""
        velocity = tree_map(lambda v, g: 1.1 * v + g, state.velocity, gradient)
        return tree_map(lambda p, v: p - float(rate) * v, params, velocity), Velocity(velocity)


@dataclass(frozen=True)
class FixedRate(Sound):
    """A rate of its own."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Take a step of 0.02."""
        return super().update(params, gradient, state, 0.02)


@dataclass(frozen=True)
class Decaying(Sound):
    """A decay of the parameters that no rate governs."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Take a step, and shrink all by a hundredth of a per cent."""
        params, state = super().update(params, gradient, state, rate)
        return tree_map(lambda p: 0.9999 * p, params), state


@dataclass(frozen=True)
class WideningByTheRate(Sound):
    """A rate that is a number of NumPy's, which widens what it is multiplied by."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Return the parameters and the state after one step."""
        velocity = tree_map(lambda v, g: 0.5 * v + g, state.velocity, gradient)
        return tree_map(lambda p, v: p - rate * v, params, velocity), Velocity(velocity)


@dataclass(frozen=True)
class WideState(Sound):
    """Moments in float64."""

    def init(self, params: Tree) -> Any:
        """Return zeros of double precision."""
        return Velocity(tree_map(lambda p: array_namespace(p).zeros(p.shape), params))

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Return the parameters in their own precision."""
        new, state = super().update(params, gradient, state, rate)
        return tree_map(lambda n, p: array_namespace(p).astype(n, p.dtype), new, params), state


@dataclass(frozen=True)
class StateOfAFunction(Sound):
    """A state that no checkpoint can hold."""

    def init(self, params: Tree) -> Any:
        """Return a function of the gradient."""
        return Step(lambda gradient: gradient)

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Return the parameters after a step along the gradient."""
        return tree_map(lambda p, g: p - float(rate) * g, params, state.step(gradient)), state


@dataclass(frozen=True)
class Step:
    """A function."""

    step: Callable[[Tree], Tree]


@dataclass(frozen=True)
class LooseState(Sound):
    """A state that is no dataclass."""

    def init(self, params: Tree) -> Any:
        """Return a velocity of zero."""
        return SimpleNamespace(velocity=tree_map(zeros_like, params))

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Return the parameters and the state after one step."""
        params, state = super().update(params, gradient, state, rate)
        return params, SimpleNamespace(velocity=state.velocity)


@dataclass(frozen=True)
class CountingItself(Sound):
    """A number of steps that is kept on the optimizer, and lost when a run is resumed."""

    steps: list[int] = field(default_factory=list, repr=False, compare=False)

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Take shorter and shorter steps."""
        self.steps.append(1)
        return super().update(params, gradient, state, rate / len(self.steps) ** 0.5)


@dataclass(frozen=True)
class OverTheGradient(Sound):
    """A gradient that is clipped where it is."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Clip, and take a step."""
        tree_map(lambda g: g.clip(-1, 1, out=g) if type(g) is np.ndarray else g, gradient)
        return super().update(params, gradient, state, rate)


@dataclass(frozen=True)
class OverTheState(Sound):
    """A velocity that is added to where it is."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Take a step."""
        params, new = super().update(params, gradient, state, rate)

        def add(v: Any, g: Any) -> Any:
            v[...] = g
            return v

        return params, Velocity(tree_map(add, state.velocity, new.velocity))


@dataclass(frozen=True)
class Dithering(Sound):
    """A rate with noise of NumPy's global generator."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Draw a number for nothing."""
        np.random.random()  # noqa: NPY002
        return super().update(params, gradient, state, rate)


@dataclass(frozen=True)
class NumPyOnly(Sound):
    """NumPy's functions on whatever comes."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Call one of them."""
        return super().update(params, tree_map(lambda g: np.multiply(g, 1.0), gradient), state, rate)


DOWNHILL = "goes_downhill"
RATE = "heeds_the_rate"
DTYPES = "keeps_shapes_and_dtypes"
RESUMED = "goes_on_from_a_checkpoint"
ITSELF = "keeps_nothing_on_itself"

FAULTS = (
    Fault(NotFrozen(), "declares_its_options"),
    Fault(HoldingALambda(), "goes_to_other_processes"),
    Fault(Ascending(), DOWNHILL),
    Fault(Diverging(), DOWNHILL),
    Fault(FixedRate(), RATE),
    Fault(Decaying(), RATE),
    Fault(WideningByTheRate(), DTYPES),
    Fault(WideState(), DTYPES),
    Fault(StateOfAFunction(), RESUMED),
    Fault(LooseState(), RESUMED, laws(DTYPES, ITSELF)),
    Fault(CountingItself(), RESUMED, laws(ITSELF)),
    Fault(OverTheGradient(), ITSELF),
    Fault(OverTheState(), ITSELF),
    Fault(Dithering(), ITSELF),
    Fault(NumPyOnly(), "runs_on_other_arrays"),
)
"""Each with the law that names its fault; what else it fails is in `also`."""
