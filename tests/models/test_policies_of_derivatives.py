"""Records, policies and samples left out, in forward mode and in second derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from equilib import (
    ConvergenceError,
    ImplicitAdjoint,
    JacobianFree,
    Needs,
    Picard,
    Pullback,
    Sensitivity,
    SolveOptions,
    Status,
    Unrolled,
    fixed_point,
    ops,
)
from equilib.adjoints.equation import linearized
from equilib.autodiff import linearize, value_and_grad
from equilib.errors import NoDerivativeError
from equilib.fixed_points.solution import ConvergenceWarning
from equilib.models import DeepEquilibrium
from equilib_broyden.full import Broyden
from equilib_broyden.shine import Shine
from equilib_neumann.series import Neumann
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.derivatives import largest_error, slopes_by_differences
from tests.models.hessians import MODES, by_differences, gradient, inner, off
from tests.models.networks import TIGHT
from tests.models.small import CELL, batch, drawn

ONE_STEP = ImplicitAdjoint(Picard(), max_steps=1)
LEFT_OUT, KEPT = 1, np.array([0, 2])


def model(sensitivity: Sensitivity[Any] | None = None, **options: Any) -> DeepEquilibrium:
    """Return a model with options beside the tight ones."""
    return DeepEquilibrium(CELL, NewtonGMRES(), sensitivity=sensitivity, options=replace(TIGHT, **options))


def test_every_linear_solve_is_on_record(rng: np.random.Generator):
    """Forward mode solves for a tangent, reverse mode for an adjoint, H·v by forward over reverse for one of each."""
    deq, kept = model(), []
    params, x = drawn(deq), batch(rng)

    def loss(x: Any) -> Any:
        kept.append(deq(params, x))
        return ops.sum(ops.sin(kept[-1].z))

    linearize(loss, x).jvp(x)
    assert [len(kept[-1].tangents), len(kept[-1].adjoints)] == [1, 0]
    (tangent,) = kept[-1].tangents
    assert tangent.success
    assert 0 < tangent.nfe + tangent.njvp < 12
    value_and_grad(loss)(x)
    assert [len(kept[-1].tangents), len(kept[-1].adjoints)] == [0, 1]
    MODES["forward over reverse"](loss, x, x)
    assert [len(kept[-1].tangents), len(kept[-1].adjoints)] == [1, 2]
    assert kept[-1].adjoint_nvjp > 0


@pytest.mark.parametrize("mode", MODES)
def test_the_policy_is_about_every_linear_solve(mode: str, rng: np.random.Generator):
    """A tangent, an adjoint or a derivative of one that was not solved warns, raises or is recorded."""
    deq = model(ONE_STEP)
    params, x = drawn(deq), batch(rng)

    def loss(deq: DeepEquilibrium) -> Any:
        return lambda x: ops.sum(ops.sin(deq(params, x).z))

    with pytest.warns(ConvergenceWarning, match="the tangent equation of ImplicitAdjoint was not solved: .*max_steps"):
        linearize(loss(deq), x).jvp(x)
    with pytest.warns(ConvergenceWarning) as caught:
        MODES[mode](loss(deq), x, x)
    kinds = {str(each.message).split()[1] for each in caught}
    assert kinds == {"tangent", "adjoint"}
    with pytest.raises(ConvergenceError, match=r"the (tangent|adjoint) equation of ImplicitAdjoint"):
        MODES[mode](loss(replace(deq, options=replace(TIGHT, on_failure="raise"))), x, x)
    MODES[mode](loss(replace(deq, options=replace(TIGHT, on_failure="record"))), x, x)


def masked(deq: DeepEquilibrium, params: Any) -> Any:
    """Return a loss of x that leaves a sample out, by selection."""
    kept = np.ones((3, 1), dtype=bool)
    kept[LEFT_OUT] = False
    return lambda x: ops.sum(ops.sin(ops.where(kept, deq(params, x).z, np.zeros((3, 1)))))


@pytest.mark.parametrize("sensitivity", [None, Unrolled(60)], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_a_nan_sample_that_the_loss_leaves_out_adds_nothing(
    mode: str, sensitivity: Sensitivity[Any] | None, rng: np.random.Generator
):
    """J·v and H·v with respect to shared parameters are those of the other samples alone."""
    deq = model(sensitivity, on_failure="record")
    params, x = drawn(deq), batch(rng)
    x[LEFT_OUT, 0] = np.nan
    v = drawn(deq, scale=0.3)
    of = lambda params: masked(deq, params)(x)  # noqa: E731
    alone = lambda params: ops.sum(ops.sin(deq(params, x[KEPT]).z))  # noqa: E731
    assert linearize(of, params).jvp(v) == pytest.approx(linearize(alone, params).jvp(v), rel=1e-9)
    assert off(MODES[mode](of, params, v), MODES[mode](alone, params, v)) < 1e-9
    assert np.isnan(linearize(lambda params: deq(params, x).z, params).jvp(v)[LEFT_OUT]).all()


def test_a_derivative_that_is_not_finite_is_left_out_where_the_loss_is():
    """√z at its fixed point 0 has no derivative: samples there add nothing where their cotangents are zero."""
    weights, u = np.array([[1.0], [0.0]]), np.array([[0.2], [0.0]])

    def z(u: Any, shared: Any) -> Any:
        f = lambda z, u, shared: ops.multiply(shared, ops.multiply(0.5, ops.sqrt(ops.add(z, u))))  # noqa: E731
        options = SolveOptions(rtol=1e-12, max_steps=200, on_failure="record")
        return fixed_point(f, 2.5 * u, u, shared, solver=Picard(), options=options)

    of = lambda shared: ops.sum(ops.multiply(weights, z(u, shared)))  # noqa: E731
    with np.errstate(all="ignore"):
        found = MODES["reverse over reverse"](of, np.ones((1, 1)), np.ones((1, 1)))
    alone = lambda shared: ops.sum(z(u[:1], shared))  # noqa: E731
    assert off(found, MODES["reverse over reverse"](alone, np.ones((1, 1)), np.ones((1, 1)))) < 1e-9


@pytest.mark.parametrize("mode", MODES)
def test_what_failed_can_be_left_out(mode: str, rng: np.random.Generator):
    """With gradient_of="converged" tangents of other samples are zero, and they add nothing to H·v."""
    deq = DeepEquilibrium(
        CELL,
        Picard(),
        options=SolveOptions(rtol=1e-12, max_steps=60, on_failure="record"),
        gradient_of="converged",
    )
    params, x = drawn(deq), batch(rng)
    steps = deq(params, x).solution.steps  # type: ignore[union-attr]
    few = replace(deq, options=replace(deq.options, max_steps=int(np.max(steps)) - 1))
    failed = np.array([status is not Status.CONVERGED for status in few(params, x).status])
    assert 0 < failed.sum() < 3
    v = drawn(deq, scale=0.3)
    tangent = linearize(lambda params: few(params, x).z, params).jvp(v)
    assert not tangent[failed].any()
    assert tangent[~failed].all()
    found = MODES[mode](lambda params: ops.sum(ops.sin(few(params, x).z)), params, v)
    alone = MODES[mode](lambda params: ops.sum(ops.sin(few(params, x[~failed]).z)), params, v)
    assert off(found, alone) < 1e-9


@dataclass(frozen=True)
class OnlyPullback:
    """A third party's sensitivity, which knows nothing but the protocol."""

    needs: ClassVar[Needs] = Needs()

    def pullback(self, problem: Any, solution: Any, cotangent: Any, *, guess: Any = None) -> Pullback[Any]:
        """Take w = g + Jᵀg."""
        linear = linearized(problem, solution, cotangent)
        return Pullback(inputs=linear.inputs_vjp(cotangent + linear.vjp(cotangent)))


@pytest.mark.parametrize(
    "sensitivity", [OnlyPullback(), JacobianFree(), Neumann(3), Shine()], ids=lambda each: type(each).__name__
)
def test_what_has_a_pullback_only_says_so(sensitivity: Sensitivity[Any], rng: np.random.Generator):
    """First derivatives in reverse mode are its own; all else is refused by a sentence that names it."""
    deq = DeepEquilibrium(CELL, Broyden(), sensitivity=sensitivity, options=TIGHT)
    params, x = drawn(deq), batch(rng)
    loss = lambda x: ops.sum(ops.sin(deq(params, x).z))  # noqa: E731
    assert np.isfinite(gradient(loss)(x)).all()
    sentence = f"{type(sensitivity).__name__} has first derivatives in reverse mode only; .* take ImplicitAdjoint"
    with pytest.raises(NoDerivativeError, match=sentence):
        linearize(loss, x).jvp(x)
    for multiply in MODES.values():
        with pytest.raises(NoDerivativeError, match=sentence):
            multiply(loss, x, x)


def test_an_adjoint_guess_starts_the_first_solve_only(rng: np.random.Generator):
    """H·v with a known w spends fewer products, and is the same."""
    deq, kept = model(), []
    params, x = drawn(deq), batch(rng)

    def products(known: Any) -> Any:
        def loss(x: Any) -> Any:
            kept.append(deq(params, x, adjoint_guess=known))
            return ops.sum(ops.sin(kept[-1].z))

        return MODES["forward over reverse"](loss, x, x)

    cold = products(None)
    found = products(kept[-1].adjoints[0].z)
    assert off(found, cold) < 1e-9
    assert kept[1].adjoint_nvjp < kept[0].adjoint_nvjp


@pytest.mark.parametrize("depth", [0, 3])
def test_the_jacobian_has_hessians(depth: int, rng: np.random.Generator):
    """The gradient of `jacobian_loss`, a second derivative of f, can be pushed: differences of gradients, to 1e-6."""
    deq = replace(model(), jacobian_loss=True, fixed_depth=depth)
    params, x = drawn(deq), batch(rng)
    v = drawn(deq, scale=0.3)
    loss = lambda params: deq(params, x, rng=np.random.default_rng(2)).jacobian_loss  # noqa: E731
    assert off(MODES["forward over reverse"](loss, params, v), by_differences(loss, params, v)) < 1e-6


def test_the_residual_is_a_function_at_a_constant_z(rng: np.random.Generator):
    """So are its gradient and H·v, those of ‖f(z, x; θ) − z‖² by differences in θ, where z is not a fixed point."""
    deq = replace(model(max_steps=1, on_failure="record"), residual_loss=True)
    params, x = drawn(deq), batch(rng)
    z, v = deq(params, x).z, drawn(deq, scale=0.3)
    of = lambda params: deq(params, x).residual_loss  # noqa: E731

    def at_z(params: Any) -> Any:
        residual = ops.subtract(CELL.step(params["cell"], z, CELL.inject(params["cell"], x)), z)
        return ops.mean(ops.multiply(residual, residual))

    assert np.max(np.abs(deq(params, x).residual)) > 1e-3
    assert largest_error(gradient(of)(params), slopes_by_differences(at_z, params)) < 1e-7
    assert linearize(of, params).jvp(v) == pytest.approx(inner(gradient(of)(params), v), rel=1e-12)
    for multiply in MODES.values():
        assert off(multiply(of, params, v), by_differences(at_z, params, v)) < 1e-6
