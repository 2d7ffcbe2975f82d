from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import (
    ConvergenceError,
    ConvergenceWarning,
    FixedPointProblem,
    ImplicitAdjoint,
    Picard,
    Solution,
    SolveOptions,
    Solver,
    State,
    Status,
    ops,
    solve,
)
from equilib.autodiff import value_and_grad
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import NAMESPACES, lift, lower
from tests.problems import (
    CONTRACTIONS,
    EXPANSIVE,
    LINEAR,
    NO_FIXED_POINT,
    REGULAR,
    ROTATION,
    SIZE,
    STEEP,
    TANH,
    KnownMap,
)

NORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rms": lambda r: np.sqrt(np.mean(r**2, axis=1)),
    "max": lambda r: np.max(np.abs(r), axis=1),
    "two": lambda r: np.sqrt(np.sum(r**2, axis=1)),
}
SOLVERS = (Picard(), Picard(damping=0.3), NewtonGMRES(), NewtonGMRES("library"))
PER_SAMPLE = (Picard(), NewtonGMRES(), NewtonGMRES(restart=2))

every_norm = pytest.mark.parametrize("norm", NORMS)
every_solver = pytest.mark.parametrize("solver", SOLVERS, ids=str)
every_per_sample_solver = pytest.mark.parametrize("solver", PER_SAMPLE, ids=str)


def solve_map(known: KnownMap, solver: Solver, xp: ModuleType = np, **options: Any) -> Solution:
    """Solve on the arrays of `xp`, from the map's own initial guess, with the derivatives given by hand."""
    options = {"on_failure": "record", "max_steps": 500, **options}
    return solve(known.problem(xp), solver, lift(xp, known.z0), **options)


@dataclass(frozen=True)
class Scripted:
    """A solver of z = 0·z that goes through a given list of iterates, shape (steps, batch): residuals are −z."""

    iterates: tuple[tuple[float, ...], ...]
    failing_step: int = -1
    failing: tuple[bool, ...] = ()

    @dataclass(frozen=True)
    class State:
        z: Any
        residual: Any
        number: int
        failed: Any

    def init(self, problem: FixedPointProblem, z0: Any) -> Any:
        """Take the first iterate."""
        return self._state(problem, 0)

    def step(self, problem: FixedPointProblem, state: Any) -> Any:
        """Take the next one."""
        return self._state(problem, state.number + 1)

    def _state(self, problem: FixedPointProblem, number: int) -> Any:
        z = np.asarray(self.iterates[number])[:, None]
        failed = np.asarray(self.failing if number == self.failing_step else [False] * len(z))
        return self.State(z, problem.residual(z), number, failed)


def play(*samples: list[float], failing_step: int = -1, failing: tuple[bool, ...] = (), **options: Any) -> Solution:
    """Solve with the given iterates for each sample; a sample has converged when its iterate is at most 1e-3."""
    script = Scripted(tuple(zip(*samples, strict=True)), failing_step, failing)
    options = {"rtol": 0.0, "atol": 1e-3, "on_failure": "record", "max_steps": len(samples[0]) - 1, **options}
    return solve(lambda z: 0.0 * z, script, np.zeros((len(samples), 1)), **options)


# --- when a sample has converged


@pytest.mark.parametrize("known", CONTRACTIONS, ids=str)
@every_solver
@every_norm
def test_a_converged_sample_satisfies_the_tolerance(known: KnownMap, solver: Solver, norm: str):
    """‖f(z) − z‖ ≤ atol + rtol·‖z‖ holds, in the chosen norm, for what is returned, and the fixed point is near."""
    rtol, atol = 1e-7, 1e-9
    solution = solve_map(known, solver, norm=norm, rtol=rtol, atol=atol)
    assert solution.success
    residual = known.f(solution.z, known.bias) - solution.z
    np.testing.assert_array_equal(solution.residual, residual)
    np.testing.assert_allclose(solution.residual_norm, NORMS[norm](residual), rtol=1e-12)
    assert np.all(NORMS[norm](residual) <= atol + rtol * NORMS[norm](solution.z))
    inverse = np.linalg.inv(np.eye(SIZE) - known.jacobians())
    reach = 2 * np.einsum("bij,bj->bi", np.abs(inverse), np.abs(residual)) + 1e-12
    assert np.all(np.abs(solution.z - known.solution) <= reach)


@every_norm
def test_each_sample_ends_at_its_own_first_step_within_the_tolerance(norm: str):
    """Statuses, steps and iterates are those of Picard loops written by hand, one for each sample."""
    rtol, atol = 1e-4, 1e-6
    scaled = replace(TANH, z0=TANH.solution + 10.0 ** -np.arange(5.0)[:, None])
    solution = solve_map(scaled, Picard(), norm=norm, rtol=rtol, atol=atol)
    z, steps = scaled.z0.copy(), np.zeros(5, dtype=int)
    while True:
        image = TANH.f(z, TANH.bias)
        going = NORMS[norm](image - z) > atol + rtol * NORMS[norm](z)
        if not going.any():
            break
        z[going], steps = image[going], steps + going
    assert len(set(steps)) > 2, "the samples should need different numbers of steps"
    np.testing.assert_array_equal(solution.steps, steps)
    np.testing.assert_allclose(solution.z, z, rtol=1e-14)


def test_a_good_initial_guess_needs_no_step():
    """A sample that starts at its fixed point converges with one evaluation, and is returned as it is."""
    known = replace(TANH, z0=TANH.solution)
    for solver in SOLVERS:
        solution = solve_map(known, solver)
        assert solution.success
        assert solution.nfe == 1
        assert not solution.steps.any()
        np.testing.assert_array_equal(solution.z, TANH.solution)


def test_finished_samples_never_change_again():
    """What is returned for a converged sample is, bit for bit, the iterate at which it converged."""
    solution = play([1.0, 5e-4, 7.0, np.nan, 1e-9], [1.0, 0.9, 0.8, 0.7, 0.6])
    assert solution.status == (Status.CONVERGED, Status.MAX_STEPS)
    assert solution.z[0, 0] == 5e-4
    assert solution.residual[0, 0] == -5e-4
    assert solution.residual_norm[0] == 5e-4
    assert solution.steps.tolist() == [1, 4]


def test_a_sample_that_diverged_does_not_recover():
    """A sample keeps the status at which it ended, whatever the solver does afterwards."""
    solution = play([1.0, 2e4, 1e-9], [1.0, np.inf, 1e-9], [1.0, 0.5, 1e-9])
    assert solution.status == (Status.DIVERGED, Status.NONFINITE, Status.CONVERGED)
    assert solution.z[:, 0].tolist() == [1.0, 1.0, 1e-9]


@pytest.mark.parametrize("later", [2.0, np.nan, np.inf])
def test_the_best_finite_iterate_is_returned(later: float):
    """Where later iterates are worse or not finite, the one of the smallest residual is the answer."""
    solution = play([1.0, 0.25, 0.5, later])
    assert solution.z[0, 0] == 0.25
    assert solution.residual[0, 0] == -0.25
    assert solution.residual_norm[0] == 0.25


def test_the_solve_ends_with_its_last_sample():
    """No evaluation is spent once every sample is finished."""
    solution = play([1.0, 1e-9, 5.0, 5.0], [1.0, 0.5, 1e-9, 5.0])
    assert solution.nfe == 3
    assert len(solution.trace) == 3


# --- how a sample ends


@pytest.mark.parametrize(
    ("known", "solver", "status"),
    [
        (TANH, Picard(), Status.CONVERGED),
        (TANH, NewtonGMRES(), Status.CONVERGED),
        (EXPANSIVE, NewtonGMRES(), Status.CONVERGED),
        (EXPANSIVE, Picard(), Status.DIVERGED),
        (ROTATION, Picard(), Status.MAX_STEPS),
        (NO_FIXED_POINT, Picard(), Status.MAX_STEPS),
        (NO_FIXED_POINT, NewtonGMRES(), Status.STALLED),
        (NO_FIXED_POINT, NewtonGMRES("library"), Status.STALLED),
        (TANH.poisoned(0).rows([0]), Picard(), Status.NONFINITE),
        (TANH.poisoned(0).rows([0]), NewtonGMRES(), Status.NONFINITE),
    ],
    ids=str,
)
def test_statuses(known: KnownMap, solver: Solver, status: Status):
    """Each status is produced by a map that deserves it, for every sample."""
    assert set(solve_map(known, solver, max_steps=30, rtol=1e-6).status) == {status}


def test_a_solver_that_gives_up_has_stalled():
    """A sample that the solver marks as failed ends there, unless it has converged."""
    solution = play([1.0, 0.9, 0.1], [1.0, 1e-9, 1.0], [1.0, 0.9, 0.1], failing_step=1, failing=(True, True, False))
    assert solution.status == (Status.STALLED, Status.CONVERGED, Status.MAX_STEPS)
    assert solution.steps.tolist() == [1, 1, 2]


def test_divergence_is_growth_over_the_first_residual():
    """A sample diverges when its residual exceeds `divergence` times the first, or the tolerance if that is larger."""
    statuses = play([1.0, 99.0], [1.0, 101.0], [2e-4, 2e-2], divergence=100.0, atol=1e-4).status
    assert statuses == (Status.MAX_STEPS, Status.DIVERGED, Status.MAX_STEPS)
    assert play([2e-4, 2e-2], divergence=50.0, atol=1e-4).status == (Status.DIVERGED,)
    # Converged at once, or nearly: from nothing, any growth is infinite.
    assert play([1.1e-4, 1e-2], divergence=100.0, atol=1e-4).status == (Status.MAX_STEPS,)


def test_a_nonfinite_initial_guess_is_reported_and_returned():
    """A sample without any finite iterate ends as NONFINITE at once, with a residual that is not finite either."""
    known = replace(TANH, z0=np.where(np.arange(5)[:, None] == 2, np.nan, TANH.z0))
    solution = solve_map(known, Picard())
    assert solution.status[2] is Status.NONFINITE
    assert solution.steps[2] == 0
    assert np.isnan(solution.residual_norm[2])
    assert np.isnan(solution.z[2]).all()


def test_no_steps_are_allowed():
    """With max_steps=0 the initial guess is judged and returned, for one evaluation."""
    known = replace(TANH, z0=np.concatenate([TANH.solution[:2], TANH.z0[2:]]))
    for solver in SOLVERS:
        solution = solve_map(known, solver, max_steps=0)
        assert solution.status == (Status.CONVERGED,) * 2 + (Status.MAX_STEPS,) * 3
        np.testing.assert_array_equal(solution.z, known.z0)
        assert solution.nfe == 1
        assert solution.trace.shape == (1, 5)


def test_no_samples():
    """An empty batch is solved, successfully, without a step."""
    solution = solve(lambda z: 0.5 * z, NewtonGMRES(), np.zeros((0, 3)))
    assert solution.success
    assert solution.z.shape == (0, 3)
    assert str(solution)


# --- one sample and the others


def same_bits(one: Solution, other: Solution, samples: np.ndarray) -> None:
    """Check that two solves agree bit for bit in the given samples."""
    assert np.asarray(one.status)[samples].tolist() == np.asarray(other.status)[samples].tolist()
    for name in ("z", "residual", "residual_norm", "steps"):
        np.testing.assert_array_equal(getattr(one, name)[samples], getattr(other, name)[samples], err_msg=name)


@every_per_sample_solver
@pytest.mark.parametrize("known", [TANH, STEEP, LINEAR], ids=str)
@pytest.mark.parametrize("where", ["bias", "guess"])
def test_a_nan_in_one_sample_does_not_touch_the_others(known: KnownMap, solver: Solver, where: str):
    """The others' iterates, residuals, steps and statuses are bit for bit those of a run without it."""
    sample = 3
    others = np.arange(5) != sample
    guess = np.where(others[:, None], known.z0, np.nan)
    spoilt = known.poisoned(sample) if where == "bias" else replace(known, z0=guess)
    ordinary, ill = solve_map(known, solver, max_steps=30), solve_map(spoilt, solver, max_steps=30)
    assert ill.status[sample] is Status.NONFINITE
    assert not ordinary.status[sample] is Status.NONFINITE
    same_bits(ordinary, ill, others)


@every_per_sample_solver
def test_a_nan_on_the_way_does_not_touch_the_others(solver: Solver):
    """Likewise where a sample becomes nan at its second evaluation only, in its value or in its derivative."""

    def f(z: Any, edge: Any) -> Any:
        return ops.sqrt(ops.subtract(edge, z))  # nan above the edge; the fixed point is (√(1 + 4 edge) − 1) / 2

    def jvp(z: Any, v: Any, edge: Any) -> Any:
        return ops.divide(ops.multiply(v, -0.5), f(z, edge))

    edges = np.array([[2.0], [2.5], [3.0], [0.1]])
    well = np.array([[0.5], [0.1], [0.7], [0.05]])
    ill = np.array([[0.5], [0.1], [0.7], [-0.5]])  # f(−0.5) = √0.6 is beyond the edge 0.1
    at_once = np.array([[0.5], [0.1], [0.7], [0.1]])  # f(0.1) = 0 with an infinite slope
    problem = FixedPointProblem(f, edges, jvp=jvp)
    options = SolveOptions(on_failure="record", rtol=1e-6)
    reference = solve(problem, solver, well, options)
    assert set(reference.status[:3]) == {Status.CONVERGED}
    for z0 in (ill, at_once):
        same_bits(reference, solve(problem, solver, z0, options), np.arange(4) < 3)
    if isinstance(solver, Picard):
        assert solve(problem, solver, ill, options).status[3] is Status.NONFINITE


@every_per_sample_solver
@pytest.mark.parametrize("known", [*REGULAR, STEEP, NO_FIXED_POINT], ids=str)
def test_samples_solved_one_by_one_give_the_same(known: KnownMap, solver: Solver):
    """Statuses, steps and, but for rounding, iterates do not depend on the other samples of the batch."""
    together = solve_map(known, solver, rtol=1e-6, max_steps=60)
    for i in range(len(known.bias)):
        alone = solve_map(known.rows([i]), solver, rtol=1e-6, max_steps=60)
        assert alone.status[0] is together.status[i]
        assert alone.steps[0] == together.steps[i]
        np.testing.assert_allclose(alone.z[0], together.z[i], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("known", [LINEAR, TANH, EXPANSIVE, NO_FIXED_POINT], ids=str)
def test_a_solver_that_couples_samples_agrees_within_the_tolerance(known: KnownMap):
    """With the library's GMRES, statuses do not depend on the other samples, nor do iterates beyond 10·rtol."""
    rtol = 1e-6
    together = solve_map(known, NewtonGMRES("library"), rtol=rtol)
    for i in range(len(known.bias)):
        alone = solve_map(known.rows([i]), NewtonGMRES("library"), rtol=rtol)
        assert alone.status[0] is together.status[i]
        np.testing.assert_allclose(alone.z[0], together.z[i], atol=10 * rtol)


# --- what is counted and recorded


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("known", [TANH, STEEP, NO_FIXED_POINT], ids=str)
def test_counters_are_the_real_numbers_of_calls(known: KnownMap, solver: Solver):
    """`nfe`, `njvp` and `nvjp` of a solve and of its adjoint equal what the functions themselves counted."""
    calls: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls[name] += 1
            return getattr(known, name)(*args)

        return call

    problem = FixedPointProblem(
        lambda z: counting("f")(z, known.bias),
        jvp=lambda z, v: counting("jvp")(z, v, known.bias),
        vjp=lambda z, w: counting("vjp")(z, w, known.bias),
    )
    solution = solve(problem, solver, known.z0, max_steps=20, on_failure="record")
    assert (solution.nfe, solution.njvp, solution.nvjp) == (calls["f"], calls["jvp"], calls["vjp"])
    assert solution.nfe > 1
    assert (problem.nfe, problem.njvp, problem.nvjp) == (0, 0, 0), "a solve counts from zero, on its own"
    before = calls.copy()
    adjoint = ImplicitAdjoint().pullback(problem, solution, np.ones_like(known.z0)).adjoint
    assert adjoint is not None
    assert adjoint.nfe + adjoint.njvp == calls["vjp"] - before["vjp"]
    assert adjoint.nvjp == calls["jvp"] - before["jvp"]
    assert problem.nvjp == calls["vjp"] - before["vjp"]


def test_the_trace_is_the_history_of_residuals():
    """Row k holds the norms after k steps, the guess first; a finished sample repeats its last entry."""
    solution = play([1.0, 5e-4, 7.0, 3.0], [1.0, 0.5, 0.75, 0.25], [1.0, np.nan, 1.0, 1.0])
    expected = [[1.0, 1.0, 1.0], [5e-4, 0.5, np.nan], [5e-4, 0.75, np.nan], [5e-4, 0.25, np.nan]]
    np.testing.assert_array_equal(solution.trace, expected)
    assert solution.steps.tolist() == [1, 3, 1]


def test_the_solution_keeps_what_it_came_from():
    """A solution holds its initial guess, its options and the name of its solver with its options."""
    solution = solve_map(TANH, NewtonGMRES(restart=3), rtol=1e-5)
    assert solution.z0 is not None
    np.testing.assert_array_equal(solution.z0, TANH.z0)
    assert solution.options.rtol == 1e-5
    assert "restart=3" in solution.solver
    assert "5 of 5 converged" in str(solution)


# --- what happens on failure


def failing(on_failure: str, **options: Any) -> Solution:
    """Solve with one sample converged, one nan, and three out of steps."""
    known = replace(ROTATION, z0=np.concatenate([ROTATION.solution[:1], ROTATION.z0[1:]])).poisoned(1)
    return solve_map(known, Picard(), max_steps=7, on_failure=on_failure, **options)


def test_a_failure_is_raised_with_the_evidence_and_the_next_step():
    """The error says how many samples failed, how, how far they are off, and what to do; it holds the solution."""
    with pytest.raises(ConvergenceError) as caught:
        failing("raise")
    text, solution = str(caught.value), caught.value.solution
    assert solution.status == (Status.CONVERGED, Status.NONFINITE) + (Status.MAX_STEPS,) * 3
    assert "left 4 of 5 samples unconverged" in text
    assert "3 × max_steps was reached; raise it" in text
    assert "1 × a nan or inf appeared; check the inputs" in text
    assert "after 7 steps, 8 evaluations" in text
    assert "Picard(damping=0.0)" in text
    worst = play([0.5, 0.25], [2.0, 1.5]).failure_report()
    assert "residual up to 1.50e+00" in worst


@pytest.mark.parametrize("batched", [True, False])
def test_a_failure_is_warned_about_where_solve_was_called(batched: bool):
    """The warning carries the report and points to the caller's line; the solution is returned."""
    with pytest.warns(ConvergenceWarning, match="1 of 1 samples unconverged") as caught:
        solution = solve(lambda z: z + 1, Picard(), np.zeros((1, 2)), on_failure="warn", batched=batched)
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]
    assert not solution.success


def test_a_failure_is_recorded_in_silence():
    """With on_failure="record" nothing is raised or warned about; the statuses tell."""
    assert not failing("record").success


@pytest.mark.parametrize("on_failure", ["raise", "warn", "record"])
def test_success_is_silent(on_failure: str):
    """No policy has anything to say about a solve that converged."""
    assert solve_map(TANH, NewtonGMRES(), on_failure=on_failure).success


# --- without a batch axis


@every_solver
@pytest.mark.parametrize("shape", [(), (6,), (2, 3)])
def test_unbatched_is_a_batch_of_one(solver: Solver, shape: tuple[int, ...], xp: ModuleType):
    """With batched=False all elements of z0 form one system: the answer is that of a batch of one, without its axis."""
    if xp is not np and solver == NewtonGMRES("library"):
        pytest.skip("SciPy's GMRES takes NumPy arrays")
    bias = np.linspace(-1.0, 1.0, int(np.prod(shape))).reshape(shape)
    couple = lambda z: ops.multiply(ops.sum(z), 0.1)  # noqa: E731
    f = lambda z, b: ops.tanh(ops.subtract(b, ops.add(ops.multiply(z, 0.5), couple(z))))  # noqa: E731
    b = lift(xp, bias)
    problem = FixedPointProblem(f, b)
    solution = solve(problem, solver, xp.zeros_like(b), batched=False, rtol=1e-9, atol=1e-12, max_steps=200)
    assert solution.z.shape == solution.residual.shape == solution.z0.shape == shape
    assert solution.status == (Status.CONVERGED,)
    assert len(solution.steps) == len(solution.residual_norm) == 1
    assert not solution.batched
    np.testing.assert_allclose(lower(f(solution.z, b)), lower(solution.z), atol=1e-8)
    assert problem.nfe == 0


def test_unbatched_failures_hold_an_unbatched_solution():
    """The solution in the error has the shape of z0."""
    with pytest.raises(ConvergenceError) as caught:
        solve(lambda z: z + 1, Picard(), np.zeros(3), batched=False)
    assert caught.value.solution.z.shape == (3,)


def test_z0_without_axes_needs_batched_false():
    """A scalar has no batch axis, and the error says what to pass."""
    with pytest.raises(ValueError, match="pass batched=False"):
        solve(np.cos, Picard(), np.array(0.5))


# --- what is refused


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES()], ids=str)
@pytest.mark.parametrize("batched", [True, False])
def test_f_must_keep_the_shape(solver: Solver, batched: bool):
    """A result of another shape is refused, also where it would broadcast to the right one."""
    for shape in [(1, 4), (3, 1), (4,), (3, 5), ()]:
        problem = FixedPointProblem(lambda z, shape=shape: np.zeros(shape), jvp=lambda z, v: v)
        with pytest.raises(ValueError, match=r"f must keep the shape of z: \((1, )?3, 4\) became"):
            solve(problem, solver, np.zeros((3, 4)), batched=batched)


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES()], ids=str)
def test_f_must_keep_the_dtype(solver: Solver):
    """A wider dtype is refused: it would spread from one float64 constant through a float32 solve."""
    problem = FixedPointProblem(lambda z: 0.5 * z + np.ones((2, 3)), jvp=lambda z, v: 0.5 * v)
    assert solve(problem, solver, np.zeros((2, 3))).success
    with pytest.raises(ValueError, match="keep the dtype of z: float32 became float64; give its inputs"):
        solve(problem, solver, np.zeros((2, 3), np.float32))


def test_f_must_return_an_array():
    """A list is refused."""
    with pytest.raises(TypeError, match="f must return what it is given, ndarray, it returned list"):
        solve(lambda z: [0.0], Picard(), np.zeros((1, 1)))


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES()], ids=str)
def test_solve_cannot_be_traced(solver: Solver, xp: ModuleType):
    """Differentiating through `solve` itself would be wrong; the error says what to use instead."""

    def loss(bias: Any) -> Any:
        problem = FixedPointProblem(lambda z: ops.tanh(ops.add(z, bias)))
        return ops.sum(solve(problem, solver, xp.zeros((2, 3))).z)

    with pytest.raises(TypeError, match="solve cannot be traced: .* use a sensitivity or .*DeepEquilibrium"):
        value_and_grad(loss)(xp.ones((2, 3)))


def test_an_unknown_option_is_refused():
    """An override that is no field of SolveOptions is a TypeError that names the nearest one, or all."""
    with pytest.raises(TypeError, match=r"solve has no option 'rtoll'\. Did you mean 'rtol'\?"):
        solve(np.cos, Picard(), np.zeros((1, 1)), rtoll=1e-3)
    with pytest.raises(TypeError, match=r"no option 'xyz'\. It has: rtol, atol, max_steps, norm"):
        solve(np.cos, Picard(), np.zeros((1, 1)), xyz=1e-3)


def test_overrides_change_the_options_given():
    """Overrides are laid over `options`, whose other fields remain."""
    options = SolveOptions(rtol=1e-2, max_steps=9)
    solution = solve(np.cos, Picard(), np.zeros((1, 1)), options, atol=1e-1)
    assert solution.options == SolveOptions(rtol=1e-2, max_steps=9, atol=1e-1)
    assert options.atol != 1e-1


# --- a method with its own loop


@dataclass(frozen=True)
class Bisection:
    """A whole-solve method: halve an interval, for all samples at once."""

    def run(self, problem: FixedPointProblem, z0: Any, max_steps: int) -> State:
        """Return the middle of the last interval."""
        low, high = z0 - 10.0, z0 + 10.0
        for _ in range(max_steps):
            middle = (low + high) / 2
            above = problem.residual(middle) > 0
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return State(low, problem.residual(low))


def test_a_whole_solver_is_judged_like_any_other():
    """The driver counts, tests and reports what a method with its own loop returns."""
    z0 = np.zeros((3, 1))
    solution = solve(np.cos, Bisection(), z0, rtol=1e-6, max_steps=40)
    assert solution.success
    np.testing.assert_allclose(solution.z, 0.7390851332151607, rtol=1e-5)
    assert solution.nfe == 42
    assert solution.trace.shape == (2, 3)
    few = solve(np.cos, Bisection(), z0, rtol=1e-6, max_steps=4, on_failure="record")
    assert set(few.status) == {Status.MAX_STEPS}
    none = solve(np.cos, Bisection(), z0, rtol=1e-6, max_steps=0, on_failure="record")
    assert none.nfe == 1
    np.testing.assert_array_equal(none.z, z0)


# --- on every array library


@pytest.mark.parametrize("solver", PER_SAMPLE, ids=str)
@pytest.mark.parametrize("known", REGULAR, ids=str)
@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "autodiff"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_array_library_gives_the_same_answer(known: KnownMap, solver: Solver, by_hand: bool, dtype: str):
    """Statuses, steps and iterates on strict arrays are those on NumPy's, with either kind of derivative."""
    rtol = {"float64": 1e-8, "float32": 1e-4}[dtype]
    found = {}
    for name, xp in NAMESPACES.items():
        problem = known.problem(xp, by_hand=by_hand, dtype=dtype)
        z0 = lift(xp, known.z0, dtype)
        found[name] = solve(problem, solver, z0, rtol=rtol, max_steps=40, on_failure="record")
        assert type(found[name].z) is type(z0)
        assert str(found[name].z.dtype).endswith(dtype)
    expected = found.pop("numpy")
    for solution in found.values():
        assert solution.status == expected.status
        np.testing.assert_array_equal(solution.steps, expected.steps)
        np.testing.assert_allclose(lower(solution.z), expected.z, rtol=1e-12 if dtype == "float64" else 1e-5, atol=1e-7)
        assert (solution.nfe, solution.njvp) == (expected.nfe, expected.njvp)
