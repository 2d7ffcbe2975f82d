"""The implicit adjoint whose solver is named on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from equilib import GMRES, Affine, Picard, SolveOptions, Status, solve
from equilib.cli import main
from equilib.numerics.bicgstab import BiCGStab
from equilib.options import OptionError
from equilib.plugin.choice import choose_method
from equilib.plugin.registry import Registry
from equilib_anderson.solver import Anderson
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_reference.adjoint import NamedImplicitAdjoint, make_solver
from tests.arrays_under_test import lift, lower
from tests.digits import write_digits
from tests.problems import EXPANSIVE, TANH

SOLVERS = ("picard", "anderson", "broyden", "lbroyden", "newton-dense", "pseudo-transient", "dfsane", "auto", "vcab3")


@pytest.mark.parametrize("name", ["gmres", "bicgstab", *SOLVERS])
def test_every_kind_of_solver_finds_the_adjoint(name: str, xp: ModuleType, rng: np.random.Generator):
    """Linear or not, it solves w = Jᵀw + g to the tolerance: w is (I − J)⁻ᵀ g, by numpy.linalg.solve."""
    problem = TANH.problem(xp, by_hand=False)
    tight = SolveOptions(rtol=1e-10, atol=1e-13, max_steps=500)
    solution = solve(problem, NewtonGMRES(), lift(xp, TANH.z0), tight)
    g = rng.standard_normal(TANH.z0.shape)
    adjoint = NamedImplicitAdjoint(name).pullback(problem, solution, lift(xp, g)).adjoint
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
    found = NamedImplicitAdjoint("scipy:krylov", rtol=1e-8).pullback(problem, solution, g)
    exact = NamedImplicitAdjoint().pullback(problem, solution, g)
    np.testing.assert_allclose(found.inputs[0], exact.inputs[0], atol=1e-6)


def test_a_solver_that_fails_is_reported():
    """Picard iteration on an expansive map diverges backwards as it does forwards."""
    problem = EXPANSIVE.problem(by_hand=False)
    solution = solve(problem, NewtonGMRES(), EXPANSIVE.z0, rtol=1e-10)
    adjoint = NamedImplicitAdjoint("picard").pullback(problem, solution, np.ones_like(EXPANSIVE.z0)).adjoint
    assert adjoint is not None
    assert set(adjoint.status) == {Status.DIVERGED}


@pytest.mark.parametrize(
    ("spec", "solver"),
    [
        ("gmres", Affine(GMRES())),
        ("gmres:restart=7", Affine(GMRES(7))),
        ("bicgstab:products=12", Affine(BiCGStab(12))),
        ("picard", Picard()),
        ("anderson:memory=3;mixing=0.5", Anderson(memory=3, mixing=0.5)),
    ],
)
def test_a_name_and_its_options_are_a_solver(spec: str, solver: object):
    """The options of the solver follow its name, separated by semicolons."""
    assert make_solver(spec) == solver


def test_the_command_line_says_it_all():
    """In --adjoint, options of the adjoint and of its solver stand side by side."""
    method = choose_method(
        Registry.discover(),
        solver="picard",
        options={},
        adjoint="implicit:solver=anderson:memory=3;mixing=0.5,rtol=1e-6",
        defaults={},
    )
    assert method.sensitivity == NamedImplicitAdjoint("anderson:memory=3;mixing=0.5", rtol=1e-6)
    assert method.exact


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("andersn", "option 'solver' expects gmres, bicgstab or a solver, got 'andersn'. Did you mean 'anderson'?"),
        ("gmers", "got 'gmers'. Did you mean 'gmres'?"),
        ("unrolled", "got 'unrolled'. There are: gmres, bicgstab, anderson,"),
        ("gmres:restrat=3", "linear solver 'gmres' has no option 'restrat'. Did you mean 'restart'?"),
        ("picard:damping=2", "solver 'picard': option 'damping' expects"),
    ],
)
def test_mistakes_are_answered(spec: str, message: str, capsys: pytest.CaptureFixture[str]):
    """When the adjoint is made, not in the first backward pass; and the command exits with 2."""
    with pytest.raises(OptionError) as caught:
        NamedImplicitAdjoint(spec)
    assert message in str(caught.value)
    assert main(["check", f"implicit:solver={spec}", "--kind", "adjoint"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["picard", "anderson", "bicgstab"])
def test_a_gradient_is_confirmed_from_the_command_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`equilib check-gradient --adjoint implicit:solver=NAME` finds the converged implicit gradient."""
    where = ("--data-dir", str(write_digits(tmp_path)), "--samples", "2", "--directions", "1", "--device", "cpu")
    method = ("--solver", "newton-gmres", "-o", "rtol=1e-8", "-o", "max_steps=200")
    assert main(["check-gradient", "mnist", *where, *method, "--adjoint", f"implicit:solver={name}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert f"solver='{name}'" in found["adjoint"]
    assert found["confirmed"]


def test_a_training_run_records_the_solver_of_its_adjoint(tmp_path: Path):
    """`equilib run` trains with it, and the record says which it was."""
    where = ("--data-dir", str(write_digits(tmp_path / "digits")), "--out", str(tmp_path / "run"), "--device", "cpu")
    short = ("--limit", "20", "--epochs", "1", "--pretrain-epochs", "0")
    assert main(["run", "mnist", *where, *short, "--adjoint", "implicit:solver=anderson,max_steps=40"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert record["method"]["adjoint"] == {
        "name": "implicit",
        "options": {"solver": "anderson", "rtol": None, "max_steps": 40},
        "exact": True,
    }
