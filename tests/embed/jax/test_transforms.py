"""JAX's transformations of fixed points: jit, vmap, jacobians, scan, and what is compiled for them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest

from equilib import Status
from tests.embed.jax.cells import TIGHT, close, drawn, f, iterated

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import JitError, equilibrium, fixed_point  # noqa: E402

TRACED = ("picard", "anderson", "lbroyden", "broyden")


def layer(weight: Any, x: Any, **how: Any) -> Any:
    """Return the fixed point of f."""
    return fixed_point(f, jnp.zeros_like(x), weight, x, **{**TIGHT, **how})


def loss(weight: Any, x: Any, **how: Any) -> Any:
    """Return a number of it."""
    return jnp.sum(layer(weight, x, **how) ** 3)


@pytest.mark.parametrize("adjoint", ["implicit", "implicit:solver=picard"])
@pytest.mark.parametrize("solver", TRACED)
def test_gradient_under_jit(solver: str, adjoint: str):
    """The gradient of a traced solve is that of the eager one."""
    gradient = jax.grad(partial(loss, solver=solver, adjoint=adjoint), argnums=(0, 1))
    assert close(jax.jit(gradient)(*drawn()), gradient(*drawn()))


def test_second_derivatives_under_jit():
    """Forward over reverse, traced as a whole, is the eager second derivative."""
    second = lambda w, x: jax.jvp(jax.grad(loss), (w, x), (w, x))  # noqa: E731
    assert close(jax.jit(second)(*drawn()), second(*drawn()))


def test_vmap_makes_one_batch():
    """Equilibria of several weights are those of each, and so are their gradients, outside of jit and inside."""
    weight, x = drawn()
    weights = jnp.stack([weight, 0.5 * weight, -weight])
    expected = jnp.stack([iterated(each, x) for each in weights])
    assert close(jax.vmap(layer, in_axes=(0, None))(weights, x), expected)
    each = jax.vmap(jax.grad(loss), in_axes=(0, None))
    apart = jnp.stack([jax.grad(loss)(one, x) for one in weights])
    assert close(each(weights, x), apart)
    assert close(jax.jit(each)(weights, x), apart)


def test_vmap_over_samples_that_are_declared():
    """An input that has the batch axis, mapped over or not, stays with its sample."""
    weight, x = drawn()
    declared = lambda w, x: layer(w, x, batched_inputs=(False, True))  # noqa: E731
    xs = jnp.stack([x, 2 * x])
    assert close(jax.vmap(declared, in_axes=(None, 0))(weight, xs), jnp.stack([iterated(weight, each) for each in xs]))
    ws = jnp.stack([weight, -weight])
    jacobian = jax.vmap(jax.jacrev(declared, argnums=1), in_axes=(0, None))(ws, x)
    assert close(jacobian, jnp.stack([jax.jacrev(iterated, argnums=1)(each, x) for each in ws]))


def test_jacobians():
    """Forward and reverse Jacobians, eager and traced, are those of a differentiated loop."""
    weight, x = drawn()
    expected = jax.jacfwd(iterated)(weight, x)
    for jacobian in (jax.jacfwd(layer), jax.jacrev(layer), jax.jit(jax.jacfwd(layer))):
        assert close(jacobian(weight, x), expected)


def test_scan_over_equilibria():
    """Equilibria in a scan, each beginning where the last one ended, have the gradient of the unrolled loop."""
    weight, x = drawn()

    def chain(weight: Any) -> Any:
        step = lambda z, _: (fixed_point(f, z, weight, x + z, **TIGHT), None)  # noqa: E731
        return jnp.sum(jax.lax.scan(step, jnp.zeros_like(x), length=2)[0])

    assert close(jax.grad(chain)(weight), jax.grad(lambda w: jnp.sum(iterated(w, x + iterated(w, x))))(weight))


@pytest.mark.parametrize("solver", ["newton-gmres", "tsit5", "scipy:anderson"])
def test_what_the_host_drives_refuses_jit(solver: str):
    """A solver that cannot be traced says so in one sentence that names what can."""
    with pytest.raises(JitError, match=r"outside of jit.* or take picard, anderson, broyden or lbroyden"):
        jax.jit(partial(layer, solver=solver))(*drawn())


def test_an_adjoint_that_the_host_drives_refuses_jit():
    """So does a linear solver; and a policy that would have to raise."""
    with pytest.raises(JitError, match="cannot run under jit"):
        jax.jit(jax.grad(partial(loss, adjoint="implicit:linear_solver=bicgstab")))(*drawn())
    with pytest.raises(JitError, match="on_failure='raise' cannot be kept"):
        jax.jit(partial(layer, on_failure="raise"))(*drawn())


def test_solution_under_jit_is_arrays():
    """Statuses, residuals and counts leave a compiled function, and are those of the eager solve."""
    weight, x = drawn()
    solve = lambda w, x: equilibrium(f, jnp.zeros_like(x), w, x, solver="anderson")  # noqa: E731
    eager, traced = solve(weight, x).solution, jax.jit(solve)(weight, x).solution
    assert traced.statuses == eager.status == (Status.CONVERGED, Status.CONVERGED)
    assert traced.success
    assert list(traced.steps) == list(eager.steps)
    assert (traced.nfe, close(traced.residual_norm, eager.residual_norm)) == (eager.nfe, True)
    mapped = jax.vmap(solve, in_axes=(None, 0))(weight, x[:, None]).solution
    assert mapped.converged.shape == (2, 1)


@pytest.fixture
def compiled() -> Any:
    """Return the count of compilations so far, by JAX's own events."""
    counts: Counter[str] = Counter()

    def listen(event: str, _: float, **__: Any) -> None:
        counts[event.rpartition("/")[2]] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield counts
    jax.monitoring.unregister_event_duration_listener(listen)


def test_nothing_is_compiled_in_a_loop(compiled: Counter[str]):
    """Eager steps of training compile in the first one only, though each makes its own function and arrays."""
    weight, x = drawn()

    def step(weight: Any, x: Any, solver: str) -> Any:
        closing = lambda w: jnp.sum(fixed_point(lambda z: f(z, w, x), jnp.zeros_like(x), solver=solver))  # noqa: E731
        return weight - 0.01 * jax.grad(closing)(weight)

    for solver in ("anderson", "newton-gmres"):
        for number in range(8):
            if number == 4:  # the first steps may take different numbers of steps
                assert compiled.total()
                compiled.clear()
            weight = step(weight, x * (1 + 0.001 * number), solver)
        assert not {name: count for name, count in compiled.items() if "compile" in name}, solver


def test_a_compiled_function_is_traced_once():
    """A jitted step calls f while it is traced, and never again."""
    calls = []

    def counted(z: Any, weight: Any, x: Any) -> Any:
        calls.append(z)
        return f(z, weight, x)

    weight, x = drawn()
    step = jax.jit(jax.grad(lambda w: jnp.sum(fixed_point(counted, jnp.zeros_like(x), w, x, solver="picard"))))
    step(weight)
    known = len(calls)
    step(2 * weight)
    assert len(calls) == known


def test_a_thousand_jitted_steps_end():
    """Training steps that are dispatched without waiting for each other all end."""
    weight, x = drawn()

    @jax.jit
    def step(weight: Any, scale: Any) -> Any:
        weight = weight @ jnp.linalg.eigh(weight.T @ weight)[1]
        return 0.99 * weight - 0.01 * jax.grad(lambda w: jnp.sum(layer(w, scale * x, rtol=1e-3)))(weight)

    for number in range(1000):
        weight = step(weight, 1.0 + number / 1000)
    assert np.isfinite(weight).all()
