"""The contract of an integrator of y' = f(t, y), and the records that pass between it and the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from equilib.arrays import Array
from equilib.fixed_points.linearization import Linearization
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.step_control import Controller


class Memory(NamedTuple):
    """What a method keeps from step to step: arrays of the shape of y, and anything on the host.

    The `cache` saves work, a Jacobian for example, and is no part of the method: steps are repeated without it.
    """

    arrays: tuple[Array, ...] = ()
    host: Any = None
    cache: Any = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A step that may be accepted or not.

    `y`, shape (batch, ...), is the solution after it, and `error`, shape (lanes,), the norm of its error, relative to
    the tolerance: at most 1 is acceptable. The controller reckons with `order`, a number or one for each lane. `stages`
    are derivatives and differences that `advance` and `interpolant` use; `memory` is what the method would keep if the
    step were accepted. A method that chooses its step sizes itself says by which `factor`, shape (lanes,), the next
    is longer; else the controller does.
    """

    y: Array = field(repr=False)
    error: np.ndarray
    order: int | np.ndarray
    stages: tuple[Array, ...] = field(default=(), repr=False)
    memory: Memory = field(default=Memory(), repr=False)
    factor: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that was attempted: where it began, where it ended, and which lanes accepted it."""

    start: FlowPoint
    end: FlowPoint
    h: np.ndarray
    accepted: np.ndarray
    attempt: Attempt
    memory: Memory


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What else is to be known of a method than how it steps.

    Where stability bounds the steps, on the way to a steady state, they are of the `steady_controller`, if there is
    one, else of the integrator's. A method that `solves_slopes` leaves a derivative that is near f at the point. To one
    of `one_step` memory is a cache at most: what it does depends on the point and the step size, not on earlier steps
    and how smooth they were, so an adjoint may leave the integrals for the parameters out of the error norm.
    """

    steady_controller: Controller | None = None
    solves_slopes: bool = False
    one_step: bool = False


class Integrator(Protocol):
    """**Protocol:** one explicit method for y' = f(t, y).

    1. Be a frozen dataclass; its fields are its options, which the command line lists, parses and validates.
    2. Evaluate f only through `flow(t, y)`, choose lanes only by `flow.select`, and otherwise add arrays and multiply
       them by `flow.coefficient(...)` or numbers: a step can then be differentiated, and runs on every array library.
    3. Compute the error's norm only by `flow.error_norm(error, start, y)`.
    4. Lanes where h is zero rest; what is computed there is thrown away.
    5. A rejected step leaves no trace: lanes that are not accepted keep their point, and their memory as far as it
       describes the solution.
    6. Keep nothing on `self`, and write into no array that is given. `integrate` owns the loop, the step size and the
       output.
    """

    @property
    def order(self) -> int:
        """Order of accuracy."""

    @property
    def controller(self) -> Controller:
        """How step sizes follow from errors."""

    @property
    def traits(self) -> Traits:
        """What else is to be known of it."""

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Return the memory before the first step."""

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step of size h, shape (lanes,)."""

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Return point and memory after the attempt; `t`, shape (lanes,), are the times that the lanes have then."""

    def interpolant(self, flow: Flow, step: Step) -> list[Array]:
        """Return Q₁, Q₂, ..., of the shape of y, of y(t + θh) = y + θ Q₁ + θ² Q₂ + ... where the step was accepted."""


@runtime_checkable
class FixedStepIntegrator(Integrator, Protocol):
    """**Protocol:** an integrator whose steps are given in number: `integrate` begins with the interval / `steps`.

    Its controller keeps the step size, and its error is 0, or nan where y is not finite.
    """

    @property
    def steps(self) -> int:
        """Number of equal steps from the first to the last time."""


Linearize: TypeAlias = Callable[[np.ndarray, Array], tuple[Linearization, Callable[[Array], Array]]]
"""Maps a time, shape (lanes,), and y to f linearized there, and to the map w ↦ (∂f/∂y)ᵀ w to go back through f by."""


class StepCotangents(NamedTuple):
    """Cotangents of what comes of an accepted step from t to t + h: of y(t + h), of y'(t + h), of y inside the step.

    `dy` is None where nothing uses it; `inside` holds pairs of θ, shape (lanes,), and the cotangent of y(t + θh).
    """

    y: Array
    dy: Array | None
    inside: list[tuple[np.ndarray, Array]]


@runtime_checkable
class StagedIntegrator(Integrator, Protocol):
    """**Protocol:** an integrator whose memory is a cache at most, that goes back through its steps itself.

    The steps of others are traced, which costs several times as much beside the evaluations of f.
    """

    def pull_step(
        self, flow: Flow, linearize: Linearize, start: FlowPoint, h: np.ndarray, bars: StepCotangents
    ) -> tuple[Array, Array]:
        """Return the cotangents of y(t) and y'(t), of the shape of y; h has shape (lanes,)."""


def hermite(flow: Flow, step: Step) -> list[Array]:
    """Return the cubic through both ends with their derivatives, in the shapes of `Integrator.interpolant`."""
    h = flow.coefficient(step.h)
    rise = step.end.y - step.start.y
    first, last = step.start.dy * h, step.end.dy * h
    return [first, rise * 3.0 - first * 2.0 - last, first + last - rise * 2.0]
