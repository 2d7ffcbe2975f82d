from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Picard, Solution, Solver, State, Status, ops, solve
from equilib.diagnostics.history import residual_history
from equilib.fixed_points.compaction import restricted_state
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.options import SolveOptions
from equilib_anderson.solver import Anderson
from equilib_broyden.limited import LimitedMemoryBroyden
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.installed import iterative_solvers

BATCH, SIZE = 8, 4
RTOL = 1e-8
_rng = np.random.default_rng(11)
MATRIX = _rng.standard_normal((SIZE, SIZE))
MATRIX *= 0.9 / np.linalg.norm(MATRIX, 2)
BIAS = _rng.uniform(-1.0, 1.0, (BATCH, SIZE))
# The gain of a sample is how hard it is: they finish one after another, the last but one long before the last.
GAIN = np.linspace(0.01, 0.5, BATCH)[_rng.permutation(BATCH)][:, None]
HARDEST = int(np.argmax(GAIN))
GAIN[HARDEST] = 1.0
# One has converged before the first step.
EASIEST = int(np.argmin(GAIN))
GAIN[EASIEST] = BIAS[EASIEST] = 0.0


every_solver = pytest.mark.parametrize("solver", iterative_solvers())


@dataclass
class Watched:
    """z ↦ tanh(gain · z M + bias), which notes the size of each batch that it is given."""

    sizes: list[int] = field(default_factory=list)

    def __call__(self, z: Any, M: Any, own: Any) -> Any:
        """Evaluate the map."""
        self.sizes.append(z.shape[0])
        return ops.tanh(ops.add(ops.multiply(ops.matmul(z, M), own["gain"]), own["bias"]))

    def problem(self, xp: ModuleType = np, *, declared: bool = True, rows: Any = slice(None)) -> FixedPointProblem:
        """Return the problem on arrays of `xp`."""
        own = {"gain": lift(xp, GAIN[rows]), "bias": lift(xp, BIAS[rows])}
        return FixedPointProblem(self, lift(xp, MATRIX), own, batched_inputs=(False, True) if declared else None)

    def solve(self, solver: Solver, xp: ModuleType = np, *, declared: bool = True, **options: Any) -> Solution:
        """Solve from zero, with a note of this solve's batches only."""
        self.sizes.clear()
        options = {"rtol": RTOL, "max_steps": 500, "on_failure": "record", **options}
        return solve(self.problem(xp, declared=declared), solver, lift(xp, np.zeros((BATCH, SIZE))), **options)


# --- every solver


@every_solver
def test_every_solver_gives_the_same_answers_with_fewer_evaluations(solver: Solver):
    """Without the finished samples: the same statuses, answers to the tolerance, and a saving that f itself sees."""
    f = Watched()
    whole = f.solve(solver, compact=0.0)
    assert set(f.sizes) == {BATCH}
    for share in (0.5, 1.0):
        found = f.solve(solver, compact=share)
        assert found.status == whole.status == (Status.CONVERGED,) * BATCH
        np.testing.assert_allclose(found.z, whole.z, rtol=10 * RTOL, atol=10 * RTOL)
        assert (len(f.sizes), sum(f.sizes)) == (found.nfe, found.sample_nfe)
        # With the default share a solver that is done in a few steps may have nothing to remove.
        assert found.sample_nfe < found.nfe * BATCH or (share < 1 and found.nfe <= 7)
        assert f.sizes[0] == BATCH
        assert f.sizes == sorted(f.sizes, reverse=True)
        residual = f(found.z, MATRIX, {"gain": GAIN, "bias": BIAS}) - found.z
        np.testing.assert_allclose(found.residual, residual, atol=1e-12)


@every_solver
def test_every_state_is_whole_at_the_end(solver: Solver):
    """The last state has all samples: its iterates and residuals belong to each other, and its arrays to the batch."""
    found = Watched().solve(solver, compact=1.0)
    state = found.state
    own = {"gain": GAIN, "bias": BIAS}
    np.testing.assert_allclose(Watched()(state.z, MATRIX, own) - state.z, state.residual, atol=1e-12)
    np.testing.assert_allclose(state.z, found.z, rtol=10 * RTOL, atol=10 * RTOL)
    rows = np.array([2, 5])
    restricted = restricted_state(Evaluator(Watched().problem(rows=rows), state.z[rows]), state, rows)
    np.testing.assert_array_equal(restricted.z, state.z[[2, 5]])


@every_solver
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_every_solver_does_so_on_every_array_library(solver: Solver, share: float, xp: ModuleType):
    """Strict arrays give NumPy's steps and answers."""
    expected = Watched().solve(solver, compact=share)
    found = Watched().solve(solver, xp, compact=share)
    assert found.status == expected.status
    assert (found.nfe, found.sample_nfe, found.njvp) == (expected.nfe, expected.sample_nfe, expected.njvp)
    np.testing.assert_array_equal(found.steps, expected.steps)
    np.testing.assert_allclose(lower(found.z), expected.z, rtol=1e-12)


@every_solver
def test_a_nan_is_removed_and_the_rest_goes_on(solver: Solver):
    """A sample that ends as NONFINITE is removed like any finished one."""
    z0 = np.zeros((BATCH, SIZE))
    z0[3] = np.nan
    f = Watched()
    found = solve(f.problem(), solver, z0, rtol=RTOL, max_steps=500, compact=1.0, on_failure="record")
    assert found.status[3] is Status.NONFINITE
    assert np.isnan(found.z[3]).all()
    assert [status for i, status in enumerate(found.status) if i != 3] == [Status.CONVERGED] * (BATCH - 1)


# --- the driver


def elementwise(gains: np.ndarray) -> FixedPointProblem:
    """Return z ↦ gain · cos(z), whose values depend on the element alone, bit for bit."""
    return FixedPointProblem(lambda z, gain: gain * np.cos(z), gains, batched_inputs=(True,))


@pytest.mark.parametrize("solver", [Picard(), Picard(damping=0.3), Anderson(), LimitedMemoryBroyden()], ids=str)
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9, 1.0])
def test_nothing_changes_by_a_bit(solver: Solver, share: float):
    """Where f computes an element by itself, a solve without finished samples is that with them, bit for bit."""
    problem = elementwise(np.linspace(0.05, 0.95, 12)[:, None] * np.ones((12, 3)))
    options: dict[str, Any] = {"rtol": 1e-9, "max_steps": 40, "on_failure": "record"}
    z0 = np.zeros((12, 3))
    whole, found = (solve(problem, solver, z0, compact=each, **options) for each in (0.0, share))
    assert len(set(whole.steps)) > 3, "the samples should end at different times"
    for name in ("z", "residual", "residual_norm", "steps", "trace"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)
    assert found.status == whole.status
    assert found.nfe == whole.nfe
    assert found.sample_nfe < whole.sample_nfe


def test_samples_are_removed_when_the_rest_is_a_share_of_the_batch():
    """f is evaluated on the unfinished samples alone as soon as they are `compact` of those it was evaluated on."""
    f = Watched()
    left = f.solve(Picard(), compact=0.0).steps
    unfinished = [int(np.sum(left > step)) for step in range(max(left))]
    for share in (0.25, 0.5, 0.8, 1.0):
        expected, size = [BATCH], BATCH
        for count in unfinished:
            size = count if count <= share * size else size
            expected.append(size)
        found = f.solve(Picard(), compact=share)
        slopes = Counter(f.sizes) - Counter(expected)
        assert f.sizes == sorted(f.sizes, reverse=True)
        assert not Counter(expected) - Counter(f.sizes)
        assert slopes.total() == found.nfe - len(found.trace)
    assert len(set(expected)) > 4


@pytest.mark.parametrize(
    ("solver", "declared", "compact"),
    [(Picard(), False, 1.0), (Picard(), True, 0.0), (NewtonGMRES(), False, 1.0)],
    ids=["not declared", "switched off", "not declared, with derivatives"],
)
def test_without_a_declaration_f_sees_the_whole_batch(solver: Solver, declared: bool, compact: float):
    """f may depend on what is not among its inputs: only a problem that says otherwise is restricted."""
    f = Watched()
    found = f.solve(solver, declared=declared, compact=compact)
    assert set(f.sizes) == {BATCH}
    assert found.sample_nfe == found.nfe * BATCH


@dataclass(frozen=True)
class Sharing:
    """Picard iteration with a state that samples share."""

    def init(self, f: Evaluator, z0: Any) -> Any:
        """Put a history of its own into the state."""
        return SharedState(z0, f.residual(z0), np.zeros((2, 3)))

    def step(self, f: Evaluator, state: Any) -> Any:
        """Return the next iterate."""
        z = state.z + state.residual
        return SharedState(z, f.residual(z), state.history)


@dataclass(frozen=True)
class SharedState(State):
    """A state with an array that is not one of samples."""

    history: np.ndarray


class Refusing(Sharing):
    """The same, said by the solver."""

    restrict = None


@pytest.mark.parametrize("solver", [Sharing(), Refusing()])
def test_a_state_that_samples_share_stays_whole(solver: Solver):
    """Where a state cannot be taken apart, or the solver says so, every evaluation is of the whole batch."""
    f = Watched()
    assert f.solve(solver, compact=1.0).success
    assert set(f.sizes) == {BATCH}


def test_a_map_without_inputs_can_be_declared_too():
    """`batched_inputs=()` says that f itself takes any number of samples."""
    sizes = []

    def f(z: Any) -> Any:
        sizes.append(len(z))
        return np.cos(z)

    z0 = np.array([[0.739], [5.0], [0.0]])
    found = solve(FixedPointProblem(f, batched_inputs=()), Picard(), z0, rtol=1e-3, compact=1.0)
    assert found.success
    assert sizes[0] == 3
    assert sizes[-1] < 3


@pytest.mark.parametrize("solver", iterative_solvers())
def test_an_f_that_needs_all_samples_is_told_who_took_them(solver: Solver):
    """What f raises once samples have left the batch is noted with how many are left; `compact=0` keeps all of them."""
    gains = np.array([0.0, 0.0, 1.0, 0.0])[:, None]

    def f(z: Any) -> Any:
        return ops.multiply(gains, ops.cos(z))

    problem = FixedPointProblem(f, batched_inputs=())
    with pytest.raises(ValueError, match=r"keep the shape of z|broadcast") as caught:
        solve(problem, solver, np.zeros((4, 1)), rtol=1e-8, max_steps=200)
    assert any(
        "1 of 4 samples are left in the batch" in note and "compact=0" in note for note in caught.value.__notes__
    )
    assert solve(problem, solver, np.zeros((4, 1)), rtol=1e-8, max_steps=200, compact=0.0).success


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES(), Anderson()], ids=str)
def test_one_sample_or_all_at_once_need_no_removal(solver: Solver):
    """A batch of one, an empty one, and one whose samples finish together are solved as they are."""
    for gains in (np.full((1, 2), 0.5), np.full((4, 2), 0.5), np.zeros((0, 2))):
        problem = FixedPointProblem(
            lambda z, gain: ops.multiply(gain, ops.tanh(ops.add(z, 1.0))), gains, batched_inputs=(True,)
        )
        found = solve(problem, solver, np.zeros_like(gains), rtol=1e-8, compact=1.0)
        assert found.success
        assert found.sample_nfe == found.nfe * len(gains)


def test_what_is_removed_costs_newton_an_evaluation():
    """A linearization belongs to its batch: after a removal there is a new one, of the samples that are left."""
    f = Watched()
    whole, found = f.solve(NewtonGMRES(), compact=0.0), f.solve(NewtonGMRES(), compact=0.5)
    removals = len(set(f.sizes)) - 1
    assert removals > 0
    assert found.nfe == whole.nfe + removals
    assert found.njvp == whole.njvp


def test_batches_that_end_in_failure_are_put_together_too():
    """Best iterates, residuals, steps and traces come back to their places, whatever the status."""
    slopes = np.array([[0.1], [-3.0], [0.99], [0.2], [1.0]])
    shift = np.array([[1.0], [1.0], [1.0], [1.0], [5.0]])
    problem = FixedPointProblem(lambda z, a, b: a * z + b, slopes, shift, batched_inputs=(True, True))
    options: dict[str, Any] = {"rtol": 1e-6, "max_steps": 20, "on_failure": "record", "divergence": 100.0}
    whole, found = (solve(problem, Picard(), np.zeros((5, 1)), compact=each, **options) for each in (0.0, 1.0))
    C, M, D = Status.CONVERGED, Status.MAX_STEPS, Status.DIVERGED
    assert found.status == whole.status == (C, D, M, C, M)
    for name in ("z", "residual", "residual_norm", "steps", "trace"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)


def test_histories_are_of_the_whole_batch():
    """`residual_history` sees every sample at every evaluation."""
    f = Watched()
    options = SolveOptions(rtol=RTOL, max_steps=500, compact=1.0)
    history = residual_history(f.problem(), Picard(), np.zeros((BATCH, SIZE)), options)
    assert set(f.sizes) == {BATCH}
    assert history.residual.shape == (history.solution.nfe, BATCH)


# --- mistakes


def test_a_declaration_that_is_wrong_is_refused():
    """An input without the batch axis is named before the first evaluation, not when the first sample finishes."""
    own = {"gain": GAIN, "bias": BIAS[0]}
    f = Watched()
    wrong = FixedPointProblem(f, MATRIX, own, batched_inputs=(False, True))
    with pytest.raises(ValueError, match=r"input 1 .* 'bias' in it has the shape \(4,\) where z0 has 8 samples"):
        solve(wrong, Picard(), np.zeros((BATCH, SIZE)))
    assert not f.sizes
    with pytest.raises(ValueError, match=r"for each of the 2 inputs .* it has 1 entries"):
        FixedPointProblem(f, MATRIX, own, batched_inputs=(True,))
    with pytest.raises(ValueError, match="say which inputs have the batch axis"):
        f.problem(declared=False).restricted(np.array([0]))
