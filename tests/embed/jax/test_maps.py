"""Maps and states in JAX: closures, modules, trees, auxiliary outputs, batches of every size, and wrong ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import equilib
from tests.embed.jax.cells import TIGHT, close, drawn, f, iterated

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import equilibrium, fixed_point  # noqa: E402
from equilib.jax.closures import taken_apart  # noqa: E402

WEIGHT = drawn()[0]


class Plain:
    """A cell that is no tree."""

    def __init__(self, weight: Any) -> None:
        self.weight = weight
        self.scale = 1.0

    def step(self, z: Any, x: Any) -> Any:
        """Return the next state."""
        return jnp.tanh(self.scale * z @ self.weight + x)

    def __call__(self, z: Any, x: Any) -> Any:
        """Return the same."""
        return self.step(z, x)


def of_globals(z: Any, x: Any) -> Any:
    """Return the next state by a weight that is a global."""
    return jnp.tanh(z @ WEIGHT + x)


def maps(weight: Any) -> dict[str, Any]:
    """Return maps that know the weight in different ways."""
    plain = Plain(weight)
    return {
        "closure": lambda z, x: f(z, weight, x),
        "default": lambda z, x, w=weight: f(z, w, x),
        "partial": partial(lambda w, z, x: f(z, w, x), weight),
        "Partial": jax.tree_util.Partial(lambda w, z, x: f(z, w, x), weight),
        "method": plain.step,
        "object": plain,
        "of a function": (lambda g: lambda z, x: g(z, x))(plain.step),
        "jitted": jax.jit(lambda z, x: f(z, weight, x)),
    }


@pytest.mark.parametrize("kind", maps(WEIGHT))
def test_what_a_map_knows_is_differentiated(kind: str):
    """However f comes to its weight, the gradient in it is the same."""
    weight, x = drawn()
    gradient = jax.grad(lambda w: jnp.sum(fixed_point(maps(w)[kind], jnp.zeros_like(x), x, **TIGHT)))(weight)
    assert close(gradient, jax.grad(lambda w: jnp.sum(iterated(w, x)))(weight))


@pytest.mark.parametrize("kind", maps(WEIGHT))
def test_maps_of_one_code_have_one_key(kind: str):
    """A map made anew with another array is the same map, and its arrays are found."""
    one, other = taken_apart(maps(WEIGHT)[kind]), taken_apart(maps(2 * WEIGHT)[kind])
    assert one.key == other.key
    assert hash(one.key) == hash(other.key)
    assert any(np.array_equal(each, 2 * WEIGHT) for each in other.arrays)


def test_maps_that_differ_have_different_keys():
    """Constants, code and types are told apart."""
    keys = [
        taken_apart(each).key for each in (lambda z: z, lambda z: z + 1, lambda z: z + 2, partial(f, x=1), Plain(1))
    ]
    keys += [taken_apart(partial(f, x=each)).key for each in (1.0, True, 2)]
    assert all(one != other for i, one in enumerate(keys) for other in keys[i + 1 :])


def test_a_global_that_changes_is_seen(monkeypatch: pytest.MonkeyPatch):
    """A global array of the function's module is an input: what is put in its place counts."""
    _, x = drawn()
    before = fixed_point(of_globals, jnp.zeros_like(x), x, **TIGHT)
    assert close(before, iterated(WEIGHT, x))
    monkeypatch.setitem(of_globals.__globals__, "WEIGHT", -0.5 * WEIGHT)
    assert close(fixed_point(of_globals, jnp.zeros_like(x), x, **TIGHT), iterated(-0.5 * drawn()[0], x))


def test_a_dict_keeps_its_order():
    """What f closes over is put together as it was."""
    _, x = drawn()
    order = {"b": x, "a": 2 * x}
    z = fixed_point(lambda z: 0.1 * z + next(iter(order.values())), jnp.zeros_like(x), **TIGHT)
    assert close(z, x / 0.9)


def test_equinox_modules():
    """A module of Equinox is a map, an input, or closed over; its gradient is a module."""
    eqx = pytest.importorskip("equinox", reason="Equinox is not installed")
    _, x = drawn()

    class Cell(eqx.Module):  # type: ignore[misc, name-defined]
        linear: Any
        activation: Any

        def __call__(self, z: Any, x: Any) -> Any:
            return self.activation(0.3 * jax.vmap(self.linear)(z) + x)

    cell = Cell(eqx.nn.Linear(3, 3, key=jax.random.key(0), dtype=jnp.float64), jnp.tanh)

    def loss(cell: Any, way: int) -> Any:
        z0 = jnp.zeros_like(x)
        ways = (
            lambda: fixed_point(cell, z0, x, **TIGHT),
            lambda: fixed_point(lambda z, cell, x: cell(z, x), z0, cell, x, **TIGHT),
            lambda: fixed_point(lambda z: cell(z, x), z0, **TIGHT),
        )
        return jnp.sum(ways[way]() ** 2)

    first, second, third = (eqx.filter_grad(partial(loss, way=way))(cell) for way in range(3))
    assert np.any(first.linear.weight)
    assert close(first.linear.weight, second.linear.weight)
    assert close(first.linear.weight, third.linear.weight)
    assert close(eqx.filter_jit(eqx.filter_grad(partial(loss, way=0)))(cell).linear.weight, first.linear.weight)


def test_flax_modules():
    """So is a module of Flax, of both of its interfaces."""
    pytest.importorskip("flax", reason="Flax is not installed")
    from flax import linen, nnx

    _, x = drawn()
    old = linen.Dense(3, param_dtype=jnp.float64)
    params = old.init(jax.random.key(0), x)
    by_params = lambda p: fixed_point(lambda z: jnp.tanh(0.3 * old.apply(p, z) + x), jnp.zeros_like(x), **TIGHT)  # noqa: E731
    bar = jax.grad(lambda p: jnp.sum(by_params(p)))(params)
    new = nnx.Linear(3, 3, rngs=nnx.Rngs(0), param_dtype=jnp.float64)
    new.kernel[...] = params["params"]["kernel"]
    by_module = lambda m: fixed_point(lambda z, m: jnp.tanh(0.3 * m(z) + x), jnp.zeros_like(x), m, **TIGHT)  # noqa: E731
    found = nnx.grad(lambda m: jnp.sum(by_module(m)))(new)
    assert close(found.kernel[...], bar["params"]["kernel"])


def test_trees_as_states():
    """A tree of arrays with one batch axis is a state, with tuples and dicts as f returns them."""
    weight, x = drawn()

    def pair(z: Any, weight: Any) -> Any:
        a, b = z
        return jnp.tanh(b["b"] @ weight + x), {"b": 0.5 * a[:, :2] @ weight[:2]}

    z0 = jnp.zeros_like(x), {"b": jnp.zeros_like(x)}
    found = equilibrium(pair, z0, weight, **TIGHT)
    assert found.solution.success
    assert close(pair(found.z, weight), found.z)
    assert close(found.solution.z, found.z)
    loss = lambda w: jnp.sum(fixed_point(pair, z0, w, **TIGHT)[1]["b"])  # noqa: E731
    difference = (loss(weight * (1 + 1e-6)) - loss(weight * (1 - 1e-6))) / 2e-6
    assert close(jnp.vdot(jax.grad(loss)(weight), weight), difference, 1e-6)


def test_auxiliary_outputs():
    """What f returns beside z is that of the fixed point, and has its derivative."""
    weight, x = drawn()
    both = lambda z, w: (f(z, w, x), {"size": jnp.sum(z**2), "name": 3})  # noqa: E731
    z, aux = fixed_point(both, jnp.zeros_like(x), weight, has_aux=True, **TIGHT)
    assert close(aux, {"size": jnp.sum(z**2), "name": 3})
    size = lambda w: fixed_point(both, jnp.zeros_like(x), w, has_aux=True, **TIGHT)[1]["size"]  # noqa: E731
    assert close(jax.grad(size)(weight), jax.grad(lambda w: jnp.sum(iterated(w, x) ** 2))(weight))


@pytest.mark.parametrize("batch", [0, 1])
def test_small_batches(batch: int):
    """No sample, and one, have fixed points and gradients, outside of jit and inside."""
    weight, x = drawn(batch=batch)
    loss = lambda w: jnp.sum(fixed_point(f, jnp.zeros_like(x), w, x, **TIGHT))  # noqa: E731
    expected = jax.grad(lambda w: jnp.sum(iterated(w, x)))(weight)
    assert close(jax.grad(loss)(weight), expected)
    assert close(jax.jit(jax.grad(loss))(weight), expected)


def test_one_system():
    """Without a batch axis all elements are one system."""
    weight, x = drawn()
    solve = lambda x: fixed_point(f, jnp.zeros_like(x), weight, x, batched=False, **TIGHT)  # noqa: E731
    assert close(solve(x), iterated(weight, x))
    assert close(jax.vmap(solve)(x), iterated(weight, x))
    assert len(equilibrium(f, jnp.zeros_like(x), weight, x, batched=False, **TIGHT).solution.status) == 1


def test_single_precision_without_x64():
    """Single precision needs no switch, and raises no warning about one."""
    with jax.enable_x64(False):
        weight, x = (jnp.asarray(np.asarray(each, dtype=np.float32)) for each in drawn())
        z = fixed_point(f, jnp.zeros_like(x), weight, x, solver="anderson")
        assert (z.dtype, close(z, iterated(weight, x), 1e-2)) == (np.float32, True)
        assert close(jax.jit(lambda w: fixed_point(f, jnp.zeros_like(x), w, x))(weight), z, 1e-2)


WRONG = (
    (lambda x: fixed_point(f, jnp.zeros_like(x), x), TypeError, r"f is called as f\(z, \*inputs\) with one input"),
    (lambda x: fixed_point(lambda z: None, x), TypeError, "is its return statement missing"),
    (lambda x: fixed_point(lambda z: z[:, :2], x), ValueError, "must keep the shape of z"),
    (lambda x: fixed_point(lambda z: z.astype(jnp.float32), x), ValueError, "must keep the dtype of z"),
    (lambda x: fixed_point(lambda z: z, 3), TypeError, "z0 must be an array"),
    (lambda x: fixed_point(lambda z: z, jnp.arange(3)), TypeError, "floating-point numbers"),
    (lambda x: fixed_point(lambda z: z, x[0, 0]), ValueError, "batched=False"),
    (lambda x: fixed_point(lambda z: z, {"a": x, "b": x[:1]}), ValueError, "share the batch axis"),
    (lambda x: fixed_point(lambda z: z, {}), TypeError, "without any"),
    (lambda x: fixed_point(lambda z: z, x, solver="andersn"), equilib.errors.UserError, "Did you mean 'anderson'"),
    (lambda x: fixed_point(lambda z: z, x, rtl=1e-3), TypeError, "Did you mean 'rtol'"),
    (lambda x: fixed_point(lambda z: z, x, has_aux=True), TypeError, r"the pair \(z, aux\)"),
    (lambda x: fixed_point(lambda z, x: z, x, x, batched_inputs=(True, False)), ValueError, "batched_inputs must say"),
    (lambda x: fixed_point(lambda z, x: z, x, x[:1], batched_inputs=(True,)), ValueError, "has the shape"),
)


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_wrong_arguments_are_refused_in_a_sentence(case: int):
    """A mistake is named with its remedy."""
    call, error, text = WRONG[case]
    with pytest.raises(error, match=text):
        call(drawn()[1])
