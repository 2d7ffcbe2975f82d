"""Choices by name: a solver or an integrator, its options, and an adjoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from equilib.adjoints.sensitivity import Sensitivity
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.ode.solution import OdeOptions

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class Named(Generic[P]):
    """A part that was chosen by name; `options`, plain values, are its own and by dotted names those of its parts."""

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
class Choice:
    """How equilibria or initial value problems are solved and differentiated.

    `forward` is the solver or the integrator, with `options` by which failures are recorded unless the user said
    otherwise, and `backward` the adjoint, `exact` where it gives the gradient of the solution. The `fallbacks` solve,
    one after another, what the solver leaves unconverged.
    """

    forward: Named[Any]
    backward: Named[Sensitivity[Any]]
    options: Any
    exact: bool = True
    fallbacks: tuple[Named[Any], ...] = ()

    @property
    def solver(self) -> Any:
        """The solver or the integrator of the forward pass."""
        return self.forward.part

    @property
    def sensitivity(self) -> Sensitivity[Any]:
        """The adjoint."""
        return self.backward.part

    @property
    def fallback(self) -> tuple[Solver | WholeSolver, ...]:
        """The solvers of what is left."""
        return tuple(each.part for each in self.fallbacks)

    def introduce(self) -> tuple[str, str]:
        """Return a line about the solver or integrator and one about the adjoint, for people."""
        integrates = isinstance(self.options, OdeOptions)
        noun, limit = ("Integrator", "atol") if integrates else ("Solver", "max_steps")
        parts = ", then ".join(map(str, (self.forward, *self.fallbacks)))
        approximate = "" if self.exact else ": an approximate gradient"
        return (
            f"{noun}: {parts} with rtol={self.options.rtol}, {limit}={getattr(self.options, limit)}",
            f"Adjoint: {self.backward}{approximate}",
        )

    def describe(self) -> dict[str, Any]:
        """Return what a run record should know, as plain values."""
        return {
            "solver": self.forward.describe(),
            "adjoint": {**self.backward.describe(), "exact": self.exact},
            "fallback": [each.describe() for each in self.fallbacks],
            "solve": asdict(self.options),
        }
