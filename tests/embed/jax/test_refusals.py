"""What a solve in JAX refuses, in a sentence, and what it takes though it is rarely given."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from tests.embed.jax.cells import TIGHT, close, drawn, f, iterated

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib import Status  # noqa: E402
from equilib.errors import NoDerivativeError, UserError  # noqa: E402
from equilib.jax import JitError, equilibrium, fixed_point, odeint  # noqa: E402

WEIGHT, X = drawn()


def test_jacobians_of_approximate_adjoints():
    """`jacrev` is reverse mode, which an adjoint without a calculus has: its rows are the gradients."""
    layer = lambda w: fixed_point(f, jnp.zeros_like(X), w, X, solver="lbroyden", adjoint="jacobian-free")  # noqa: E731
    jacobian = jax.jacrev(layer)(WEIGHT)
    for place in ((0, 1), (1, 0)):
        assert close(jacobian[place], jax.grad(lambda w, place=place: layer(w)[place])(WEIGHT))


APPROXIMATE = ["jvp", "hessian", "jacfwd", "linearize", "grad of grad", "jvp of grad", "vmap", "jvp by a number"]


@pytest.mark.parametrize("derivative", APPROXIMATE)
def test_an_approximate_adjoint_names_itself(derivative: str):
    """Whatever is asked of an adjoint with first derivatives in reverse mode only is refused in its name."""
    loss = lambda w: jnp.sum(fixed_point(f, jnp.zeros_like(X), w, X, solver="lbroyden", adjoint="shine"))  # noqa: E731
    by_number = lambda s: fixed_point(lambda z: jnp.tanh(s * z), X, solver="lbroyden", adjoint="shine")  # noqa: E731
    ways = {
        "jvp": lambda: jax.jvp(loss, (WEIGHT,), (WEIGHT,)),
        "hessian": lambda: jax.hessian(loss)(WEIGHT),
        "jacfwd": lambda: jax.jacfwd(loss)(WEIGHT),
        "linearize": lambda: jax.linearize(loss, WEIGHT)[1](WEIGHT),
        "grad of grad": lambda: jax.grad(lambda w: jnp.sum(jax.grad(loss)(w)))(WEIGHT),
        "jvp of grad": lambda: jax.jvp(jax.grad(loss), (WEIGHT,), (WEIGHT,)),
        "vmap": lambda: jax.vmap(jax.grad(loss))(WEIGHT[None]),
        "jvp by a number": lambda: jax.jvp(by_number, (0.5,), (1.0,)),
    }
    with pytest.raises(NoDerivativeError, match="Shine"):
        ways[derivative]()


def test_options_are_constants():
    """An option that is traced is named, with what to do."""
    with pytest.raises(JitError, match=r"rtol is traced.*static_argnames='rtol'"):
        jax.jit(lambda rtol: fixed_point(f, jnp.zeros_like(X), WEIGHT, X, rtol=rtol))(1e-3)
    with pytest.raises(JitError, match="atol is traced"):
        jax.grad(lambda atol: jnp.sum(odeint(lambda t, y: -y, X, [0.0, 1.0], atol=atol)))(1e-3)


def test_a_declaration_is_checked_under_jit():
    """An input that is declared to have the batch axis has it, under jit as outside."""
    solve = lambda w: fixed_point(f, jnp.zeros_like(X), w, X, batched_inputs=(True, True))  # noqa: E731
    for each in (solve, jax.jit(solve)):
        with pytest.raises(ValueError, match="input 0 is declared"):
            each(WEIGHT)


def test_a_map_without_tangents():
    """Of an f with a `custom_vjp` a solver that needs no J·v has gradients, and one that does is refused."""

    @jax.custom_vjp
    def tanh(x: Any) -> Any:
        return jnp.tanh(x)

    tanh.defvjp(lambda x: (jnp.tanh(x), jnp.tanh(x)), lambda y, g: ((1 - y**2) * g,))
    step = lambda z, w: tanh(z @ w + X)  # noqa: E731
    loss = lambda w, **how: jnp.sum(fixed_point(step, jnp.zeros_like(X), w, **{**TIGHT, **how}))  # noqa: E731
    gradient = jax.grad(lambda w: loss(w, solver="anderson", max_steps=100))(WEIGHT)
    assert close(gradient, jax.grad(lambda w: jnp.sum(iterated(w, X)))(WEIGHT))
    with pytest.raises(NoDerivativeError, match="take a solver that asks for none"):
        loss(WEIGHT, solver="newton-gmres")


def test_an_empty_axis_is_mapped():
    """`vmap` over no lanes returns none, wherever the axis is, with gradients of zero."""
    layer = lambda w, x: fixed_point(f, jnp.zeros_like(X), w, x, **TIGHT)  # noqa: E731
    none = jnp.zeros((0, *X.shape))
    mapped = jax.vmap(layer, in_axes=(None, 0))
    assert mapped(WEIGHT, none).shape == none.shape
    assert jax.vmap(layer, in_axes=(None, 2))(WEIGHT, jnp.zeros((*X.shape, 0))).shape == none.shape
    assert not jax.grad(lambda w: jnp.sum(mapped(w, none)))(WEIGHT).any()
    each = jax.vmap(jax.grad(lambda w, x: jnp.sum(layer(w, x))), in_axes=(None, 0))
    assert each(WEIGHT, none).shape == (0, *WEIGHT.shape)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_under_jit(dtype: str):
    """Each traced solver takes the dtypes of half precision."""
    w, x = WEIGHT.astype(dtype), X.astype(dtype)
    for solver in ("picard", "anderson", "broyden", "lbroyden"):
        found = jax.jit(lambda w, x, s=solver: equilibrium(f, jnp.zeros_like(x), w, x, solver=s, rtol=2e-2))(w, x)
        assert found.z.dtype == dtype
        assert found.solution.converged.all()
        assert jnp.abs(found.z.astype(WEIGHT.dtype) - iterated(WEIGHT, X)).max() < 0.1


def test_no_tracer_outlives_its_loop():
    """JAX's checker of leaks finds none in a traced solve."""
    with jax.checking_leaks():
        for solver in ("anderson", "broyden"):
            how = {"rtol": 1e-3, "solver": solver}
            jax.jit(jax.grad(lambda w, how=how: jnp.sum(fixed_point(f, jnp.zeros_like(X), w, X, **how))))(WEIGHT)


@pytest.mark.parametrize("integrator", ["kencarp47", "bdf"])
def test_steps_that_solve_equations_have_no_discrete_adjoint(integrator: str):
    """By whatever one differentiates, an implicit integrator is refused with the adjoints that it has."""
    end = lambda y0, t, a: jnp.sum(  # noqa: E731
        odeint(lambda t, y, a: jnp.sin(a * t) * y, y0, t, a, integrator=integrator, adjoint="discrete")
    )
    for argnum in range(3):
        with pytest.raises(NoDerivativeError, match="in the adjoint discrete; take interpolating, gauss or backsolve"):
            jax.grad(end, argnums=argnum)(jnp.asarray([[1.0, 0.5]]), jnp.asarray([0.1, 1.5]), jnp.asarray(1.3))


@pytest.mark.parametrize("norm", [jnp.max, lambda r: jnp.max(jnp.abs(r), 1, keepdims=True), lambda _: 1.0])
def test_a_norm_under_jit_is_one_number_a_sample(norm: Any):
    """A norm of another shape is refused under jit in the sentence of the host."""
    solve = lambda x: fixed_point(lambda z, x: jnp.tanh(0.5 * z + x), jnp.zeros_like(x), x, norm=norm)  # noqa: E731
    for run in (solve, jax.jit(solve)):
        with pytest.raises(ValueError, match=r"norm must return one number a sample, shape \(2,\), it returned"):
            run(jnp.ones((2, 3)))


def test_a_negative_norm_never_converges_under_jit():
    """What the host refuses, a compiled solve calls not finite."""
    f = lambda z, x: jnp.tanh(0.9 * z + x)  # noqa: E731
    how: Any = {"solver": "picard", "norm": lambda r: -jnp.max(jnp.abs(r), 1), "on_failure": "record"}
    solve = lambda x: equilibrium(f, jnp.zeros_like(x), x, **how).solution  # noqa: E731
    assert set(jax.jit(solve)(jnp.ones((2, 3))).statuses) == {Status.NONFINITE}


def hidden(place: str, weight: Any) -> Callable[[], Any]:
    """Return what reads a weight in a place where nobody looks for arrays."""
    if place == "class":
        holder = type("Holder", (), {"weight": weight})
        return lambda: holder.weight
    if place == "cache":
        return functools.cache(lambda: weight)
    if place == "generator":
        weights = (weight for _ in range(9))
        return lambda: next(weights)
    linen = pytest.importorskip("flax.linen", reason="Flax is not installed")
    bound = linen.Dense(3, use_bias=False, param_dtype=weight.dtype).bind({"params": {"kernel": weight}})
    return lambda: bound(jnp.eye(3))


@pytest.mark.parametrize("place", ["class", "cache", "generator", "bound module"])
@pytest.mark.parametrize("way", ["grad", "jit of grad", "jit", "vmap", "jit of vmap"])
def test_a_traced_array_is_an_input(place: str, way: str):
    """One that f reads where none is looked for is refused: its derivative would be zero without a word."""

    def loss(weight: Any) -> Any:
        read = hidden(place, weight)
        return jnp.sum(fixed_point(lambda z: f(z, read(), X), jnp.zeros_like(X), **TIGHT))

    if place == "bound module":
        assert close(loss(WEIGHT), jnp.sum(iterated(WEIGHT, X)))
    ways = {
        "grad": lambda: jax.grad(loss)(WEIGHT),
        "jit of grad": lambda: jax.jit(jax.grad(loss))(WEIGHT),
        "jit": lambda: jax.jit(loss)(WEIGHT),
        "vmap": lambda: jax.vmap(loss)(WEIGHT[None]),
        "jit of vmap": lambda: jax.jit(jax.vmap(loss))(WEIGHT[None]),
    }
    with pytest.raises(UserError, match=r"f reads an array of shape \(3, 3\) that JAX traces .* give it as an input"):
        ways[way]()
