"""`fixed_point` and `equilibrium`, the differentiable `solve` of a plain function."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from equilib import (
    ConvergenceError,
    ConvergenceWarning,
    FixedPointProblem,
    JacobianFree,
    Picard,
    Unrolled,
    equilibrium,
    fixed_point,
    ops,
    solve,
)
from equilib.autodiff import linearize, value_and_grad
from equilib.errors import UserError
from equilib_broyden.full import Broyden
from equilib_broyden.shine import Shine
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.hessians import MODES, by_differences, off

_rng = np.random.default_rng(2)
W = {"weight": 0.4 * _rng.standard_normal((4, 4)), "bias": _rng.standard_normal(4)}
U = _rng.standard_normal((3, 4))
Z0 = np.zeros((3, 4))


def f(z: Any, w: Any, u: Any) -> Any:
    """Return tanh(z W + b + u)."""
    return ops.tanh(ops.add(ops.add(ops.matmul(z, w["weight"]), w["bias"]), u))


def test_it_is_the_solve_with_a_derivative():
    """Solution, counts and fallback are those of `solve`."""
    options = {"rtol": 1e-12, "max_steps": 9, "fallback": (NewtonGMRES(),)}
    plain = solve(FixedPointProblem(f, W, U), Picard(), Z0, **options)
    found = equilibrium(f, Z0, W, U, solver=Picard(), **options)
    assert plain.fallbacks
    assert np.array_equal(found.z, plain.z)
    assert (found.nfe, found.njvp, found.status) == (plain.nfe, plain.njvp, plain.status)


def test_inputs_are_trees_and_a_lone_state_is_one_system():
    """Without a batch axis the state is one system: gradient and H·v agree with differences."""

    def lone(z: Any, w: Any, u: Any) -> Any:
        mean = ops.multiply(0.3, ops.mean(z))
        mixed = ops.reshape(ops.matmul(ops.reshape(z, (1, 4)), w["weight"]), (4,))
        return ops.tanh(ops.add(ops.add(mixed, u), mean))

    def loss(inputs: Any) -> Any:
        found = equilibrium(lone, np.zeros(4), *inputs, solver=NewtonGMRES(), batched=False, rtol=1e-13)
        assert len(found.status) == 1
        return ops.sum(ops.sin(found.z))

    inputs, v = ({"weight": W["weight"]}, U[0]), ({"weight": W["weight"].T}, U[1])
    value, found = value_and_grad(loss)(inputs)
    slope = sum(float(np.sum(a * b)) for a, b in ((found[0]["weight"], v[0]["weight"]), (found[1], v[1])))
    step = 1e-5
    moved = [({"weight": inputs[0]["weight"] + s * v[0]["weight"]}, inputs[1] + s * v[1]) for s in (step, -step)]
    assert (loss(moved[0]) - loss(moved[1])) / (2 * step) == pytest.approx(slope, rel=1e-8)
    assert linearize(loss, inputs).jvp(v) == pytest.approx(slope, rel=1e-10)
    for multiply in MODES.values():
        assert off(multiply(loss, inputs, v), by_differences(loss, inputs, v)) < 1e-6
    assert np.isfinite(value)


def test_where_it_starts_matters_to_a_loop_only():
    """z0 has the derivative zero, but for `Unrolled`, whose first step it is."""
    loss = lambda z0, sensitivity: ops.sum(  # noqa: E731
        fixed_point(f, z0, W, U, solver=NewtonGMRES(), adjoint=sensitivity, rtol=1e-12)
    )
    assert not linearize(lambda z0: loss(z0, None), U).jvp(U).any()
    assert not value_and_grad(lambda z0: loss(z0, None))(U)[1].any()
    once = lambda z0: ops.sum(f(z0, W, U))  # noqa: E731
    unrolled = lambda z0: loss(z0, Unrolled(1))  # noqa: E731
    np.testing.assert_allclose(value_and_grad(unrolled)(U)[1], value_and_grad(once)(U)[1], rtol=1e-12)
    assert linearize(unrolled, U).jvp(U) == pytest.approx(linearize(once, U).jvp(U), rel=1e-12)
    for multiply in MODES.values():
        np.testing.assert_allclose(multiply(unrolled, U, U), multiply(once, U, U), rtol=1e-9)


def test_an_input_without_influence_has_no_derivative():
    """What f ignores gets None, which training takes for a mistake; what is linear in it has no second one."""
    line = lambda z, u, w: ops.add(ops.multiply(0.5, z), u)  # noqa: E731
    loss = lambda both: ops.sum(fixed_point(line, Z0, *both, solver=Picard(), rtol=1e-12, max_steps=99))  # noqa: E731
    with pytest.raises(ValueError, match="the output does not depend on argument 0 at '1'"):
        value_and_grad(loss)((U, W["bias"]))
    with pytest.raises(ValueError, match="the output does not depend on argument 0 at '1'"):
        value_and_grad(lambda u: ops.sum(value_and_grad(loss)((u, W["bias"]))[1][0]))(U)
    gradient = lambda u: ops.sum(value_and_grad(lambda u: loss((u, W["bias"])))(u)[1])  # noqa: E731
    assert gradient(U) == pytest.approx(2 * U.size)
    with pytest.raises(ValueError, match="the output does not depend on argument 0"):
        value_and_grad(gradient)(U)


def test_the_solver_names_its_adjoint_and_the_caller_another():
    """Options, policy and sensitivity are those given."""
    with pytest.raises(ConvergenceError):
        equilibrium(f, Z0, W, U, solver=Picard(), max_steps=1, on_failure="raise")
    loss = lambda u: ops.sum(fixed_point(f, Z0, W, u, solver=Broyden(), adjoint=Shine()))  # noqa: E731
    assert np.isfinite(value_and_grad(loss)(U)[1]).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"f": FixedPointProblem(f, W, U)}, "f must be a map of z and inputs, got a FixedPointProblem; give its f"),
        ({"f": None}, "f must be a map of z, got None"),
        ({"solver": None}, "solver must be a solver, got None; give its name or the object"),
        ({"solver": Picard}, r"solver must be a solver, not a class; write Picard\(\.\.\.\)"),
        ({"z0": [0.0]}, "z0 must be an array"),
        ({"z0": Picard()}, "z0 must be an array or a tree, got a Picard; the solver is named"),
        ({"z0": "picard"}, "z0 must be an array or a tree, got 'picard'; the solver is named"),
        ({"adjoint": JacobianFree}, "adjoint must be a sensitivity, not a class"),
        ({"adjoint": "picard"}, r"no adjoint 'picard'\. That is a solver\."),
        (
            {"solver": "anderson:rtol=1e-3"},
            "'rtol' is an option of the solve, not of solver 'anderson': give it",
        ),
        ({"memory": 3}, r"has no option 'memory'.* as in equilib\.solver\(NAME, option=value\)"),
        ({"batched": "no"}, "batched must be True or False, got 'no'"),
        ({"has_aux": 1}, "has_aux must be True or False, got an int"),
        ({"batched": False, "batched_inputs": (False, True)}, "with batched=False nothing has the batch axis"),
        ({"batched_inputs": ("no", "yes")}, "an entry of batched_inputs must be True or False, got 'no'"),
        ({"z0": {"a": 0.0, "b": [1.0]}, "batched": False}, "z0 must be .*, got a dict with a float at 'a'"),
        ({"z0": {}}, "z0 must be an array, .*, or a tree of arrays, got a dict"),
        ({"rtoll": 1e-3}, "fixed_point has no option 'rtoll'. Did you mean 'rtol'"),
    ],
)
def test_wrong_arguments_are_answered_by_a_sentence(change: dict[str, Any], sentence: str):
    """Each names the argument."""
    given = {"f": f, "solver": Picard(), "z0": Z0, **change}
    positional = [given.pop(name) for name in ("f", "z0")]
    with pytest.raises((TypeError, ValueError, UserError), match=sentence):
        fixed_point(*positional, W, U, **given)


@pytest.mark.parametrize("what", ["picard", Picard(), (each for each in "z"), {1.0}])
def test_what_follows_the_guess_must_be_inputs(what: Any):
    """A solver there, by name or not, and what holds no arrays, are refused before f sees them."""
    with pytest.raises(TypeError, match=r"what follows z0 are inputs of f, got .*solver=|inputs must be numbers"):
        fixed_point(lambda z, w: z, Z0, what)


def test_what_f_finds_in_an_object_must_be_an_input():
    """A traced array that f neither is given nor closes over is refused, with what to do instead."""

    class Holder:
        def __init__(self, u: Any) -> None:
            self.u = u

    def loss(u: Any) -> Any:
        held = Holder(u)
        return ops.sum(fixed_point(lambda z: f(z, W, held.u), Z0, solver=Picard()))

    with pytest.raises(TypeError, match=r"solve cannot be traced: .* use equilib\.fixed_point\(f, z0, \*inp"):
        value_and_grad(loss)(U)


def test_it_is_imported_without_autograd():
    """`from equilib import fixed_point` loads no automatic differentiation."""
    program = "import sys; from equilib import fixed_point; print('autograd' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_a_number_is_a_system():
    """The equation z = tanh(a z)/2 + b in numbers: differences of the two derivatives, and nan where b is."""

    def z(a: Any, b: Any = 0.3) -> Any:
        f = lambda z, a, b: ops.add(ops.multiply(0.5, ops.tanh(ops.multiply(z, a))), b)  # noqa: E731
        return fixed_point(f, np.array(0.5), a, b, solver=NewtonGMRES(), batched=False, rtol=1e-13, on_failure="record")

    slope = lambda a: value_and_grad(z)(a)[1]  # noqa: E731
    step = 1e-5
    assert slope(0.5) == pytest.approx(float(z(0.5 + step) - z(0.5 - step)) / (2 * step), rel=1e-8)
    assert linearize(z, 0.5).jvp(1.0) == pytest.approx(float(slope(0.5)), rel=1e-12)
    expected = float(slope(0.5 + step) - slope(0.5 - step)) / (2 * step)
    assert value_and_grad(slope)(0.5)[1] == pytest.approx(expected, rel=1e-8)
    assert np.isnan(linearize(lambda a: z(a, np.nan), 0.5).jvp(1.0))


def test_a_gradient_that_an_undeclared_input_makes_nan_says_what_to_declare(recwarn: pytest.WarningsRecorder):
    """With a nan in a sample that the loss leaves out a gradient is that of the others, or a warning tells how."""
    u = U.copy()
    u[1] = np.nan

    def slope(w: Any, u: Any, kept: Any, declared: Any) -> Any:
        options = {"rtol": 1e-12, "max_steps": 99, "on_failure": "record", "batched_inputs": declared}
        z = lambda w: fixed_point(f, Z0[: len(u)], w, u, solver=Picard(), **options)  # noqa: E731
        return value_and_grad(lambda w: ops.sum(z(w)[kept]))(w)[1]

    alone = slope(W, u[[0, 2]], slice(None), None)
    found = slope(W, u, np.array([0, 2]), (False, True))
    assert not recwarn.list
    np.testing.assert_allclose(found["weight"], alone["weight"], rtol=1e-9)
    with pytest.warns(ConvergenceWarning, match=r"batched_inputs=\(False, True\)"):
        assert np.isnan(slope(W, u, np.array([0, 2]), None)["weight"]).all()


@pytest.mark.parametrize("solver", ["auto", "picard", "newton-gmres", "broyden", "scipy:krylov"])
@pytest.mark.parametrize("size", [0, 1])
def test_a_batch_of_none_and_of_one(solver: str, size: int):
    """No sample is no work, and zero gradients of what samples share; one has those of differences."""
    u = U[:size]
    loss = lambda w: ops.sum(ops.sin(fixed_point(f, Z0[:size], w, u, solver=solver, rtol=1e-12, max_steps=99)))  # noqa: E731
    value, gradient = value_and_grad(loss)(W)
    assert gradient["weight"].shape == (4, 4)
    step = 1e-5
    moved = [W | {"weight": W["weight"] + s * W["weight"].T} for s in (step, -step)]
    slope = float(loss(moved[0]) - loss(moved[1])) / (2 * step)
    assert float(np.sum(gradient["weight"] * W["weight"].T)) == pytest.approx(slope, rel=1e-7, abs=1e-12)
    assert size or float(value) == 0
