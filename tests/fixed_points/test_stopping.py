from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from equilib import SolveOptions, State, Status
from equilib.fixed_points.options import NORMS
from equilib.fixed_points.stopping import Monitor
from tests.arrays_under_test import lift, lower


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rtol", -1e-3),
        ("rtol", math.nan),
        ("rtol", math.inf),
        ("rtol", "small"),
        ("atol", -1.0),
        ("atol", math.inf),
        ("max_steps", -1),
        ("max_steps", 2.5),
        ("norm", "euclid"),
        ("divergence", 0.99),
        ("stagnation", 0),
        ("stagnation", 1.5),
        ("compact", -0.1),
        ("compact", 1.1),
        ("divergence", math.nan),
        ("on_failure", "ignore"),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: object):
    """A value that makes no sense is refused when the options are made, by name, with what is expected."""
    with pytest.raises(ValueError, match=rf"option '{option}' expects .*, got {value!r}"):
        SolveOptions(**{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rtol", 0),
        ("rtol", np.float32(1e-3)),
        ("atol", 0.0),
        ("max_steps", 0),
        ("divergence", math.inf),
        ("stagnation", None),
        ("stagnation", 1),
        ("compact", 0),
        ("compact", 1.0),
        ("norm", "max"),
    ],
)
def test_options_at_the_edge_are_accepted(option: str, value: object):
    """The ends of each range belong to it."""
    assert getattr(SolveOptions(**{option: value}), option) == value


def test_a_typo_in_a_choice_gets_a_hint():
    """An unknown norm or policy is answered with the nearest one."""
    with pytest.raises(ValueError, match="Did you mean 'raise'"):
        SolveOptions(on_failure="raises")


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 3, 2), (0, 3)])
def test_norms_are_those_of_each_sample(shape: tuple[int, ...], xp: ModuleType, rng: np.random.Generator):
    """Root mean square, largest absolute value and Euclidean length, over all axes but the first."""
    host = rng.standard_normal(shape)
    rows = host.reshape(shape[0], int(np.prod(shape[1:])))
    expected = {
        "rms": np.sqrt(np.mean(rows**2, axis=1)),
        "max": np.max(np.abs(rows), axis=1),
        "two": np.linalg.norm(rows, axis=1),
    }
    assert expected.keys() == NORMS.keys()
    for name, norm in NORMS.items():
        np.testing.assert_allclose(lower(norm(lift(xp, host))), expected[name], rtol=1e-13)


def test_the_default_norm_does_not_grow_with_the_size():
    """A state of more elements of the same size has the same rms and max norm: tolerances carry over."""
    for name in ("rms", "max"):
        small, large = (float(NORMS[name](np.full((1, size), 0.3))[0]) for size in (2, 2000))
        assert small == pytest.approx(large, rel=1e-12)


def test_the_monitor_tells_which_samples_improve(xp: ModuleType):
    """A sample improves when its residual is finite and the smallest so far, or when it converges."""
    monitor = Monitor(SolveOptions(rtol=0.0, atol=0.1), batch=4)

    def see(*residuals: float) -> list[bool]:
        residual = lift(xp, np.asarray(residuals)[:, None])
        with np.errstate(all="ignore"):  # as the driver does
            return monitor.observe(State(residual, residual)).tolist()

    assert see(1.0, 1.0, 0.05, np.nan) == [True, True, True, False]
    assert see(0.5, 2.0, 0.01, 0.01) == [True, False, False, False]
    assert see(0.7, np.inf, 0.01, 0.01) == [False, False, False, False]
    assert see(0.1, 0.01, 0.0, 0.0) == [True, False, False, False]
    assert monitor.status.tolist() == [Status.CONVERGED, Status.NONFINITE, Status.CONVERGED, Status.NONFINITE]
    assert monitor.steps.tolist() == [3, 2, 0, 0]
    np.testing.assert_allclose(monitor.best, [0.1, 1.0, 0.05, np.inf])
    assert not monitor.active.any()


def test_residuals_are_not_compared_with_coarse_ones():
    """One that is rounded more is the best only until the next; all that ask whether there were such hear the same."""
    coarse = SimpleNamespace(number=0, over=False)
    monitors = [Monitor(SolveOptions(rtol=0.0, atol=1e-3), batch=1, coarse=coarse) for _ in range(2)]

    def see(residual: float) -> list[bool]:
        return [bool(each.observe(State(np.ones((1, 1)), np.full((1, 1), residual)))[0]) for each in monitors]

    coarse.number = 1
    assert see(0.1) == [True, True]
    coarse.number, coarse.over = 2, True
    assert see(0.2) == [True, True]
    assert see(0.5) == [True, True]
    assert see(0.6) == [False, False]
    assert see(0.4) == [True, True]
    assert [each.best.tolist() for each in monitors] == [[0.4], [0.4]]


def test_the_tolerance_follows_the_size_of_the_iterate():
    """The monitor publishes atol + rtol·‖z‖ of the last state, for solvers that stop at it."""
    monitor = Monitor(SolveOptions(rtol=0.1, atol=1.0), batch=2)
    monitor.observe(State(np.array([[2.0], [0.0]]), np.array([[9.0], [9.0]])))
    np.testing.assert_allclose(monitor.tolerance, [1.2, 1.0])
    monitor.observe(State(np.array([[0.0], [5.0]]), np.array([[9.0], [9.0]])))
    np.testing.assert_allclose(monitor.tolerance, [1.0, 1.5])


def test_an_infinite_iterate_has_not_converged():
    """A zero residual at an iterate that is not finite is no fixed point."""
    monitor = Monitor(SolveOptions(), batch=1)
    monitor.observe(State(np.array([[np.inf]]), np.array([[0.0]])))
    assert monitor.status.tolist() == [Status.NONFINITE]


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_a_test_can_be_relative_or_absolute_only(size: float):
    """With `atol=0` the residual is compared with the size of z alone, with `rtol=0` with `atol` alone."""

    def status(residual: float, **options: float) -> Status:
        monitor = Monitor(SolveOptions(**options), batch=1)  # type: ignore[arg-type]
        monitor.observe(State(np.array([[size]]), np.array([[residual]])))
        found: Status = monitor.status[0]
        return found

    R, C = Status.RUNNING, Status.CONVERGED
    assert [status(each * size, atol=0.0, rtol=1e-3) for each in (0.99e-3, 1.01e-3)] == [C, R]
    assert [status(each, atol=1e-3, rtol=0.0) for each in (0.99e-3, 1.01e-3)] == [C, R]
    both = 1e-3 + 1e-3 * size
    assert [status(each * both, atol=1e-3, rtol=1e-3) for each in (0.99, 1.01)] == [C, R]


def stagnation(limit: int | None, *residuals: float) -> list[Status]:
    """Return the status of one sample after each of its residuals."""
    monitor = Monitor(SolveOptions(rtol=0.0, atol=1e-3, stagnation=limit, divergence=math.inf), batch=1)
    found = []
    for residual in residuals:
        monitor.observe(State(np.ones((1, 1)), np.full((1, 1), residual)))
        found.append(monitor.status[0])
    return found


def test_a_sample_that_does_not_come_further_has_stalled():
    """After `stagnation` steps in a row without 1 % less than at the last progress, and not before."""
    R, S, C = Status.RUNNING, Status.STALLED, Status.CONVERGED
    assert stagnation(3, 1.0, 1.0, 1.0, 1.0) == [R, R, R, S]
    assert stagnation(3, 1.0, 0.995, 1.5, 0.985, 0.985, 7.0, 0.98) == [R, R, R, R, R, R, S]
    assert stagnation(1, 1.0, 0.5, 0.25, 0.25) == [R, R, R, S]
    assert stagnation(2, 1.0, 1.0, 1e-9) == [R, R, C]
    assert stagnation(None, *[1.0] * 50) == [R] * 50


def test_slow_but_steady_is_not_stagnation():
    """The comparison is with the last progress, not with the last step: half a percent a step is fine."""
    assert set(stagnation(3, *(0.995**k for k in range(300)))) == {Status.RUNNING}
    assert stagnation(3, *(0.9999**k for k in range(10)))[-1] is Status.STALLED


def test_a_residual_that_goes_up_and_down_comes_further_by_its_best():
    """What counts is the smallest residual so far, so that a method that is not monotone is given time."""
    residuals = [0.9 ** (k // 4) * (1.0, 5.0, 3.0, 2.0)[k % 4] for k in range(60)]
    assert set(stagnation(4, *residuals)) == {Status.RUNNING}
    assert Status.STALLED in stagnation(3, *residuals)


def test_samples_that_are_not_watched_count_as_converged():
    """A monitor of some samples keeps the others out, and their steps, best residuals and traces as they are."""
    monitor = Monitor(SolveOptions(), batch=3, active=np.array([True, False, True]))
    for residual in (1.0, 0.0):
        improved = monitor.observe(State(np.ones((3, 1)), np.full((3, 1), residual)))
        assert improved.tolist() == [True, False, True]
    assert monitor.status.tolist() == [Status.CONVERGED] * 3
    assert monitor.steps.tolist() == [1, 0, 1]
    assert monitor.best.tolist() == [0.0, math.inf, 0.0]


def test_states_of_some_samples_leave_the_others_alone():
    """With `rows` a state tells about these samples only: its improvements are theirs, in their order."""
    monitor = Monitor(SolveOptions(rtol=0.0, atol=0.1), batch=4)

    def see(rows: list[int], *residuals: float) -> list[bool]:
        residual = np.asarray(residuals)[:, None]
        return monitor.observe(State(residual, residual), np.array(rows)).tolist()

    assert see([0, 1, 2, 3], 1.0, 0.0, 2.0, 3.0) == [True, True, True, True]
    assert see([2, 0], 1.0, 5.0) == [True, False]
    assert see([0, 2], 0.05, 0.05) == [True, True]
    np.testing.assert_array_equal(monitor.best, [0.05, 0.0, 0.05, 3.0])
    np.testing.assert_array_equal(np.stack(monitor.trace)[:, :3], [[1, 0, 2], [5, 0, 1], [0.05, 0, 0.05]])


def test_every_status_is_its_own_message():
    """Each status explains itself in one sentence, different from the others."""
    texts = [status.value for status in Status]
    assert len(set(texts)) == len(texts)
    assert all(len(text) > 20 and not text.endswith(".") for text in texts)
    assert repr(Status.STALLED) == "Status.STALLED"
