from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from equilib import FixedPointProblem, ImplicitAdjoint, JacobianFree, Picard, Status, Unrolled, solve
from equilib.options import describe
from equilib.plugin import SensitivityEntry, SolverEntry
from equilib.plugin.registry import Registry
from tests.arrays_under_test import lift, lower
from tests.problems import EXPANSIVE, LINEAR, TANH


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Return what is installed here."""
    return Registry.discover()


def test_the_core_publishes_its_own_methods(registry: Registry):
    """Picard iteration and the three sensitivities are found by name, like everybody else's."""
    assert registry.get(SolverEntry, "picard").load() is Picard
    named = {name: registry.get(SensitivityEntry, name) for name in ("implicit", "jacobian-free", "unrolled")}
    assert {name: entry.load() for name, entry in named.items()} == {
        "implicit": ImplicitAdjoint,
        "jacobian-free": JacobianFree,
        "unrolled": Unrolled,
    }
    assert [name for name, entry in named.items() if entry.exact] == ["implicit"]
    assert registry.get(SolverEntry, "picard").adjoint in named


def test_what_is_published_is_ready_to_use(registry: Registry):
    """Each can be made from its defaults and explains itself and its options."""
    picard = registry.get(SolverEntry, "picard")
    assert solve(LINEAR.problem(by_hand=False), picard.load()(), LINEAR.z0, rtol=1e-6).success
    assert picard.advice
    for entry in (
        picard,
        *(registry.get(SensitivityEntry, name) for name in ("implicit", "jacobian-free", "unrolled")),
    ):
        assert entry.summary
        assert all(option.help for option in describe(type(entry.load()())))


@pytest.mark.parametrize("damping", [0.0, 0.25, 0.9])
def test_picard_by_formula(damping: float, xp: ModuleType):
    """The iterates are z ← damping·z + (1 − damping)·f(z), one evaluation each."""
    steps = 7
    z0 = lift(xp, TANH.z0)
    solution = solve(TANH.problem(xp), Picard(damping), z0, rtol=0.0, max_steps=steps, on_failure="record")
    z = TANH.z0
    for _ in range(steps):
        z = damping * z + (1 - damping) * TANH.f(z, TANH.bias)
    np.testing.assert_allclose(lower(solution.state.z), z, rtol=1e-13)
    assert solution.nfe == steps + 1


def test_damping_tames_an_oscillation():
    """With damping 0.8 the map z ↦ c − 3z − tanh z, on which Picard iteration diverges, contracts."""
    undamped = solve(EXPANSIVE.problem(), Picard(), EXPANSIVE.z0, on_failure="record")
    assert set(undamped.status) == {Status.DIVERGED}
    damped = solve(EXPANSIVE.problem(), Picard(0.8), EXPANSIVE.z0, rtol=1e-10, max_steps=100)
    np.testing.assert_allclose(damped.z, EXPANSIVE.solution, rtol=1e-8)


@pytest.mark.parametrize("damping", [1.0, -0.1, np.nan, "much"])
def test_damping_is_a_share(damping: object):
    """Outside [0, 1) damping is refused: at 1 nothing would move."""
    with pytest.raises(ValueError, match=r"Picard: option 'damping' expects a float in \[0\.0, 1\.0\)"):
        Picard(damping)  # type: ignore[arg-type]


def test_picard_needs_no_derivative():
    """A map of which nothing but values is known will do."""
    solution = solve(FixedPointProblem(np.cos), Picard(), np.array([[0.3]]), rtol=1e-8)
    assert solution.success
    assert (solution.njvp, solution.nvjp) == (0, 0)
