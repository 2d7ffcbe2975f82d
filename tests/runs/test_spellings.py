"""Records of the first format: solvers and adjoints as they were spelled, read as they are spelled today."""

from __future__ import annotations

from typing import Any

import pytest

from equilib import GMRES, ImplicitAdjoint
from equilib.numerics.bicgstab import BiCGStab
from equilib.ode.steady_state import SteadyState
from equilib.plugin import SensitivityEntry, SolverEntry
from equilib.plugin.choosing import build_named, choose
from equilib.plugin.registry import Registry
from equilib.runs.request import RunRequest
from equilib.runs.spellings import FORMAT, modern, spec_of
from equilib_anderson.solver import Anderson
from equilib_auto.solver import Auto
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcabm import VCABM
from equilib_pseudo_transient.solver import PseudoTransient
from equilib_scipy.integrators import BDF, RK45

REGISTRY = Registry.discover()
NEWTON = {"restart": 20, "forcing": 0.1, "globalization": "line-search", "backtracks": 8}
STEPS = {"step_rtol": 0.03, "first_step": 1.0, "rtol": None, "max_steps": 500}
SOLVE = {"rtol": 0.001, "max_steps": 20, "norm": "rms"}


def recorded(solver: dict[str, Any], adjoint: dict[str, Any], /, **request: Any) -> dict[str, Any]:
    """Return what a run of the first format recorded of its method."""
    method = {"solver": solver, "adjoint": {**adjoint, "exact": True}, "fallback": [solver], "solve": SOLVE}
    return {"method": method, "request": RunRequest(experiment="mnist", **request).describe()}


def part(name: str, **options: Any) -> dict[str, Any]:
    """Return the record of a solver or an adjoint."""
    return {"name": name, "options": options}


def named(spec: str) -> Any:
    """Return the adjoint of that name with those options."""
    return build_named(REGISTRY, SensitivityEntry, spec).part


PICARD, IMPLICIT = part("picard", damping=0.0), part("implicit", solver="gmres", rtol=None, max_steps=None)


@pytest.mark.parametrize(
    ("old", "solver"),
    [
        (part("newton-gmres", linear_solver="batched", **NEWTON), NewtonGMRES(enlarge=False)),
        (
            part("newton-gmres", linear_solver="batched", **{**NEWTON, "restart": 10}),
            NewtonGMRES(GMRES(10), enlarge=False),
        ),
        (part("newton-gmres", linear_solver="bicgstab", **NEWTON), NewtonGMRES(BiCGStab(20), enlarge=False)),
        (
            part("newton-gmres", linear_solver="bicgstab", **{**NEWTON, "restart": 1}),
            NewtonGMRES(BiCGStab(2), enlarge=False),
        ),
        (
            part("newton-gmres", linear_solver="library", **NEWTON),
            NewtonGMRES(LibraryGMRES(balance=False), enlarge=False),
        ),
        (part("auto", restart=9, memory=3, probe=5, dense=64), Auto(memory=3, linear_solver=GMRES(9))),
        (part("pseudo-transient", restart=9), PseudoTransient(linear_solver=GMRES(9))),
        (part("vcabm", step_rtol=0.2, max_order=3), SteadyState(VCABM(3), step_rtol=0.2)),
        (part("tsit5", step_rtol=0.2), SteadyState(Tsit5(), step_rtol=0.2)),
        (
            part("scipy:rk45", step_rtol=0.01, first_step=0.5, longest_step=3.0),
            SteadyState(RK45(), step_rtol=0.01, first_step=0.5, largest_step=3.0),
        ),
        (
            part("scipy:bdf", step_rtol=0.1, first_step=0.2, longest_step=10.0, jacobian="difference", largest=9),
            SteadyState(BDF(jacobian="difference", largest=9), step_rtol=0.1, first_step=0.2),
        ),
        (part("anderson", memory=3), Anderson(memory=3, growth=2.0, restart="last")),
    ],
)
def test_solvers_and_fallbacks_are_read_as_before(old: dict[str, Any], solver: object) -> None:
    """The names and options of then make the solver of then, from the method and from the request."""
    facts = modern(recorded(old, IMPLICIT, solver="whatever", fallback=("whatever",)))
    for spec in (
        spec_of(facts["method"]["solver"]),
        spec_of(facts["method"]["fallback"][0]),
        facts["request"]["solver"],
        facts["request"]["fallback"][0],
    ):
        assert build_named(REGISTRY, SolverEntry, spec).part == solver


@pytest.mark.parametrize(
    ("old", "forward", "adjoint"),
    [
        (
            part("gmres", linear_solver="batched", restart=7, rtol=None, max_steps=None),
            PICARD,
            ImplicitAdjoint(linear_solver=GMRES(7)),
        ),
        (
            part("gmres", linear_solver="bicgstab", restart=7, rtol=1e-3, max_steps=9),
            PICARD,
            ImplicitAdjoint(linear_solver=BiCGStab(7), rtol=1e-3, max_steps=9),
        ),
        (
            part("gmres", linear_solver="library", restart=7, rtol=None, max_steps=None),
            PICARD,
            ImplicitAdjoint(linear_solver=LibraryGMRES(7, balance=False)),
        ),
        (IMPLICIT, PICARD, ImplicitAdjoint(linear_solver=GMRES())),
        (part("implicit", solver="bicgstab:products=6"), PICARD, ImplicitAdjoint(linear_solver=BiCGStab(6))),
        (
            part("implicit", solver="anderson:memory=3;mixing=0.5", rtol=1e-6),
            PICARD,
            ImplicitAdjoint(Anderson(memory=3, mixing=0.5, growth=2.0, restart="last"), rtol=1e-6),
        ),
        (
            part("implicit", solver="newton-gmres:linear_solver=bicgstab;forcing=0.5"),
            PICARD,
            ImplicitAdjoint(NewtonGMRES(BiCGStab(20), forcing=0.5, enlarge=False)),
        ),
        (
            part("ode-adjoint", integrator="bs3", **STEPS),
            PICARD,
            ImplicitAdjoint(SteadyState(BogackiShampine3()), max_steps=500),
        ),
        (
            part("ode-adjoint", integrator="same", **STEPS),
            PICARD,
            ImplicitAdjoint(SteadyState(Tsit5()), max_steps=500),
        ),
        (
            part("ode-adjoint", integrator="same", **{**STEPS, "step_rtol": 0.2}),
            part("vcabm", max_order=3),
            ImplicitAdjoint(SteadyState(VCABM(3), step_rtol=0.2), max_steps=500),
        ),
    ],
)
def test_adjoints_are_read_as_before(old: dict[str, Any], forward: dict[str, Any], adjoint: object) -> None:
    """Two names of one computation are one now, and the integrator of the forward solve is named."""
    facts = modern(recorded(forward, old, adjoint="whatever"))
    assert facts["method"]["adjoint"]["exact"] is True
    for spec in (spec_of(facts["method"]["adjoint"]), facts["request"]["adjoint"]):
        assert build_named(REGISTRY, SensitivityEntry, spec).part == adjoint


def test_a_request_names_what_was_recorded() -> None:
    """What was left open then is named in full, with the options of the solve, since the defaults are others today."""
    newton = part("newton-gmres", linear_solver="batched", **{**NEWTON, "restart": 5})
    solve = {**{name: str(value) for name, value in SOLVE.items()}, "stagnation": "none", "criterion": "residual"}
    for options in {}, {"restart": "5", "rtol": "1e-2"}:
        facts = recorded(newton, IMPLICIT, options=options)
        facts["method"]["solve"] = {**SOLVE, "stagnation": None}
        request = modern(facts)["request"]
        assert request["options"] == solve
        assert build_named(REGISTRY, SolverEntry, request["solver"]).part == NewtonGMRES(GMRES(5), enlarge=False)
        assert build_named(REGISTRY, SensitivityEntry, request["adjoint"]).part == ImplicitAdjoint(
            linear_solver=GMRES()
        )


@pytest.mark.parametrize(
    ("old", "adjoint"),
    [
        (part("implicit", solver=None, linear_solver=None, rtol=None, max_steps=None), ImplicitAdjoint()),
        (part("ode-adjoint", linear_solver=None, **{"solver.step_rtol": 0.03}), named("ode-adjoint")),
    ],
)
def test_an_adjoint_without_a_linear_solver_is_read(old: dict[str, Any], adjoint: ImplicitAdjoint) -> None:
    """Runs of today's format recorded none for GMRES, and none beside a solver: they are what is recorded now."""
    read = modern({**recorded(PICARD, old), "format": FORMAT})["method"]["adjoint"]
    assert named(spec_of(read)) == adjoint
    if old["name"] == "implicit":
        assert read["options"] == choose(REGISTRY, "picard", adjoint="implicit").backward.options


def test_records_of_today_and_of_integrations_are_left_alone() -> None:
    """Today's format is not read as the first, nor the names of integrators as those of solvers."""
    facts = recorded(part("vcabm", max_order=3), part("gauss", nodes=3))
    integration = {**facts, "method": {**facts["method"], "solve": {"per_sample": False}}}
    assert modern(integration) == integration
    today = {**recorded(PICARD, part("gmres", linear_solver="gmres")), "format": FORMAT}
    assert modern(today) == today
    assert modern({"experiment": "mnist", "method": None}) == {"experiment": "mnist", "method": None}
