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

from equilib.adjoints.fixed_point import chosen_adjoint
from equilib.adjoints.sensitivity import Pullback, Sensitivity
from equilib.arrays import Array, array_namespace, to_host
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.picard import Picard
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solve import solve
from equilib.fixed_points.solver import Solver, SolverState, WholeSolver
from equilib.testing.maps import KnownMap

LIBRARIES = {"numpy": "numpy", "cupy": "cupy", "torch": "torch", "jax": "jax.numpy"}
"""Modules of the array libraries that capabilities name."""

ANY = {"array-api-strict": "array_api_strict", "cupy": "cupy", "torch": "array_api_compat.torch", "jax": "jax.numpy"}
"""Those that are tried, where they are installed, of a part that takes arrays of any library."""

LENT = ("active", "tolerance", "scale", "strictness")
"""Arrays of an evaluator, which are the driver's."""


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

    def stepped(self, known: KnownMap) -> SolverState:
        """Return the state after a step by hand from the map's own initial guess, or after all of its own loop."""
        solver, z0 = self.fresh(), known.start()
        f = Evaluator(self.problem(known), z0)
        with np.errstate(all="ignore"):
            return solver.run(f, z0, 10) if isinstance(solver, WholeSolver) else solver.step(f, solver.init(f, z0))

    def states(
        self,
        known: KnownMap,
        dtype: str = "float64",
        *,
        see: Callable[[SolverState], None],
        touched: list[str] | None = None,
    ) -> None:
        """Solve; `see` is shown the state of the initial guess and those of all steps, each in time.

        To `touched` are added the names of the evaluator's arrays that the solver changes.
        """
        solver = self.fresh()

        def noted(method: Callable[..., SolverState]) -> Callable[..., SolverState]:
            def call(f: Evaluator, *rest: Any) -> SolverState:
                lent = {name: getattr(f, name) for name in LENT}
                before = {name: array.copy() for name, array in lent.items()}
                state = method(f, *rest)
                if touched is not None:
                    touched.extend(name for name, array in lent.items() if not same_bits(array, before[name]))
                see(state)
                return state

            return call

        methods = {name: noted(getattr(solver, name)) for name in ("init", "step", "run") if hasattr(solver, name)}
        watched: Any = SimpleNamespace(**methods)
        solve(self.problem(known, dtype=dtype), watched, known.start(dtype=dtype), on_failure="record", max_steps=8)

    def adjoint(self) -> Sensitivity[Solution]:
        """Return the sensitivity that is used with the solver by default."""
        return chosen_adjoint(self.sensitivity, self.fresh())


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
        self, known: KnownMap, cotangent: np.ndarray, xp: ModuleType = np, dtype: str = "float64", **given: Any
    ) -> Pullback[Solution]:
        """Return the pullback of a cotangent at the solution; `given` goes to the sensitivity."""
        return self.pull_at(self.solution(known, xp, dtype), known.problem(xp, dtype), cotangent, **given)

    def pull_at(
        self, solution: Solution, problem: FixedPointProblem, cotangent: np.ndarray, **given: Any
    ) -> Pullback[Solution]:
        """Return the pullback of a cotangent at a solution."""
        g = array_namespace(solution.z).asarray(cotangent.astype(str(solution.z.dtype).rpartition(".")[2]))
        return copy.deepcopy(self.sensitivity).pullback(problem, solution, g, **given)


def namespaces(backends: Iterable[str]) -> dict[str, ModuleType]:
    """Return the array libraries to try besides NumPy.

    Raises
    ------
    unittest.SkipTest
        If there is none: the solver names its libraries and none of the others can be used here, or, where it takes
        any of them, neither array-api-strict nor CuPy can.
    """
    names = set(backends) - {"numpy"}
    wanted = ANY if "any" in names else {n: LIBRARIES.get(n, n) for n in names}
    if not wanted:
        skip("it declares that it runs on NumPy only")
    found = {}
    for name, module in wanted.items():
        try:
            library = importlib.import_module(module)
        except ImportError:
            continue
        # CuPy may be installed where there is no device; JAX knows float64 where it is told to.
        if getattr(library, "is_available", _always)() and "float64" in str(library.asarray(np.zeros(1)).dtype):
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
