"""Neural ordinary differential equations: y' = f(t, y; θ), and cells followed for a finite time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from equilib import ops
from equilib.adjoints.sensitivity import Sensitivity
from equilib.arrays import Array, Tree, coefficients, is_array, tree_map
from equilib.autodiff import static_value
from equilib.fixed_points.arguments import check_samples
from equilib.fixed_points.boundary import is_traced, read_only
from equilib.fixed_points.solution import check_success
from equilib.layers.composite import Composite
from equilib.layers.pass_constants import prepare, with_draws
from equilib.layers.protocol import Layer
from equilib.models.cell import Cell
from equilib.models.fitting_state import check_fitting
from equilib.models.initial_guess import InitialGuess, ZeroGuess
from equilib.models.random_cell import for_pass, joins
from equilib.models.sick_samples import sick_samples, with_others
from equilib.ode.adjoints import Interpolating
from equilib.ode.evolution import Evolution, evolve
from equilib.ode.library import AnyIntegrator
from equilib.ode.solution import IntegrationError, IntegrationWarning, OdeOptions, OdeSolution, OdeStatus
from equilib.ode.times import Times, checked_span, checked_stops
from equilib.options import Checked
from equilib.options.kinds import check_kind, check_params, check_type, described
from equilib.options.named import ODE, resolved


class VectorField(Protocol):
    """**Protocol:** f(t, y), a layer that also sees the time; t is an array that broadcasts against y."""

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters."""

    def __call__(self, params: Tree, t: Array, y: Array) -> Array:
        """Return f(t, y), of the shape and dtype of y."""


@dataclass(frozen=True)
class Autonomous(Composite):
    """A layer as a vector field that does not depend on time."""

    layer: Layer

    def __post_init__(self) -> None:
        check_kind(self.layer, "layer", "layer")

    def children(self) -> Layer:
        """Return the layer."""
        return self.layer

    def __call__(self, params: Tree, t: Array, y: Array) -> Array:
        """Return layer(y), of the shape of y."""
        return self.layer(params, y)


def _marked(found: Evolution, sick: np.ndarray) -> Evolution:
    """Return the record with nan, and the status of that, for the samples `sick`, bool of shape (batch,)."""
    like = static_value(found.y)
    nan = np.where(sick, np.nan, 0.0).reshape((1, -1) + (1,) * (like.ndim - 2))
    status = tuple(OdeStatus.NONFINITE if each else its for each, its in zip(sick, found.solution.status, strict=True))
    y = ops.add(found.y, coefficients(nan, like))
    solution = replace(found.solution, y=static_value(y), status=status)
    check_success(solution, solution.options.on_failure, IntegrationError, IntegrationWarning)
    return replace(found, y=y, status=status, solution=solution)


class _Integrated(Checked, ABC):
    """A model whose output is the state at the end of `span`."""

    integrator: str | AnyIntegrator
    sensitivity: str | Sensitivity[OdeSolution]
    options: OdeOptions
    span: tuple[float, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        integrator = resolved(self.integrator, "integrator", "integrator")
        object.__setattr__(self, "integrator", integrator)
        sensitivity = resolved(self.sensitivity, "sensitivity", "sensitivity", solves=ODE)
        object.__setattr__(self, "sensitivity", sensitivity)
        check_type(self.options, "options", OdeOptions)
        checked_span(self.span)

    def evolve(self, params: Tree, x: Array, t: Times, *, rng: np.random.Generator | None = None) -> Evolution:
        """Return the states, shape (times, batch, ...), at the times t, with the record; raises as a call does.

        Where x is not finite another sample is integrated in its place, and becomes nan.
        """
        if is_array(params) and not (is_array(x) or is_traced(x)):
            raise TypeError(f"params must be what init returns, got {described(params)}; they come before x")
        check_samples(x)
        if rng is not None:
            check_kind(rng, "rng", "random generator")
        sick = sick_samples(x)
        if not sick.any():
            return self._evolve(params, x, t, rng)
        return _marked(self._evolve(params, with_others(x, sick), t, rng), sick)

    @abstractmethod
    def _evolve(self, params: Tree, x: Array, t: Times, rng: np.random.Generator | None) -> Evolution:
        """Evolve samples x, shape (batch, ...), that are finite."""

    def __call__(self, params: Tree, x: Array, *, rng: np.random.Generator | None = None) -> Any:
        """Return the state at t₁, shape (batch, ...), where it joins several scales the tuple of them.

        `rng` is for dropout, in training.

        Raises IntegrationError if the options say so and some sample did not reach t₁.
        """
        return self.evolve(params, x, self.span, rng=rng).output


@dataclass(frozen=True)
class NeuralODE(_Integrated):
    """Y(t₁) of y' = f(t, y; θ) with y(t₀) = x (Chen et al. 2018, arXiv:1806.07366).

    `Autonomous(layer)` makes a vector field f of a layer; the sensitivity is how the backward pass is done, the options
    are tolerances and limits, `span` is t₀ and t₁, and `stops` are the times at which f is not smooth.
    """

    vector_field: VectorField
    integrator: str | AnyIntegrator
    sensitivity: str | Sensitivity[OdeSolution] = field(default_factory=Interpolating)
    options: OdeOptions = field(default_factory=OdeOptions)
    span: tuple[float, float] = (0.0, 1.0)
    stops: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kind(self.vector_field, "vector_field", "vector field")
        checked_stops(self.stops)

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the vector field."""
        return self.vector_field.init(rng)

    def _evolve(self, params: Tree, x: Array, t: Times, rng: np.random.Generator | None) -> Evolution:
        field_ = self.vector_field
        own = with_draws(field_, prepare(field_, params), x, rng)

        check_fitting(own, x, x)

        def f(time: Array, y: Array, theta: Tree) -> Array:
            return field_(theta, time, y)

        how: dict[str, Any] = {"adjoint": self.sensitivity, "options": self.options, "stops": self.stops}
        return evolve(f, x, t, own, integrator=self.integrator, **how)


@dataclass(frozen=True)
class CellODE(_Integrated):
    """z(t₁) of z' = f(z, x) − z, whose steady state is the fixed point of f; z(t₀) is the initial guess.

    With a `MultiScaleCell` it is the multiscale neural ODE (Pal et al. 2022, arXiv:2201.12240). The parameters are
    those of a `DeepEquilibrium` with the same cell and guess; the other fields are as in `NeuralODE`.
    """

    cell: Cell
    integrator: str | AnyIntegrator
    initial_guess: InitialGuess = field(default_factory=ZeroGuess)
    sensitivity: str | Sensitivity[OdeSolution] = field(default_factory=Interpolating)
    options: OdeOptions = field(default_factory=OdeOptions)
    span: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kind(self.cell, "cell", "cell")
        check_kind(self.initial_guess, "initial_guess", "initial guess")

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters of the cell and of the initial guess."""
        return {"cell": self.cell.init(rng), "initial_guess": self.initial_guess.init(rng)}

    def _evolve(self, params: Tree, x: Array, t: Times, rng: np.random.Generator | None) -> Evolution:
        check_params(params, "cell", "initial_guess")
        x = read_only(x)
        cell, own = for_pass(self.cell, params["cell"], x, rng)
        u = cell.inject(own, x)
        z0 = self.initial_guess(with_draws(self.initial_guess, params["initial_guess"], x, rng), cell, own, x, u)

        check_fitting(own, x, z0)

        def f(time: Array, z: Array, own: Tree, u: Tree) -> Array:
            return tree_map(ops.subtract, cell.step(own, z, u), z)

        found = evolve(f, z0, t, own, u, integrator=self.integrator, adjoint=self.sensitivity, options=self.options)
        several = joins(cell)
        return replace(found, split=None if several is None else several.split)
