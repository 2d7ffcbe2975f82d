"""Derivatives of equilibria of any order: tangents, Hessians and beyond, against dense matrices and differences."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from types import ModuleType
from typing import Any

import autograd
import numpy as np
import pytest

from equilib import ImplicitAdjoint, Picard, Sensitivity, Unrolled, fixed_point, ops
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.autodiff import linearize, value_and_grad
from equilib.models import DeepEquilibrium
from equilib.numerics.bicgstab import BiCGStab
from equilib.numerics.gmres import GMRES
from equilib_anderson.solver import Anderson
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.models import multiscale_networks
from tests.models.hessians import MODES, by_differences, drawn_like, inner, off
from tests.models.networks import CONV, DENSE, EXPANSIVE, GUESSES, TIGHT, Network, loss_of
from tests.models.small import CELL, batch, drawn
from tests.small_equilibria import CELLS, SmallEquilibrium, as_vector, times

EXACT: list[Sensitivity[Any]] = [
    ImplicitAdjoint(),
    ImplicitAdjoint(linear_solver=GMRES(3), max_steps=100),
    ImplicitAdjoint(linear_solver=BiCGStab(), max_steps=100),
    ImplicitAdjoint(linear_solver=LibraryGMRES()),
    ImplicitAdjoint(Picard(), max_steps=200),
    ImplicitAdjoint(Anderson()),
    ImplicitAdjoint(NewtonGMRES()),
    Unrolled(80),
    Unrolled(80, checkpoints=None),
]

each_exact = pytest.mark.parametrize("sensitivity", EXACT, ids=str)
each_cell = pytest.mark.parametrize("small", CELLS, ids=str)
each_mode = pytest.mark.parametrize("mode", MODES)


def state(small: SmallEquilibrium, sensitivity: Sensitivity[Any] | None = None) -> Any:
    """Return z* of (params, x) as a function."""

    def z(both: Any) -> Any:
        return fixed_point(small, small.z0, *both, solver=NewtonGMRES(), adjoint=sensitivity, options=TIGHT)

    return z


def loss(small: SmallEquilibrium, sensitivity: Sensitivity[Any] | None = None) -> Any:
    """Return the loss Σ weights·sin(z*) as a function of (params, x)."""
    z = state(small, sensitivity)
    return lambda both: ops.sum(ops.multiply(small.weights, ops.sin(z(both))))


@each_cell
@each_exact
def test_a_tangent_is_that_of_the_dense_inverse(small: SmallEquilibrium, sensitivity: Sensitivity[Any]):
    """J·v is (I − J)⁻¹ (∂f/∂θ) v, with all matrices dense, to 1e-9."""
    both = small.params, small.x
    v = drawn_like(both)
    pushed = (small.by_inputs @ as_vector(v)).reshape(small.weights.shape)
    expected = times(np.linalg.inv(np.eye(small.jacobians.shape[1]) - small.jacobians), pushed)
    found = linearize(state(small, sensitivity), both).jvp(v)
    assert off(found, expected) < 1e-9


@each_cell
@each_exact
def test_the_two_directions_are_transposes(small: SmallEquilibrium, sensitivity: Sensitivity[Any]):
    """⟨J v, w⟩ = ⟨v, Jᵀ w⟩ to rounding."""
    both = small.params, small.x
    linear, v, w = linearize(state(small, sensitivity), both), drawn_like(both), drawn_like(small.weights, 5)
    one, other = inner(linear.jvp(v), w), inner(linear.vjp(w)[0], v)
    assert one == pytest.approx(other, rel=1e-10)


@each_cell
@each_mode
@each_exact
def test_a_hessian_is_the_difference_of_gradients(small: SmallEquilibrium, sensitivity: Sensitivity[Any], mode: str):
    """H·v by every nest of modes agrees with central differences of gradients to 1e-6, for every parameter and x."""
    both = small.params, small.x
    v = drawn_like(both)
    expected = by_differences(loss(small), both, v)
    assert min(np.max(np.abs(leaf)) for leaf in tree_leaves(expected)) > 1e-2
    assert off(MODES[mode](loss(small, sensitivity), both, v), expected) < 1e-6


@each_mode
@pytest.mark.parametrize(("network", "guess"), [(DENSE, "skipdeq"), (CONV, "regdeq"), (EXPANSIVE, "deq")], ids=str)
def test_the_hessian_of_a_model(network: Network, guess: str, mode: str):
    """Of a chain around an equilibrium, whose loss holds the guess too: differences of gradients, to 1e-6."""
    model, both = network.model(guess), (network.params(guess), network.x)
    of = lambda both: loss_of(model, both[0], both[1], network.y)  # noqa: E731
    v = drawn_like(both)
    assert off(MODES[mode](of, both, v), by_differences(of, both, v)) < 1e-6


@pytest.mark.parametrize("guess", GUESSES)
def test_a_hessian_is_that_of_unrolling(guess: str):
    """Enough iterations on the tape have the same second derivatives, to 1e-9."""
    model, both = DENSE.model(guess), (DENSE.params(guess), DENSE.x)
    unrolled = type(model)(model.before, model.deq.unrolled(60), model.after)
    v = drawn_like(both)
    found, expected = (
        MODES["forward over reverse"](lambda both, chain=chain: loss_of(chain, *both, DENSE.y), both, v)
        for chain in (model, unrolled)
    )
    assert off(found, expected) < 1e-9


@each_mode
def test_the_hessian_at_a_minimum(mode: str):
    """Where the cotangent of a sample, or of all, is zero, H·v of the squared distance to it is Jᵀ J v, not zero."""
    small, both = CELLS[0], (CELLS[0].params, CELLS[0].x)
    for missed in ([[0.0], [0.0], [0.0]], [[0.0], [1.0], [0.0]]):
        target = state(small)(both) + np.array(missed)

        def of(both: Any, target: np.ndarray = target) -> Any:
            missing = ops.subtract(state(small)(both), target)
            return ops.sum(ops.multiply(missing, missing))

        v = drawn_like(both)
        assert off(MODES[mode](of, both, v), by_differences(of, both, v)) < 1e-6


@pytest.mark.parametrize("network", multiscale_networks.NETWORKS, ids=str)
def test_several_scales_have_hessians_too(network: multiscale_networks.Scales):
    """Of a state of two scales: differences of gradients, to 1e-6."""
    model, both = network.model("skipdeq"), (network.params("skipdeq"), network.x)
    of = lambda both: multiscale_networks.loss_of(model, both)  # noqa: E731
    v = drawn_like(both)
    assert off(MODES["forward over reverse"](of, both, v), by_differences(of, both, v)) < 1e-6


ROOT = {1: lambda x: 0.5 * x**-0.5, 2: lambda x: -0.25 * x**-1.5, 3: lambda x: 0.375 * x**-2.5}
"""Derivatives of the square root."""


def root(x: Any) -> Any:
    """Return √x as the fixed point of z − (z² − x)/4."""
    step = lambda z, x: ops.subtract(z, ops.multiply(0.25, ops.subtract(ops.multiply(z, z), x)))  # noqa: E731
    return ops.sum(fixed_point(step, np.full((1, 1), 1.5), x, solver=NewtonGMRES(), options=TIGHT))


@pytest.mark.parametrize("modes", list(product("fr", repeat=3)), ids="".join)
def test_three_derivatives_of_a_square_root(modes: tuple[str, ...]):
    """The first three derivatives of √x are the closed forms, in every nest of forward and reverse mode."""
    x, f = np.full((1, 1), 1.7), root
    for order, mode in enumerate(modes, start=1):
        f = _derivative(f, mode)
        assert float(f(x)) == pytest.approx(float(ROOT[order](x)[0, 0]), rel=1e-10)


def _derivative(f: Any, mode: str) -> Any:
    if mode == "f":
        return lambda x: linearize(f, x).jvp(np.ones((1, 1)))
    return lambda x: ops.sum(value_and_grad(f)(x)[1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_derivatives_scale_with_what_they_are_applied_to(scale: float, dtype: str):
    """Tangents, cotangents and losses 1e-30 or 1e30 times as large give as many times the derivative."""
    small = CELLS[0]
    cast = lambda tree: tree_map(lambda leaf: leaf.astype(dtype), tree)  # noqa: E731
    factor, rtol = np.dtype(dtype).type(scale), 1e-9 if dtype == "float64" else 1e-4
    both, z0 = cast((small.params, small.x)), cast(small.z0)
    v, w = cast(drawn_like(both)), cast(drawn_like(small.weights, 5))
    z = lambda both: fixed_point(small, z0, *both, solver=NewtonGMRES(), rtol=0.1 * rtol)  # noqa: E731
    linear = linearize(z, both)
    assert tree_leaves(linear.jvp(v))[0].dtype == dtype

    def close(found: Any, expected: Any) -> bool:
        return off(tree_map(lambda leaf: leaf / factor, found), expected) < rtol

    scaled = lambda tree: tree_map(lambda leaf: leaf * factor, tree)  # noqa: E731
    assert close(linear.jvp(scaled(v)), linear.jvp(v))
    assert close(linear.vjp(scaled(w))[0], linear.vjp(w)[0])
    of = lambda both: ops.sum(ops.multiply(w, ops.sin(z(both))))  # noqa: E731
    for multiply in MODES.values():
        hessian = multiply(of, both, v)
        assert close(multiply(of, both, scaled(v)), hessian)
        assert close(multiply(lambda both: ops.multiply(of(both), factor), both, v), hessian)


def test_the_derivatives_keep_the_library(xp: ModuleType):
    """J·v, H·v by every nest and a penalised gradient are those of NumPy, in arrays of the library of the inputs."""
    small = CELLS[0]

    def derivatives(xp: ModuleType) -> list[Any]:
        both, v = lift(xp, (small.params, small.x)), lift(xp, drawn_like((small.params, small.x)))
        weights, z0 = lift(xp, small.weights), lift(xp, small.z0)
        z = lambda both: fixed_point(small, z0, *both, solver=NewtonGMRES(), options=TIGHT)  # noqa: E731
        of = lambda both: ops.sum(ops.multiply(weights, ops.sin(z(both))))  # noqa: E731
        found = [linearize(z, both).jvp(v), *(multiply(of, both, v) for multiply in MODES.values())]
        assert {type(leaf) for leaf in tree_leaves(found)} == {type(z0)}
        return [lower(each) for each in found]

    for found, expected in zip(derivatives(xp), derivatives(np), strict=True):
        assert off(found, expected) < 1e-12


def test_threads_do_not_mix_up_derivatives():
    """200 Hessian products in eight threads are those of one thread, bit for bit."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), options=TIGHT)
    params, xs = drawn(deq), [batch(np.random.default_rng(seed)) for seed in range(8)]

    def derivatives(x: np.ndarray) -> list[Any]:
        of = lambda x: ops.sum(ops.sin(deq(params, x).z))  # noqa: E731
        return [linearize(of, x).jvp(x), *(multiply(of, x, x) for multiply in MODES.values())]

    alone = [derivatives(x) for x in xs]
    with ThreadPoolExecutor(8) as pool:
        for found, expected in zip(pool.map(derivatives, xs * 9), alone * 9, strict=True):
            assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_autograd_nests_with_ours():
    """autograd's Hessian and its forward mode go through the same equations."""
    small = CELLS[0]
    z = lambda x: fixed_point(small, small.z0, small.params, x, solver=NewtonGMRES(), options=TIGHT)  # noqa: E731
    of = lambda x: ops.sum(ops.multiply(small.weights, ops.sin(z(x))))  # noqa: E731
    v = drawn_like(small.x)
    hessian = MODES["forward over reverse"](of, small.x, v)
    assert off(np.tensordot(autograd.hessian(of)(small.x), v, 2), hessian) < 1e-10
    assert off(autograd.make_jvp(z)(small.x)(v)[1], linearize(z, small.x).jvp(v)) < 1e-12
    assert off(autograd.make_jvp(lambda x: value_and_grad(of)(x)[1])(small.x)(v)[1], hessian) < 1e-10
