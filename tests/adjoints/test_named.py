"""Solvers, adjoints and linear solvers by name in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import equilib
from equilib import GMRES, ImplicitAdjoint, Picard, Unrolled, equilibrium, fixed_point, ops, solve
from equilib.adjoints.fixed_point import chosen_adjoint
from equilib.autodiff import value_and_grad
from equilib.errors import UserError
from equilib.layers import Dense
from equilib.models import Autonomous, DeepEquilibrium, NeuralODE
from equilib.ode.adjoints import Discrete
from equilib_anderson.solver import Anderson
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from tests.models.small import CELL

_rng = np.random.default_rng(3)
W, X = 0.3 * _rng.standard_normal((4, 4)), _rng.standard_normal((3, 4))


def f(z: Any, w: Any, x: Any) -> Any:
    """Return tanh(z W + x)."""
    return ops.tanh(ops.add(ops.matmul(z, w), x))


def test_a_name_stands_for_the_object_with_these_options():
    """Options are texts in the name, values beside it, and those of parts have dots."""
    assert equilib.solver("anderson", memory=3) == equilib.solver("anderson:memory=3") == Anderson(memory=3)
    nested = NewtonGMRES(linear_solver=GMRES(restart=7))
    assert equilib.solver("newton-gmres:linear_solver.restart=7") == nested
    assert equilib.solver("newton-gmres", linear_solver=equilib.linear_solver("gmres", restart=7)) == nested
    assert equilib.solver("newton-gmres", **{"linear_solver.restart": 7}) == nested
    assert equilib.solver("picard") is equilib.solver("picard")
    assert equilib.adjoint("unrolled", depth=3) == Unrolled(3)
    assert equilib.integrator("tsit5") == Tsit5()


def test_a_part_of_an_object_may_be_a_name():
    """`NewtonGMRES(linear_solver="gmres:restart=7")` holds the linear solver of that name."""
    made: Any = NewtonGMRES
    assert made(linear_solver="gmres:restart=7") == NewtonGMRES(linear_solver=GMRES(restart=7))
    with pytest.raises(UserError, match=r"no linear solver 'gmrs'. Did you mean 'gmres'\?"):
        made(linear_solver="gmrs")


def test_functions_and_models_take_names_and_objects_alike():
    """`solve`, `fixed_point`, `DeepEquilibrium` and `NeuralODE` do with a name what they do with its object."""
    z0 = np.zeros((3, 4))
    at = lambda z: f(z, W, X)  # noqa: E731
    assert np.array_equal(solve(at, "picard", z0).z, solve(at, Picard(), z0).z)
    assert solve(at, "picard", z0, max_steps=30, rtol=1e-11, fallback=("anderson",)).success
    loss = lambda w, **how: ops.sum(fixed_point(f, z0, w, X, **how))  # noqa: E731
    found = value_and_grad(lambda w: loss(w, solver="picard", adjoint="unrolled:depth=2"))(W)
    expected = value_and_grad(lambda w: loss(w, solver=Picard(), adjoint=Unrolled(2)))(W)
    np.testing.assert_array_equal(found[1], expected[1])
    assert chosen_adjoint("implicit:solver=same", Anderson()) == ImplicitAdjoint(Anderson())
    model: Any = DeepEquilibrium
    deq = model(CELL, "anderson:memory=3", fallback=("picard",), sensitivity="implicit")
    assert (deq.solver, deq.fallback, deq.sensitivity) == (Anderson(memory=3), (Picard(),), ImplicitAdjoint())
    ode: Any = NeuralODE(Autonomous(Dense(4, 4)), "tsit5", sensitivity="discrete")
    assert (ode.integrator, ode.sensitivity) == (Tsit5(), Discrete())


def test_the_solver_is_auto_unless_named():
    """Without a word `fixed_point` is solved by `auto`, to the default tolerance."""
    found = equilibrium(f, np.zeros((3, 4)), W, X)
    assert found.solution is not None
    assert found.solution.success
    assert found.solution.solver.startswith("Auto")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: equilib.solver("andersen"), r"no solver 'andersen'. Did you mean 'anderson'\?"),
        (
            lambda: equilib.solver("anderson", memry=3),
            "has no option 'memry'. Did you mean 'memory'",
        ),
        (lambda: equilib.solver("anderson", memory=-1), "option 'memory' expects an int"),
        (lambda: equilib.solver("anderson:memory=3", memory=4), "option 'memory' of solver 'anderson' is given twice"),
        (lambda: equilib.adjoint("implicit", solver="same"), r"no solver 'same'. Available"),
        (lambda: equilib.adjoint("shin"), r"no adjoint 'shin'. Did you mean 'shine'\?"),
        (lambda: fixed_point(f, X, W, X, solver="picrd"), r"no solver 'picrd'. Did you mean 'picard'\?"),
        (
            lambda: fixed_point(f, X, W, X, adjoint="discrete"),
            "'discrete' differentiates the solution of an ODE",
        ),
        (lambda: fixed_point(f, X, W, X, adjoint="implicit:solver=sam"), r"no solver 'sam'"),
        (lambda: solve(lambda z: z, "anderson", X, fallback=("newton",)), r"no solver 'newton'"),
    ],
)
def test_a_wrong_name_or_option_is_answered_by_the_one_that_was_meant(call: Callable[[], Any], sentence: str):
    """Each error is a UserError that suggests, or lists what there is."""
    with pytest.raises(UserError, match=sentence):
        call()


def test_what_f_returns_beside_z_is_its_value_at_the_fixed_point():
    """With has_aux it is differentiable in what it depends on, z among it."""
    both = lambda z, w, x: (f(z, w, x), {"energy": ops.sum(ops.multiply(z, w[0]))})  # noqa: E731

    def energy(w: Any, *, aux: bool) -> Any:
        if aux:
            return fixed_point(both, np.zeros((3, 4)), w, X, rtol=1e-12, solver="newton-gmres", has_aux=True)[1][
                "energy"
            ]
        z = fixed_point(f, np.zeros((3, 4)), w, X, rtol=1e-12, solver="newton-gmres")
        return ops.sum(ops.multiply(z, w[0]))

    (one, by_aux), (other, by_z) = (value_and_grad(lambda w, aux=aux: energy(w, aux=aux))(W) for aux in (True, False))
    assert one == other
    np.testing.assert_allclose(by_aux, by_z, rtol=1e-12)
    with pytest.raises(TypeError, match="with has_aux=True f must return a pair"):
        fixed_point(f, X, W, X, has_aux=True)
    with pytest.raises(TypeError, match="has_aux=True"):
        fixed_point(both, X, W, X)
