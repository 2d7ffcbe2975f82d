"""Choices by name: a solver or an integrator, its options, and an adjoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from equilib.adjoints.sensitivity import Sensitivity
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.ode.library import AnyIntegrator
from equilib.ode.solution import OdeOptions, OdeSolution

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class Named(Generic[P]):
    """A part that was chosen by name.

    Attributes
    ----------
    name : str
    part : object
    options : dict
        Those of the part and of its own parts, by dotted names, as plain values.
    """

    name: str
    part: P
    options: dict[str, Any]

    def __str__(self) -> str:
        values = ", ".join(f"{key}={value}" for key, value in self.options.items() if value is not None)
        return f"{self.name} ({values})" if values else self.name

    def describe(self) -> dict[str, Any]:
        """Return what a run record should know, as plain values from which the part is made again."""
        return {"name": self.name, "options": self.options}


@dataclass(frozen=True, kw_only=True)
class SolveChoice:
    """How equilibria are solved for and differentiated.

    Attributes
    ----------
    forward, backward : Named
        The solver and the adjoint.
    options : SolveOptions
        Of the forward solve; failures are recorded unless the user said otherwise.
    exact : bool
        Whether the adjoint gives the gradient of the fixed point.
    fallbacks : tuple of Named
        They solve, one after another, what the solver leaves unconverged.
    """

    forward: Named[Any]
    backward: Named[Sensitivity[Solution]]
    options: SolveOptions
    exact: bool = True
    fallbacks: tuple[Named[Any], ...] = ()

    @property
    def solver(self) -> Solver:
        """The solver of the forward pass."""
        solver: Solver = self.forward.part
        return solver

    @property
    def sensitivity(self) -> Sensitivity[Solution]:
        """The adjoint."""
        return self.backward.part

    @property
    def fallback(self) -> tuple[Solver | WholeSolver, ...]:
        """The solvers of what is left."""
        return tuple(each.part for each in self.fallbacks)

    def introduce(self) -> tuple[str, str]:
        """Return a line about the solver and one about the adjoint, for people."""
        solver = ", then ".join(map(str, (self.forward, *self.fallbacks)))
        limits = f"rtol={self.options.rtol}, max_steps={self.options.max_steps}"
        approximate = "" if self.exact else ": an approximate gradient"
        return f"Solver: {solver} with {limits}", f"Adjoint: {self.backward}{approximate}"

    def describe(self) -> dict[str, Any]:
        """Return what a run record should know, as plain values."""
        return {
            "solver": self.forward.describe(),
            "adjoint": {**self.backward.describe(), "exact": self.exact},
            "fallback": [each.describe() for each in self.fallbacks],
            "solve": asdict(self.options),
        }


@dataclass(frozen=True, kw_only=True)
class IntegrationChoice:
    """How an initial value problem is solved and differentiated.

    Attributes
    ----------
    forward, backward : Named
        The integrator and the adjoint.
    options : OdeOptions
        Of the forward integration; failures are recorded unless the user said otherwise.
    """

    forward: Named[AnyIntegrator]
    backward: Named[Sensitivity[OdeSolution]]
    options: OdeOptions

    @property
    def integrator(self) -> AnyIntegrator:
        """The integrator of the forward pass."""
        return self.forward.part

    @property
    def sensitivity(self) -> Sensitivity[OdeSolution]:
        """The adjoint."""
        return self.backward.part

    def introduce(self) -> tuple[str, str]:
        """Return a line about the integrator and one about the adjoint, for people."""
        tolerances = f"rtol={self.options.rtol}, atol={self.options.atol}"
        return f"Integrator: {self.forward} with {tolerances}", f"Adjoint: {self.backward}"

    def describe(self) -> dict[str, Any]:
        """Return what a run record should know, as plain values, in the form of the record of a solver."""
        return {
            "solver": self.forward.describe(),
            "adjoint": {**self.backward.describe(), "exact": True},
            "solve": asdict(self.options),
        }
