from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest

from equilib import SolveOptions, State, Status
from equilib.convergence import NORMS, Monitor
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
        return monitor.observe(State(residual, residual)).tolist()

    assert see(1.0, 1.0, 0.05, np.nan) == [True, True, True, False]
    assert see(0.5, 2.0, 0.01, 0.01) == [True, False, False, False]
    assert see(0.7, np.inf, 0.01, 0.01) == [False, False, False, False]
    assert see(0.1, 0.01, 0.0, 0.0) == [True, False, False, False]
    assert monitor.status.tolist() == [Status.CONVERGED, Status.NONFINITE, Status.CONVERGED, Status.NONFINITE]
    assert monitor.steps.tolist() == [3, 2, 0, 0]
    np.testing.assert_allclose(monitor.best, [0.1, 1.0, 0.05, np.inf])
    assert not monitor.active.any()


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


def test_every_status_is_its_own_message():
    """Each status explains itself in one sentence, different from the others."""
    texts = [status.value for status in Status]
    assert len(set(texts)) == len(texts)
    assert all(len(text) > 20 and not text.endswith(".") for text in texts)
    assert repr(Status.STALLED) == "Status.STALLED"
