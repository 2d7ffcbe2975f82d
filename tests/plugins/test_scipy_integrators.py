from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import equilib_scipy
from equilib import solve
from equilib.ode import SteadyState, integrate
from equilib.plugin import IntegratorEntry
from equilib.plugin.registry import Registry
from equilib_scipy.integrators import BDF, DOP853, LSODA, RK45, Radau
from tests.library_laws import LibraryLaws

INTEGRATORS = [RK45(), DOP853(), LSODA(), BDF(), Radau()]


@pytest.mark.parametrize("integrator", INTEGRATORS, ids=lambda each: type(each).__name__)
class TestScipy(LibraryLaws):
    """The laws of every library's integrator."""


@pytest.mark.parametrize("integrator", INTEGRATORS, ids=lambda each: type(each).__name__)
def test_the_steps_are_scipys_own(integrator) -> None:
    """One sample takes the steps of `solve_ivp` and spends no evaluation more: the first slope is asked for once."""
    from scipy.integrate import solve_ivp

    f = lambda t, y: np.cos(t) * y - y**3  # noqa: E731
    times = np.linspace(0, 4, 9)
    theirs = solve_ivp(f, (0, 4), np.array([0.3, 1.5]), type(integrator).__name__, t_eval=times, rtol=1e-5, atol=1e-7)
    ours = integrate(f, np.array([[0.3, 1.5]]), times, integrator, rtol=1e-5, atol=1e-7)
    if type(integrator).__name__ in ("BDF", "Radau"):  # whose Jacobians SciPy makes with other widths
        np.testing.assert_allclose(ours.y[:, 0].T, theirs.y, rtol=1e-3)
    else:
        np.testing.assert_allclose(ours.y[:, 0].T, theirs.y, rtol=1e-12)
        assert ours.nfe <= theirs.nfev


def test_a_stiff_equation_takes_few_steps() -> None:
    """Where the fastest time constant is 1e-4, implicit methods take steps that are not bounded by it."""
    f = lambda t, y: -np.array([1.0, 1e4]) * (y - np.cos(t))  # noqa: E731
    for integrator in (LSODA(), BDF(), Radau()):
        assert integrate(f, np.zeros((2, 2)), [0, 5], integrator, per_sample=True).accepted.max() < 200
    assert integrate(f, np.zeros((2, 2)), [0, 0.5], RK45()).accepted.max() > 1000


def test_what_an_integration_takes_is_freed() -> None:
    """Many stiff integrations, one after the other, leave no array behind, as LSODA of SciPy 1.17 does by itself."""
    rates = -np.linspace(1.0, 1e4, 60)
    tracemalloc.start()
    try:
        for number in range(5):
            integrate(lambda t, y: rates * y, np.ones((1, 60)), [0, 0.3], LSODA())
            if number == 1:
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
        gc.collect()
        growth = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert growth < 8 * 60**2


def test_single_precision_has_jacobians_that_fit() -> None:
    """Difference quotients are as wide as the numbers of f are coarse: stiff equations work in float32, too."""
    f = lambda t, y: np.asarray([-1.0, -1e4], dtype=np.float32) * y + np.float32(1)  # noqa: E731
    found = integrate(f, np.ones((1, 2), dtype=np.float32), [0, 3], BDF(), rtol=1e-3, atol=1e-4)
    assert found.accepted[0] < 100


def test_a_dense_jacobian_is_refused_for_large_systems() -> None:
    """The error names the size of the system, the batch where it steps as one, and the option."""
    with pytest.raises(ValueError, match=r"12×12.*largest=10"):
        integrate(lambda t, y: -y, np.ones((3, 4)), [0, 1], BDF(largest=10))
    assert integrate(lambda t, y: -y, np.ones((3, 4)), [0, 1], BDF(largest=10), per_sample=True).success


def test_they_are_listed() -> None:
    """`equilib integrators` has them by the names of the solvers, and what it lists can be built."""
    registry = Registry()
    registry.register(equilib_scipy, name="scipy")
    assert [each.entry.name for each in registry.provided(IntegratorEntry)] == [
        "scipy:bdf",
        "scipy:dop853",
        "scipy:lsoda",
        "scipy:radau",
        "scipy:rk45",
    ]
    for each in registry.provided(IntegratorEntry):
        assert each.entry.load()().order == each.entry.order


def test_the_steady_state_is_that_of_other_solvers() -> None:
    """`SteadyState` with SciPy's integrator arrives at the fixed point of z = cos(z) / 2."""
    found = solve(lambda z: 0.5 * np.cos(z), SteadyState(RK45()), np.zeros((2, 3)), rtol=1e-8, max_steps=100)
    np.testing.assert_allclose(found.z, 0.4501836112948736, atol=1e-7)
