from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from equilib import FixedPointProblem, solve
from equilib.ode import SteadyState
from equilib.plugin import EntryError, SolverEntry
from equilib.plugin.registry import Registry
from equilib_sundials.cvode import CVODE
from tests.plugins.lockstep_laws import BridgeLaws
from tests.plugins.solver_laws import solve_map
from tests.problems import ROTATION, STEEP

installed = pytest.mark.skipif(find_spec("sksundae") is None, reason="scikit-sundae is not installed")

SOLVERS = [
    SteadyState(each, step_rtol=0.01, first_step=0.5)
    for each in (CVODE(), CVODE(linear_solver="dense"), CVODE(method="adams"))
]


@installed
@pytest.mark.parametrize("solver", SOLVERS, ids=["gmres", "dense", "adams"])
class TestBridges(BridgeLaws):
    """The laws of every bridge."""


@installed
@pytest.mark.parametrize("options", [{"linear_solver": "bicgstab"}, {"linear_solver": "tfqmr"}, {"krylov_size": 3}])
@pytest.mark.parametrize("known", [STEEP, ROTATION], ids=str)
def test_harder_maps(options, known):
    """Where Picard iteration diverges or is slow, the flow leads to the fixed point, with every linear solver."""
    assert solve_map(known, SteadyState(CVODE(**options), step_rtol=0.01), rtol=1e-8).success


@installed
def test_stiff_flows_take_few_steps():
    """With an eigenvalue of −2000, where an explicit stepper needs thousands of steps, forty are enough."""
    rates = np.array([1.0, 2000.0])
    solver = SteadyState(CVODE(linear_solver="dense"), step_rtol=0.01, first_step=0.5)
    problem = FixedPointProblem(lambda z: z - rates * (z - 0.5), jvp=lambda z, v: v - rates * v)
    solution = solve(problem, solver, np.zeros((3, 2)), rtol=1e-4, max_steps=60)
    np.testing.assert_allclose(solution.z, 0.5, rtol=1e-3)


@installed
def test_a_dense_jacobian_is_refused_for_large_samples():
    """The error says how large, which option would allow it, and what to use instead."""
    with pytest.raises(ValueError, match=r"11×11.*largest=10.*linear_solver=gmres"):
        solve(np.cos, SteadyState(CVODE(linear_solver="dense", largest=10)), np.zeros((2, 11)))


def test_what_cannot_be_used_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    """Without the extra both entries are there and say how to get it; with it, KINSOL says who lacks it."""
    for found, cause in (("spec", "wraps KINSOL"), (None, r"pip install 'equilib\[sundials\]'")):
        monkeypatch.setattr("equilib_sundials.find_spec", lambda name, found=found: found)
        registry = Registry()
        registry.register(__import__("equilib_sundials"), name="sundials")
        assert [each.entry.name for each in registry.provided(SolverEntry)] == ["sundials:cvode", "sundials:kinsol"]
        with pytest.raises(EntryError, match=cause):
            registry.get(SolverEntry, "sundials:kinsol").load()
        assert bool(registry.get(SolverEntry, "sundials:cvode").unavailable) == (found is None)
