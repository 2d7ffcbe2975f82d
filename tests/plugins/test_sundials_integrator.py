from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

import equilib_sundials
from equilib.ode import integrate
from equilib.options import OptionError
from equilib.plugin import IntegratorEntry
from equilib.plugin.registry import Registry
from equilib_sundials.cvode import CVODE
from tests.library_laws import LibraryLaws

installed = pytest.mark.skipif(find_spec("sksundae") is None, reason="scikit-sundae is not installed")
INTEGRATORS = [CVODE(), CVODE(method="adams", linear_solver="dense")]


@installed
@pytest.mark.parametrize("integrator", INTEGRATORS, ids=["bdf", "adams-dense"])
class TestCVODE(LibraryLaws):
    """The laws of every library's integrator."""


@installed
def test_a_stiff_equation_takes_few_steps() -> None:
    """Where the fastest time constant is 1e-4, the steps are not bounded by it."""
    f = lambda t, y: -np.array([1.0, 1e4]) * (y - np.cos(t))  # noqa: E731
    for linear_solver in ("gmres", "dense"):
        found = integrate(f, np.zeros((2, 2)), [0, 5], CVODE(linear_solver=linear_solver), per_sample=True)
        assert found.accepted.max() < 300


@installed
def test_the_interpolant_is_cvodes_own() -> None:
    """Values in a step come without evaluations, and are as good as those at its ends."""
    f = lambda t, y: np.cos(t) - y  # noqa: E731
    plain, dense = (
        integrate(f, np.zeros((1, 1)), [0, 3], CVODE(), rtol=1e-9, atol=1e-9, dense=dense) for dense in (False, True)
    )
    assert plain.nfe == dense.nfe
    for t in np.linspace(0.01, 2.99, 50):
        assert dense.trajectory(t).item() == pytest.approx((np.cos(t) + np.sin(t) - np.exp(-t)) / 2, abs=1e-7)


@pytest.mark.parametrize("options", [{"method": "rk"}, {"krylov_size": 0}, {"jacobian": "exakt"}, {"largest": 0}])
def test_options_out_of_range_are_refused(options) -> None:
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        CVODE(**options)


def test_it_is_listed() -> None:
    """`equilib integrators` has it under the name of the solver, with the reason where it cannot be used."""
    registry = Registry()
    registry.register(equilib_sundials, name="sundials")
    (only,) = registry.provided(IntegratorEntry)
    assert only.entry.name == "sundials:cvode"
    assert bool(only.entry.unavailable) == (find_spec("sksundae") is None)
    assert only.entry.unavailable or only.entry.load() is CVODE
