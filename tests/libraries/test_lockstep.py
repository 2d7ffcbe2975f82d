from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from equilib import FixedPointProblem, Status, solve
from equilib.libraries import Ending, Sample, run_samples
from equilib.libraries.coroutine import Coroutine
from equilib.numerics.dense import JACOBIANS
from tests.arrays_under_test import NAMESPACES, lift
from tests.problems import TANH


class Bridge:
    """A whole solver made of a function of a sample."""

    def __init__(self, method, **options):
        self.method, self.options = method, options

    def run(self, problem, z0, max_steps):
        """Call the function for each sample."""
        return run_samples(problem, z0, self.method, **self.options)


def picard(sample: Sample) -> Ending:
    """Iterate, until told to stop."""
    z = sample.z0
    for _ in range(100):
        z = z + sample.residual(z)
        if sample.finished:
            break
    return Ending(gave_up=False, message="done")


def newton(sample: Sample) -> Ending:
    """Iterate with dense Jacobians, until told to stop."""
    z = sample.z0
    for _ in range(20):
        z = z - np.linalg.solve(sample.jacobian(z), sample.residual(z))
        if sample.finished:
            break
    return Ending(gave_up=True, message="enough")


def solve_slowly(method, **options):
    """Solve z = cos(z)·c, whose samples need different numbers of steps."""
    gain = np.array([[0.1], [0.5], [0.9]])
    problem = FixedPointProblem(lambda z: gain * np.cos(z), jvp=lambda z, v: -gain * np.sin(z) * v)
    return solve(problem, Bridge(method, **options), np.zeros((3, 2)), rtol=0.0, atol=1e-9, on_failure="record")


def test_a_function_stops_where_it_asks_and_goes_on_with_the_answer():
    """Questions come out in order, answers go in, and the result is what the function returns."""
    call = Coroutine(lambda: [call.ask(n) for n in range(3)])
    assert call.start() == 0
    assert [call.resume("a"), call.resume("b")] == [1, 2]
    assert call.running
    call.resume("c")
    assert not call.running
    assert call.result == ["a", "b", "c"]


def test_what_the_function_raises_comes_out():
    """The owner sees the exception when it goes on."""

    def function():
        call.ask("one")
        raise ZeroDivisionError

    call = Coroutine(function)
    assert call.start() == "one"
    with pytest.raises(ZeroDivisionError):
        call.resume(None)
    assert not call.running


def test_evaluations_are_shared_or_not():
    """In lockstep a batch costs what its slowest sample costs; one by one, the sum; the answers are the same."""
    shared, single = solve_slowly(picard), solve_slowly(picard, together=False)
    alone = []
    for gain in (0.1, 0.5, 0.9):
        f = lambda z, gain=gain: gain * np.cos(z)  # noqa: E731
        alone.append(solve(f, Bridge(picard), np.zeros((1, 2)), rtol=0.0, atol=1e-9).nfe)
    assert shared.nfe == max(alone)
    # The driver's own evaluations, of the guess and of the slope at the end, are shared in any case.
    assert single.nfe == sum(alone) - 4
    assert len(set(alone)) == 3
    np.testing.assert_array_equal(shared.z, single.z)


def test_jacobians_are_shared():
    """Samples that want a Jacobian wait for each other: one linearization serves them all."""
    solution = solve_slowly(newton)
    assert solution.success
    alone = []
    for gain in (0.1, 0.5, 0.9):
        problem = FixedPointProblem(
            lambda z, gain=gain: gain * np.cos(z), jvp=lambda z, v, gain=gain: -gain * np.sin(z) * v
        )
        alone.append(solve(problem, Bridge(newton), np.zeros((1, 2)), rtol=0.0, atol=1e-9).njvp)
    assert solution.njvp == max(alone)


def test_a_finished_sample_is_left_alone():
    """After the tolerance is met the residual is zero, and nothing is evaluated any more."""
    after = []

    def method(sample: Sample) -> Ending:
        picard(sample)
        after.append((sample.residual(sample.z0 + 1.0), sample.jacobian(sample.z0)))
        return Ending(gave_up=True)

    solution = solve_slowly(method)
    assert solution.nfe == solve_slowly(picard).nfe
    assert solution.success
    for residual, jacobian in after:
        assert not residual.any()
        np.testing.assert_array_equal(jacobian, -np.eye(2))


def test_the_same_point_is_not_evaluated_twice_in_a_row():
    """A library that asks again for the residual it has just seen costs nothing."""

    def twice(sample: Sample) -> Ending:
        np.testing.assert_array_equal(sample.residual(sample.z0), sample.residual(sample.z0))
        return Ending(gave_up=True)

    assert solve_slowly(twice).nfe == 2


def test_the_best_point_is_returned():
    """A method that wanders off returns the best point it tried, and its residual."""

    def wander(sample: Sample) -> Ending:
        for shift in (0.1, 0.4, 0.2):
            sample.residual(sample.z0 + shift)
        return Ending(gave_up=True, message="lost its way")

    z = solve(lambda z: 0.5 * np.cos(z), Bridge(wander), np.zeros((2, 2)), on_failure="record")
    np.testing.assert_array_equal(z.z, 0.4)
    assert set(z.status) == {Status.STALLED}
    assert z.state.messages == ("lost its way",) * 2


def test_divergence_is_seen():
    """Where no point was better than the guess, the last one tells how it ended, and the guess is returned."""
    solution = solve(lambda z: 3 * z + 1, Bridge(picard), np.ones((2, 1)), on_failure="record", rtol=1e-12)
    assert set(solution.status) == {Status.DIVERGED}
    np.testing.assert_array_equal(solution.z, 1.0)


def test_rounding_ends_a_sample():
    """Where the residual is one unit of rounding and the tolerance below it, the sample stalls at once."""
    f = lambda z: np.nextafter(z, np.float32(2))  # noqa: E731
    solution = solve(f, Bridge(picard), np.ones((1, 1), dtype=np.float32), rtol=1e-12, on_failure="record")
    assert solution.status == (Status.STALLED,)
    assert solution.nfe == 2
    assert "rounding" in solution.state.messages[0]


def test_what_a_method_raises_comes_out_and_no_thread_stays():
    """A bug of the bridge is not a failure to converge."""

    def broken(sample: Sample) -> Ending:
        sample.residual(sample.z0)
        raise KeyError("a bug")

    before = threading.active_count()
    with pytest.raises(KeyError, match="a bug"):
        solve_slowly(broken)
    assert threading.active_count() == before


@pytest.mark.parametrize("xp", NAMESPACES.values(), ids=NAMESPACES)
@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-6), ("float32", 2e-3)])
def test_difference_quotients_approximate_the_jacobian(xp, dtype, close):
    """Both kinds give J − I, on every array library, to the precision of the dtype."""
    found = []

    def method(sample: Sample) -> Ending:
        found.append([sample.jacobian(sample.z0, kind) for kind in JACOBIANS])
        return Ending(gave_up=True)

    problem, bridge = TANH.problem(xp, dtype=dtype), Bridge(method, together=False)
    solve(problem, bridge, lift(xp, TANH.z0, dtype), rtol=0.0, atol=0.0, on_failure="record")
    there = replace(TANH, solution=TANH.z0).jacobians() - np.eye(TANH.z0.shape[1])
    for jacobians, exact in zip(found, there, strict=True):
        np.testing.assert_allclose(jacobians[0], exact, atol=1e-6)
        np.testing.assert_allclose(jacobians[1], exact, atol=close)
