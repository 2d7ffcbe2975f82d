"""The implicit adjoint whose solver is named on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import GMRES, ImplicitAdjoint, Picard, SolveOptions, Status, solve
from equilib.cli import main
from equilib.numerics.bicgstab import BiCGStab
from equilib.ode.steady_state import SteadyState
from equilib.options import OptionError
from equilib.plugin import SensitivityEntry
from equilib.plugin.choosing import build_named, choose
from equilib.plugin.registry import Registry
from equilib_anderson.solver import Anderson
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM
from tests.arrays_under_test import lift, lower
from tests.digits import write_digits
from tests.problems import EXPANSIVE, TANH

REGISTRY = Registry.discover()
SOLVERS = ("picard", "anderson", "broyden", "lbroyden", "newton-dense", "pseudo-transient", "dfsane", "auto", "vcab3")


def named(spec: str) -> Any:
    """Return the adjoint of that name with those options."""
    return build_named(REGISTRY, SensitivityEntry, spec).part


@pytest.mark.parametrize(
    "spec", ["linear_solver=gmres", "linear_solver=bicgstab", *(f"solver={name}" for name in SOLVERS)]
)
def test_every_kind_of_solver_finds_the_adjoint(spec: str, xp: ModuleType, rng: np.random.Generator):
    """Linear or not, it solves w = Jᵀw + g to the tolerance: w is (I − J)⁻ᵀ g, by numpy.linalg.solve."""
    problem = TANH.problem(xp, by_hand=False)
    tight = SolveOptions(rtol=1e-10, atol=1e-13, max_steps=500)
    solution = solve(problem, NewtonGMRES(), lift(xp, TANH.z0), tight)
    g = rng.standard_normal(TANH.z0.shape)
    adjoint = named(f"implicit:{spec}").pullback(problem, solution, lift(xp, g)).solves[0]
    assert adjoint is not None
    assert adjoint.success
    J = TANH.jacobians()
    w = np.linalg.solve(np.eye(J.shape[1]) - np.swapaxes(J, 1, 2), g[:, :, None])[:, :, 0]
    np.testing.assert_allclose(lower(adjoint.z), w, atol=1e-8)


def test_a_whole_solver_finds_it_too(rng: np.random.Generator):
    """So does a library's method that comes with its own loop."""
    problem = TANH.problem(by_hand=False)
    solution = solve(problem, NewtonGMRES(), TANH.z0, SolveOptions(rtol=1e-10, max_steps=500))
    g = rng.standard_normal(TANH.z0.shape)
    found = named("implicit:solver=scipy:krylov,rtol=1e-8").pullback(problem, solution, g)
    exact = named("implicit").pullback(problem, solution, g)
    np.testing.assert_allclose(found.inputs[0], exact.inputs[0], atol=1e-6)


def test_a_solver_that_fails_is_reported():
    """Picard iteration on an expansive map diverges backwards as it does forwards."""
    problem = EXPANSIVE.problem(by_hand=False)
    solution = solve(problem, NewtonGMRES(), EXPANSIVE.z0, rtol=1e-10)
    adjoint = named("implicit:solver=picard").pullback(problem, solution, np.ones_like(EXPANSIVE.z0)).solves[0]
    assert adjoint is not None
    assert set(adjoint.status) == {Status.DIVERGED}


@pytest.mark.parametrize(
    ("spec", "adjoint"),
    [
        ("implicit", ImplicitAdjoint()),
        ("implicit:linear_solver=gmres", ImplicitAdjoint(linear_solver=GMRES())),
        ("implicit:linear_solver.restart=7", ImplicitAdjoint(linear_solver=GMRES(7))),
        (
            "implicit:linear_solver=bicgstab,linear_solver.products=12",
            ImplicitAdjoint(linear_solver=BiCGStab(12)),
        ),
        ("implicit:solver=picard,max_steps=9", ImplicitAdjoint(Picard(), max_steps=9)),
        (
            "implicit:solver=anderson,solver.memory=3,solver.mixing=0.5,rtol=1e-6",
            ImplicitAdjoint(Anderson(memory=3, mixing=0.5), rtol=1e-6),
        ),
        (
            "implicit:solver=newton-gmres,solver.linear_solver=bicgstab,solver.linear_solver.products=8",
            ImplicitAdjoint(NewtonGMRES(BiCGStab(8))),
        ),
        ("gmres", ImplicitAdjoint(linear_solver=GMRES())),
        ("gmres:linear_solver.restart=5,rtol=1e-3", ImplicitAdjoint(linear_solver=GMRES(5), rtol=1e-3)),
        ("ode-adjoint", ImplicitAdjoint(SteadyState(Tsit5()), max_steps=500)),
        ("ode-adjoint:solver.step_rtol=0.5", ImplicitAdjoint(SteadyState(Tsit5(), step_rtol=0.5), max_steps=500)),
    ],
)
def test_a_name_and_its_options_are_an_adjoint(spec: str, adjoint: object):
    """Options of the solver follow a dot, to any depth; `gmres` and `ode-adjoint` are spellings of the same."""
    assert named(spec) == adjoint


def test_the_linear_solver_is_recorded_whether_named_or_not():
    """`implicit` is one computation and one record, also from Python; with a solver it has no linear solver."""
    ways = [choose(REGISTRY, "picard", adjoint=f"implicit{rest}") for rest in ("", ":linear_solver=gmres")]
    assert ways[0].describe() == ways[1].describe()
    assert ways[0].backward.options["linear_solver"] == "gmres"
    assert ImplicitAdjoint() == ImplicitAdjoint(linear_solver=GMRES())
    assert "linear_solver" not in choose(REGISTRY, "picard", adjoint="implicit:solver=picard").backward.options


@pytest.mark.parametrize("spec", ["linear_solver=none", "solver=none,linear_solver=none"])
def test_no_linear_solver_is_refused(spec: str):
    """What would run GMRES nonetheless cannot be asked for."""
    with pytest.raises(OptionError, match="option 'linear_solver' cannot be none; leave it out"):
        named(f"implicit:{spec}")


@pytest.mark.parametrize(
    ("solver", "expected"),
    [
        ("vcabm:integrator.max_order=2", SteadyState(VCABM(2))),
        ("vcab3", SteadyState(VCAB3(), step_rtol=0.1)),
        ("anderson:memory=2", Anderson(memory=2)),
        ("newton-gmres:linear_solver.restart=3", NewtonGMRES(GMRES(3))),
    ],
)
def test_the_same_solver_is_the_forward_one(solver: str, expected: object):
    """`same` is what the forward pass is solved by, with its options, unless others are given; the record names it."""
    choice = choose(REGISTRY, solver, adjoint="implicit:solver=same,max_steps=70")
    assert choice.sensitivity == ImplicitAdjoint(expected, max_steps=70)  # type: ignore[arg-type]
    assert choice.backward.options["solver"] != "same"
    options = ",".join(f"{name}={value}" for name, value in choice.backward.options.items() if value is not None)
    assert named(f"implicit:{options}") == choice.sensitivity


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("implicit:solver=andersn", "option 'solver': no solver 'andersn'. Did you mean 'anderson'?"),
        ("implicit:linear_solver=gmers", "option 'linear_solver': no linear solver 'gmers'. Did you mean 'gmres'?"),
        (
            "implicit:solver=gmres",
            "option 'solver': no solver 'gmres'. That is a linear solver and an adjoint. Available: anderson,",
        ),
        ("implicit:solver=unrolled", "option 'solver': no solver 'unrolled'. That is an adjoint. Available: anderson,"),
        ("implicit:solver=picard,solver.dampng=3", "no option 'solver.dampng'. Did you mean 'solver.damping'?"),
        ("implicit:damping=3,solver=picard", "no option 'damping'. Did you mean 'solver.damping'?"),
        (
            "implicit:solver=picard,solver.damping=2",
            "'implicit': option 'solver.damping' expects a float in [0.0, 1.0)",
        ),
        ("implicit:solver.damping=0.5", "option 'solver' is none, so there is no 'solver.damping'"),
        ("implicit:solver=anderson:memory=3;mixing=0.5", "Write solver=anderson,solver.memory=3,solver.mixing=0.5"),
        ("implicit:solver=picard,linear_solver=gmres", "leave out one of them"),
        ("implicit:rtol.x=1", "no option 'rtol.x'"),
        ("gmres:linear_solver=bicgstab", "option 'linear_solver' expects one of 'gmres', got 'bicgstab'"),
        (
            "implicit:solver=newton-gmres,solver.linear_solver=bicgstab,solver.linear_solver.product=8",
            "no option 'solver.linear_solver.product'. Did you mean 'solver.linear_solver.products'?",
        ),
    ],
)
def test_mistakes_are_answered(spec: str, message: str, capsys: pytest.CaptureFixture[str]):
    """When the adjoint is made, not in the first backward pass, by the dotted name; and the command exits with 2."""
    with pytest.raises(OptionError) as caught:
        named(spec)
    assert message in str(caught.value)
    assert main(["check", spec, "--kind", "adjoint"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("spec", ["solver=picard", "solver=anderson", "linear_solver=bicgstab"])
def test_a_gradient_is_confirmed_from_the_command_line(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`equilib check-gradient --adjoint implicit:solver=NAME` finds the converged implicit gradient."""
    where = ("--data-dir", str(write_digits(tmp_path)), "--samples", "2", "--directions", "1", "--device", "cpu")
    method = ("--solver", "newton-gmres", "-o", "rtol=1e-8", "-o", "max_steps=200")
    assert main(["check-gradient", "mnist", *where, *method, "--adjoint", f"implicit:{spec}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert str(named(f"implicit:{spec}")) == found["adjoint"]
    assert found["confirmed"]


def test_a_training_run_records_the_solver_of_its_adjoint(tmp_path: Path):
    """`equilib run` trains with it, and the record says which it was, with every option."""
    where = ("--data-dir", str(write_digits(tmp_path / "digits")), "--out", str(tmp_path / "run"), "--device", "cpu")
    short = ("--limit", "20", "--epochs", "1", "--pretrain-epochs", "0")
    adjoint = "implicit:solver=anderson,solver.memory=2,max_steps=40"
    assert main(["run", "mnist", *where, *short, "--adjoint", adjoint]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))["method"]["adjoint"]
    assert (record["name"], record["exact"]) == ("implicit", True)
    chosen = {"solver": "anderson", "solver.memory": 2, "solver.mixing": 1.0, "max_steps": 40}
    assert chosen.items() <= record["options"].items()
    assert "linear_solver" not in record["options"]
