"""Subject of a check: what was declared about it, and the solves that the checks make."""

from __future__ import annotations

import copy
import importlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn
from unittest import SkipTest

import numpy as np

from equilib.adjoints.fixed_point import suited
from equilib.adjoints.sensitivity import Pullback, Sensitivity
from equilib.arrays import Array, to_host
from equilib.fixed_points.picard import Picard
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solve import solve
from equilib.fixed_points.solver import Solver, SolverState, WholeSolver
from equilib.testing.maps import KnownMap

LIBRARIES = {"numpy": "numpy", "cupy": "cupy", "torch": "torch", "jax": "jax.numpy"}
"""Modules of the array libraries that capabilities name."""


@dataclass(frozen=True, kw_only=True)
class SolverSubject:
    """A solver under test, and what its author declares about it; see `solver_checks`."""

    solver: Solver | WholeSolver
    couples_samples: bool = False
    needs: tuple[str, ...] = ()
    backends: tuple[str, ...] = ("any",)
    sensitivity: Sensitivity[Solution] | None = None
    exact: bool = True
    copied: bool = True

    @property
    def whole(self) -> bool:
        """Whether the solver has a loop of its own."""
        return isinstance(self.solver, WholeSolver)

    def fresh(self) -> Solver | WholeSolver:
        """Return a copy of the solver: what it may keep on itself is found by one check, not by all."""
        return copy.deepcopy(self.solver) if self.copied else self.solver

    def problem(
        self, known: KnownMap, xp: ModuleType = np, dtype: str = "float64", calls: Counter[str] | None = None
    ) -> FixedPointProblem:
        """Return the problem; it has no derivatives where the solver does not declare that it needs some."""
        return known.problem(xp, dtype, calls=calls, derivatives=bool(self.needs))

    def solve(self, known: KnownMap, xp: ModuleType = np, dtype: str = "float64", **options: Any) -> Solution:
        """Solve from the map's own initial guess."""
        return self.solve_problem(self.problem(known, xp, dtype), known.start(xp, dtype), **options)

    def solve_problem(self, problem: FixedPointProblem, z0: Array, **options: Any) -> Solution:
        """Solve, and keep what happens on record."""
        return solve(problem, self.fresh(), z0, **{"on_failure": "record", "max_steps": 500, **options})

    def states(
        self, known: KnownMap, dtype: str = "float64", see: Callable[[SolverState], None] | None = None, **options: Any
    ) -> list[SolverState]:
        """Solve, and return the state of the initial guess and those of all steps; `see` is shown each in time."""
        solver = self.fresh()
        states: list[SolverState] = []

        def note(state: SolverState) -> SolverState:
            states.append(state)
            if see is not None:
                see(state)
            return state

        methods = {name: getattr(solver, name) for name in ("init", "step", "run") if hasattr(solver, name)}
        watched: Any = SimpleNamespace(**{name: _noted(method, note) for name, method in methods.items()})
        options = {"on_failure": "record", "max_steps": 8, **options}
        solve(self.problem(known, dtype=dtype), watched, known.start(dtype=dtype), **options)
        return states

    def adjoint(self) -> Sensitivity[Solution]:
        """Return the sensitivity that is used with the solver by default."""
        return suited(self.fresh()) if self.sensitivity is None else self.sensitivity


def _noted(
    method: Callable[..., SolverState], note: Callable[[SolverState], SolverState]
) -> Callable[..., SolverState]:
    return lambda *args: note(method(*args))


@dataclass(frozen=True, kw_only=True)
class SensitivitySubject:
    """A sensitivity under test, the solver whose solutions it gets, and whether it is declared exact."""

    sensitivity: Sensitivity[Solution]
    exact: bool = True
    solver: Solver | WholeSolver = field(default_factory=Picard)

    def solution(self, known: KnownMap, xp: ModuleType = np, dtype: str = "float64", **options: Any) -> Solution:
        """Solve forward, by default to the last digits."""
        tight = {"rtol": 1e-11 if dtype == "float64" else 1e-5, "max_steps": 500, "on_failure": "record"}
        solver = copy.deepcopy(self.solver)
        return solve(known.problem(xp, dtype), solver, known.start(xp, dtype), **{**tight, **options})

    def pull(
        self,
        known: KnownMap,
        cotangent: np.ndarray,
        xp: ModuleType = np,
        dtype: str = "float64",
        **options: Any,
    ) -> Pullback[Solution]:
        """Return the pullback of a cotangent at the solution."""
        solution = self.solution(known, xp, dtype, **options)
        problem = known.problem(xp, dtype)
        sensitivity = copy.deepcopy(self.sensitivity)
        return sensitivity.pullback(problem, solution, xp.asarray(cotangent.astype(dtype)))


def namespaces(backends: Iterable[str]) -> dict[str, ModuleType]:
    """Return the array libraries to try besides NumPy.

    Raises
    ------
    unittest.SkipTest
        If there is none: the solver names its libraries and none of the others can be used here, or, where it takes
        any of them, array-api-strict cannot.
    """
    names = set(backends) - {"numpy"}
    wanted = {"array-api-strict": "array_api_strict"} if "any" in names else {n: LIBRARIES.get(n, n) for n in names}
    if not wanted:
        skip("it declares that it runs on NumPy only")
    found = {}
    for name, module in wanted.items():
        try:
            library = importlib.import_module(module)
        except ImportError:
            continue
        # CuPy may be installed where there is no device.
        if getattr(library, "is_available", _always)():
            found[name] = library
    if not found:
        skip(f"none of these can be used here: {', '.join(sorted(wanted))}")
    return found


def _always() -> bool:
    return True


def skip(reason: str) -> NoReturn:
    """Say that a check cannot be made here."""
    raise SkipTest(reason)


def host(array: Array) -> np.ndarray:
    """Copy an array to NumPy, always."""
    return np.array(to_host(array))


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays agree in shape, dtype and every bit; nan equals nan."""
    first, second = host(a), host(b)
    return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def difference(a: Array, b: Array) -> float:
    """Return the largest absolute difference; inf where the shapes differ or a number is missing."""
    first, second = host(a), host(b)
    if first.shape != second.shape:
        return float("inf")
    largest = float(np.max(np.abs(first - second), initial=0.0))
    return largest if np.isfinite(largest) else float("inf")
