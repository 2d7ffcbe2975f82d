"""What the plugin publishes, and that it can be built from names and text."""

from __future__ import annotations

import numpy as np
import pytest

import equilib_ode
import equilib_reference
from equilib import solve
from equilib.ode.integration import integrate
from equilib.ode.steady_state import SteadyState
from equilib.plugin import IntegratorEntry, SolverEntry
from equilib.plugin.choosing import build_named, choose
from equilib.plugin.registry import Registry

NAMES = ["bdf", "bs3", "dopri5", "kencarp47", "tsit5", "vcab3", "vcabm"]
"""Those that are solvers as well."""

INTEGRATORS_ONLY = ["auto", "euler", "midpoint", "rk4"]


@pytest.fixture
def registry() -> Registry:
    """Return a registry with this plugin alone."""
    registry = Registry()
    registry.register(equilib_ode, name="ode")
    return registry


def test_every_integrator_is_a_solver_too(registry: Registry) -> None:
    """Names of integrators are those of solvers, beside the solver of them all; but not of those of equal steps."""
    assert [each.entry.name for each in registry.provided(SolverEntry)] == sorted(["steady", *NAMES])
    assert [each.entry.name for each in registry.provided(IntegratorEntry)] == sorted([*NAMES, *INTEGRATORS_ONLY])


@pytest.mark.parametrize("name", NAMES)
def test_solvers_take_their_options_from_text(registry: Registry, name: str) -> None:
    """A solver built from text solves, and is the steady state of the integrator of its name."""
    solver = build_named(registry, SolverEntry, f"{name}:step_rtol=0.02,first_step=0.4").part
    assert isinstance(solver, SteadyState)
    assert solver.step_rtol == 0.02
    assert isinstance(solver.integrator, registry.get(IntegratorEntry, name).load())
    found = solve(lambda z: 0.5 * np.cos(z), solver, np.zeros((2, 3)), max_steps=100)
    np.testing.assert_allclose(found.z, 0.4501836112948736, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_and_the_general_form_are_one_solver(registry: Registry, name: str) -> None:
    """`tsit5` is `steady:integrator=tsit5`, with the preferences that suit the integrator."""
    one, other = (
        build_named(registry, SolverEntry, spec).part for spec in (name, f"steady:integrator={name},first_step=1")
    )
    assert one == other
    assert one.step_rtol == (0.1 if name == "vcab3" else 0.03)


@pytest.mark.parametrize("name", [*NAMES, *INTEGRATORS_ONLY])
def test_integrators_integrate(registry: Registry, name: str) -> None:
    """An integrator from the registry is what `integrate` takes."""
    found = integrate(lambda t, y: -y, np.ones((1, 1)), [0, 1], registry.get(IntegratorEntry, name).load()())
    assert found.y[-1, 0, 0] == pytest.approx(np.exp(-1), abs=2e-2)


def test_the_order_bound_reaches_the_integrator(registry: Registry) -> None:
    """An option of the integrator is an option of the solver."""
    solver = build_named(registry, SolverEntry, "vcabm:integrator.max_order=3").part
    assert solver.integrator.max_order == 3
    assert "max_order=3" in str(solver)


@pytest.mark.parametrize("name", NAMES)
def test_a_preference_for_few_steps_is_not_for_time_steps(registry: Registry, name: str) -> None:
    """An experiment's limit that suits a Newton method is raised to one of use, unless it was meant for this solver."""
    registry.register(equilib_reference, name="reference")

    def limit(options: dict[str, str], meant_for: str = "picard") -> int:
        method = choose(
            registry,
            name,
            options=options,
            defaults={"max_steps": 10},
            defaults_for=meant_for,
        )
        return method.options.max_steps

    assert limit({}) == 100
    assert limit({"max_steps": "7"}) == 7
    assert limit({}, meant_for=name) == 10
