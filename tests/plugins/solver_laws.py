"""What every first-party solver must do: a test class inherits these laws and names its solver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from equilib import FixedPointProblem, Solution, Solver, Status, solve
from equilib.testing import run_checks, solver_checks
from tests.arrays_under_test import NAMESPACES, OTHERS, lift, lower
from tests.installed import solvers
from tests.problems import (
    BADLY_SCALED,
    CONTRACTIONS,
    EXPANSIVE,
    LINEAR,
    NO_FIXED_POINT,
    ROTATION,
    SINGULAR,
    STEEP,
    TANH,
    KnownMap,
)
from tests.rounding import check_same_but_for_rounding

OPTIONS: dict[str, Any] = {"on_failure": "record", "max_steps": 400}


def solve_map(known: KnownMap, solver: Solver, xp: ModuleType = np, dtype: str = "float64", **options: Any) -> Solution:
    """Solve on the arrays of `xp`, from the map's own initial guess, with the derivatives given by hand."""
    return solve(known.problem(xp, dtype=dtype), solver, lift(xp, known.z0, dtype), **{**OPTIONS, **options})


def counting(known: KnownMap) -> tuple[FixedPointProblem, Counter[str]]:
    """Return the problem and a counter of the calls that its functions get."""
    calls: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls[name] += 1
            return getattr(known, name)(*args)

        return call

    problem = FixedPointProblem(
        lambda z: counted("f")(z, known.bias),
        jvp=lambda z, v: counted("jvp")(z, v, known.bias),
        vjp=lambda z, w: counted("vjp")(z, w, known.bias),
    )
    return problem, calls


def trials(solver: Solver, f: Callable[[Any], Any], z0: float, **options: Any) -> list[float]:
    """Return the scalars at which a solver evaluates f, its initial guess first."""
    seen = []

    def watched(z: Any) -> Any:
        seen.append(float(z[0, 0]))
        return f(z)

    solve(watched, solver, np.full((1, 1), z0), **{**OPTIONS, "rtol": 1e-12, **options})
    return seen


class SolverLaws:
    """Laws of a solver that treats samples separately and runs on every array library."""

    solver: ClassVar[Solver]
    max_steps: ClassVar[int] = 400
    solves_expansive: ClassVar[bool] = True
    solves_singular: ClassVar[bool] = True
    without_fixed_point: ClassVar[tuple[Status, ...]] = (Status.MAX_STEPS, Status.DIVERGED)
    derivatives: ClassVar[tuple[str, ...]] = ()
    exact: ClassVar[bool] = True  # its default adjoint

    @pytest.mark.parametrize("known", CONTRACTIONS, ids=str)
    def test_it_finds_known_fixed_points(self, known: KnownMap):
        """Contractions, a rotation by 0.95 and states of scales from 1e-3 to 1e2 are solved to the tolerance."""
        solution = solve_map(known, self.solver, rtol=1e-9, max_steps=self.max_steps)
        assert solution.success, solution
        error = np.linalg.norm(solution.z - known.solution, axis=1)
        assert np.all(error <= 1e-6 * np.linalg.norm(known.solution, axis=1))

    def test_badly_scaled_states_are_solved_in_every_component(self):
        """With a tight tolerance the components of scale 1e-3 are right too, beside those of scale 1e2."""
        solution = solve_map(BADLY_SCALED, self.solver, rtol=1e-13, max_steps=1000)
        assert BADLY_SCALED.solution is not None
        scale = np.max(np.abs(BADLY_SCALED.solution), axis=0)
        assert np.max(np.abs(solution.z - BADLY_SCALED.solution) / scale) < 1e-6

    def test_an_expansive_map(self):
        """Where Picard iteration diverges and I − J is regular, the answer is right, or the status is honest."""
        solution = solve_map(EXPANSIVE, self.solver, rtol=1e-8)
        assert solution.success == self.solves_expansive, solution
        near = np.max(np.abs(solution.z - EXPANSIVE.solution), axis=1) < 1e-6
        np.testing.assert_array_equal(near, solution.converged)

    def test_a_space_of_fixed_points(self):
        """Where I − J is singular and there are many fixed points, one of them is found."""
        solution = solve_map(SINGULAR, self.solver, rtol=1e-6, max_steps=self.max_steps)
        assert solution.success == self.solves_singular, solution
        left = np.linalg.norm(SINGULAR.f(solution.z, SINGULAR.bias) - solution.z, axis=1)
        small = left <= 1e-5 * np.linalg.norm(solution.z, axis=1)
        np.testing.assert_array_equal(small[solution.converged], np.ones(solution.converged.sum(), dtype=bool))

    def test_no_fixed_point_is_reported(self):
        """A map without a fixed point never converges; the status says how the solver ended."""
        solution = solve_map(NO_FIXED_POINT, self.solver, max_steps=60)
        assert set(solution.status) <= set(self.without_fixed_point)
        assert np.isfinite(lower(solution.z)).all()

    @pytest.mark.parametrize("known", [LINEAR, TANH, STEEP, ROTATION], ids=str)
    @pytest.mark.parametrize("where", ["bias", "guess"])
    def test_a_nan_in_one_sample_does_not_touch_the_others(self, known: KnownMap, where: str):
        """The others' iterates, residuals, steps and statuses are bit for bit those of a run without it."""
        others = np.arange(5) != 3
        spoilt = (
            known.poisoned(3) if where == "bias" else replace(known, z0=np.where(others[:, None], known.z0, np.nan))
        )
        ordinary, ill = (solve_map(each, self.solver, max_steps=40) for each in (known, spoilt))
        assert ill.status[3] is Status.NONFINITE
        assert [s for i, s in enumerate(ill.status) if i != 3] == [s for i, s in enumerate(ordinary.status) if i != 3]
        for name in ("z", "residual", "residual_norm", "steps"):
            np.testing.assert_array_equal(getattr(ill, name)[others], getattr(ordinary, name)[others], err_msg=name)

    def test_a_sample_that_has_ended_costs_nothing(self):
        """Beside a sample of nan the others take as many evaluations as without it."""
        for known in (TANH, EXPANSIVE):
            beside = solve_map(known.poisoned(3), self.solver, max_steps=30)
            without = solve_map(known.rows([0, 1, 2, 4]), self.solver, max_steps=30)
            assert (beside.nfe, beside.njvp) == (without.nfe, without.njvp)

    @pytest.mark.parametrize("known", [*CONTRACTIONS, STEEP, NO_FIXED_POINT], ids=str)
    def test_samples_solved_one_by_one_give_the_same(self, known: KnownMap):
        """A sample's status and steps do not depend on its batch mates, nor, but for rounding, does its iterate."""
        together = solve_map(known, self.solver, rtol=1e-6, max_steps=60)
        for i in range(len(known.bias)):
            alone = solve_map(known.rows([i]), self.solver, rtol=1e-6, max_steps=60)
            assert alone.status[0] is together.status[i]
            assert alone.steps[0] == together.steps[i]
            np.testing.assert_allclose(alone.z[0], together.z[i], rtol=1e-7, atol=1e-7)

    @pytest.mark.parametrize("known", [TANH, ROTATION, EXPANSIVE], ids=str)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("library", OTHERS)
    def test_every_array_library_gives_the_same_answer(self, known: KnownMap, dtype: str, library: str):
        """Statuses, steps, counts and iterates are those on NumPy's arrays but for rounding, and dtypes are kept."""
        options = {**OPTIONS, "rtol": {"float64": 1e-8, "float32": 1e-4}[dtype]}
        solution = solve_map(known, self.solver, NAMESPACES[library], dtype, **options)
        assert str(solution.z.dtype).endswith(dtype)
        assert str(solution.residual.dtype).endswith(dtype)
        check_same_but_for_rounding(known, self.solver, solution, **options)

    def test_it_keeps_the_laws_of_the_kit(self):
        """With these options too it does what `equilib.testing` asks of every solver."""
        if self.solver in [each.values[0] for each in solvers()]:
            pytest.skip("test_all_solvers asks it of the defaults")
        outcomes = run_checks(solver_checks(self.solver, needs=self.derivatives, exact=self.exact))
        assert not [f"{each.check}: {each.evidence}" for each in outcomes if each.status == "failed"]
