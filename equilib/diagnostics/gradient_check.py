"""The gradient of an equilibrium by the chosen adjoint, against finite differences and the converged implicit one."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from equilib import ops
from equilib.adjoints.sensitivity import Needs, Pullback, Sensitivity
from equilib.arrays import Array, Tree, array_namespace, coefficients, rms_norm, to_host, tree_leaves
from equilib.autodiff import value_and_grad
from equilib.diagnostics.agreement import agreement, along, difference, random_direction, size, subtract
from equilib.diagnostics.gradient_report import ADJOINT, APPROXIMATION, FORWARD, GradientCheck
from equilib.diagnostics.refinement import Refinement, converged_adjoint, rounding_options
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solver import Solver

PARTS = ("parameters", "inputs")
_MANY_STEPS = 1000
_CLOSER = (8, 64, 512)  # parts of a change in which hardly a kink is left; in float64 with five digits


def check_gradient(
    deq: Any, params: Tree, x: Array, *, directions: int = 4, rng: np.random.Generator | None = None
) -> GradientCheck:
    """Compare the gradient of ⟨c, z*⟩ with respect to params and x with better ones, and find what its error is.

    The fixed point that the model's solver finds is refined by Newton's method to rounding, and differentiated there
    by an adjoint solved to rounding; finite differences are taken between fixed points refined likewise, 4 in each
    direction, more where f seems to have a kink. In float32 they are right to a few digits only: prefer float64.

    `deq` is a `DeepEquilibrium`, or another frozen dataclass with its fields; its parameters are in the dtype of x,
    shape (batch, ...). `rng` draws c and the directions; by default the same numbers in every call.

    Raises ValueError if the model iterates a fixed depth, where no adjoint is at work, or `directions` is not positive.
    """
    if deq.fixed_depth:
        raise ValueError("a model with a fixed depth has no adjoint to check; check the model before `unrolled`")
    if directions < 1:
        raise ValueError(f"directions must be positive, got {directions}")
    rng = np.random.default_rng(0) if rng is None else rng
    with np.errstate(all="ignore"):  # what does not converge is in the statuses
        return _Check(deq, (params, x), rng).report(directions)


class _Check:
    """The model at one point, and the ways to differentiate it there."""

    def __init__(self, deq: Any, point: tuple[Tree, Array], rng: np.random.Generator) -> None:
        self.deq, self.point, self.rng = deq, point, rng
        self.options: SolveOptions = replace(deq.options, on_failure="record")
        self.z: Array = self.equilibrium(deq.solver, self.options, point).solution.z
        self.tight = rounding_options(self.z)
        self.cotangent = coefficients(rng.standard_normal(tuple(self.z.shape)), self.z)

    def report(self, directions: int) -> GradientCheck:
        solver, adjoint, exact = self.deq.solver, self.deq.adjoint(), converged_adjoint(self.z)
        chosen, here = self.gradient(solver, adjoint, self.options)
        true, there = self.gradient(Refinement(self.z), exact, self.tight)
        # One cause after the other is taken away: the adjoint's residual, its approximation, the forward residual.
        tightened, _ = self.gradient(solver, _Tightened(adjoint, self.tight.rtol), self.options)
        solved, _ = self.gradient(solver, exact, self.options)
        fixed_point = there.solution.z
        steps = [random_direction(self.point, self.rng) for _ in range(directions)]
        found, error = self.differences(steps, Refinement(fixed_point), _slopes(true, steps))
        apart, size = to_host(rms_norm(self.z - fixed_point)), to_host(rms_norm(fixed_point))
        return GradientCheck(
            solver=str(solver),
            adjoint=str(adjoint),
            against_implicit={
                part: agreement(*pair) for part, *pair in zip(PARTS, chosen, true, strict=True) if tree_leaves(pair[1])
            },
            against_differences=agreement(_slopes(chosen, steps), found),
            implicit_against_differences=agreement(_slopes(true, steps), found),
            differences_error=float(np.linalg.norm(error) / (np.linalg.norm(found) or 1.0)),
            contributions={
                FORWARD: _apart(solved, true, true),
                ADJOINT: _apart(chosen, tightened, true),
                APPROXIMATION: _apart(tightened, solved, true),
            },
            distance=float(np.max(apart / np.where(size > 0, size, 1.0))),
            forward=here.solution,
            adjoint_solve=here.adjoints[-1] if here.adjoints else None,
            reference=there.solution,
            reference_adjoint=there.adjoints[-1],
            # 5e-7 in float64, 2e-3 in float32.
            accuracy=float(array_namespace(self.z).finfo(self.z.dtype).eps) ** 0.4,
        )

    def equilibrium(
        self,
        solver: Solver,
        options: SolveOptions,
        point: tuple[Tree, Array],
        sensitivity: Sensitivity[Solution] | None = None,
    ) -> Any:
        """Return the record of the equilibrium that a solver finds."""
        model = replace(self.deq, solver=solver, options=options, sensitivity=sensitivity, jacobian_loss=False)
        return model(*point)

    def gradient(self, solver: Solver, sensitivity: Sensitivity[Solution], options: SolveOptions) -> tuple[Tree, Any]:
        """Return the gradient of ⟨c, z*⟩, and the record of the equilibrium."""

        def product(point: tuple[Tree, Array]) -> tuple[Array, Any]:
            record = self.equilibrium(solver, options, point, sensitivity)
            return ops.sum(ops.multiply(record.z, self.cotangent)), record

        (_, record), gradient = value_and_grad(product, has_aux=True, allow_unused=True)(self.point)
        return gradient, record

    def differences(self, steps: list[Tree], solver: Refinement, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives along `steps` and their estimated errors; nan where a solve did not converge.

        Where they contradict what is expected, f may have a kink on the way: then changes that are much smaller say so.
        """
        xp = array_namespace(self.z)

        def product(point: tuple[Tree, Array]) -> float:
            solution = self.equilibrium(solver, self.tight, point).solution
            return float(xp.sum(solution.z * self.cotangent)) if solution.success else float("nan")

        # The fixed points are right to `tight`: a smaller change would drown in what is left.
        change = self.tight.rtol ** (1 / 3)
        pairs = [difference(product, self.point, step, change) for step in steps]
        for i, (found, error) in enumerate(pairs):
            for closer in (change / each for each in _CLOSER):
                if abs(found - expected[i]) <= 10 * error:
                    break
                there, uncertain = difference(product, self.point, steps[i], closer)
                if abs(found - there) > 10 * uncertain:
                    found, error = there, uncertain
            pairs[i] = found, error
        return np.array([slope for slope, _ in pairs]), np.array([error for _, error in pairs])


@dataclass(frozen=True)
class _Tightened:
    """A sensitivity that solves to a smaller tolerance, its own or the forward solve's, whichever it goes by."""

    sensitivity: Any
    rtol: float

    @property
    def needs(self) -> Needs:
        needs: Needs = self.sensitivity.needs
        return needs

    def pullback(
        self, problem: FixedPointProblem, solution: Solution, cotangent: Array, *, guess: Array | None = None
    ) -> Pullback[Solution]:
        limits: dict[str, Any] = {"rtol": self.rtol, "max_steps": _MANY_STEPS}
        own = {each.name for each in fields(self.sensitivity)} & set(limits)
        sensitivity: Sensitivity[Solution] = replace(self.sensitivity, **{name: limits[name] for name in own})
        tight = replace(solution, options=replace(solution.options, **limits))
        return sensitivity.pullback(problem, tight, cotangent, guess=guess)


def _slopes(gradient: Tree, steps: list[Tree]) -> np.ndarray:
    return np.array([along(gradient, step) for step in steps])


def _apart(one: Tree, other: Tree, true: Tree) -> float:
    """Return ‖one − other‖ / ‖true‖, the larger of those with respect to the parameters and to the inputs."""
    return float(np.max([size(subtract(*pair)) / (size(t) or 1.0) for *pair, t in zip(one, other, true, strict=True)]))
