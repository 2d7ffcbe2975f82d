"""What errors of a user's f and of its state say in JAX: the call, the leaf, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.embed.jax.cells import drawn

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import fixed_point, odeint  # noqa: E402

_, X = drawn()
Z = r"f\(z\) was given z of shape \(2, 3\) and dtype float64"
TIMES = [0.0, 1.0]


def faulty(z: Any) -> Any:
    """Multiply by what does not fit, in a function that is compiled, too."""
    return jax.jit(jnp.dot)(z, jnp.ones((2, 2)))


WAYS: dict[str, tuple[Any, str]] = {
    "plain": (lambda: fixed_point(faulty, X), Z),
    "has_aux": (lambda: fixed_point(lambda z: (faulty(z), 1), X, has_aux=True), Z),
    "jit": (lambda: jax.jit(lambda x: fixed_point(faulty, x))(X), Z),
    "vmap": (lambda: jax.vmap(lambda x: fixed_point(faulty, x))(X[None]), Z),
    "grad": (lambda: jax.grad(lambda x: fixed_point(lambda z, x: faulty(z) + x, X, x).sum())(X), Z),
    "unrolled": (lambda: fixed_point(faulty, X, adjoint="unrolled"), Z),
    "tree": (lambda: fixed_point(lambda z: {"a": faulty(z["a"])}, {"a": X}), "given z, a tree of 1 array, which"),
    "odeint": (lambda: odeint(lambda t, y: faulty(y), X, TIMES), r"f\(t, y\) was given t of shape \(1, 1\) and y of"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_f_raises_has_a_note_on_what_it_was_given(way: str):
    """However a solve is called or transformed, f's error is its own, with one note on the call."""
    make, note = WAYS[way]
    with pytest.raises(TypeError, match="dot") as caught:
        make()
    assert caught.match(note)
    assert sum("was given" in each for each in caught.value.__notes__) == 1


TREE = {"a": X, "b": (X, None)}
RETURNED: dict[str, tuple[Any, Any, str]] = {
    "pair": (X, (X, 1), r"an array, it returned a tuple; what it returns beside it is for fixed_point\(..., has_aux"),
    "pair of a tree": (TREE, (TREE, 1), r"a tree of 2 arrays, it returned a tuple; what .* has_aux=True"),
    "nothing": (X, None, "an array, it returned None; is its return statement missing"),
    "list": (X, [X], "(?m)an array, it returned a list$"),
    "missing": (TREE, {"a": X, "b": (None, None)}, r"a tree of 2 arrays, it returned a dict without \['b'\]\[0\]"),
    "more": (TREE, {"a": X, "b": (X, X)}, r"it returned a dict with \['b'\]\[1\], which z has not"),
    "array": (TREE, X, r"a tree of 2 arrays, it returned an array of shape \(2, 3\) without \['a'\]"),
    "containers": (TREE, {"a": X, "b": [X, None]}, "a dict of other containers: "),
    "shape": (TREE, {"a": X, "b": (X[:, :2], None)}, r"keep the shape of z\['b'\]\[0\]: \(2, 3\) became \(2, 2\)"),
    "complex": (X, 1j * X, "keep the dtype of z: float64 became complex128; stack the real and the imaginary part"),
}


@pytest.mark.parametrize("case", RETURNED)
def test_what_f_returns_is_told_by_its_place(case: str):
    """What is not like the state is told by what it is and where it differs, not by JAX's structures alone."""
    z0, returned, sentence = RETURNED[case]
    with pytest.raises((TypeError, ValueError), match=sentence):
        fixed_point(lambda z: returned, z0)


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (lambda y: y[:, :2], "keep the shape of y: "),
        (
            lambda y: y.astype(jnp.float32),
            "keep the dtype of y: float64 became float32; give its inputs the dtype of y",
        ),
        (lambda y: (y, 1), "an array, it returned a tuple$"),
        (lambda y: {"a": y}, "an array, it returned a dict$"),
    ],
)
def test_an_integration_speaks_of_y(returned: Any, sentence: str):
    """Its state is y, and it has no outputs beside it."""
    with pytest.raises((TypeError, ValueError), match=f"(?m){sentence}"):  # JAX adds a note
        odeint(lambda t, y: returned(y), X, TIMES)


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        (X.astype(int), r"NAME must hold .*, it is of int64; take NAME\.astype\(float\)"),
        (X + 1j, "NAME must hold real .*, it is of complex128; stack the real and the imaginary part"),
        ({"a": X, "b": [X > 0]}, r"NAME\['b'\]\[0\] must hold .*, it is of bool"),
        ({"a": X, "b": [X.astype("float32")]}, r"NAME\['a'\] is of float64, NAME\['b'\]\[0\] of float32"),
        ({"a": X, "b": [X[:1]]}, r"share the batch axis: NAME\['a'\] has 2 samples, NAME\['b'\]\[0\] has 1"),
        ({"a": X, "b": [X[0, 0]]}, r"NAME\['b'\]\[0\] needs a batch axis"),
        ({"a": X, "b": ["s"]}, r"NAME\['b'\]\[0\] must be an array"),
    ],
    ids=["integers", "complex", "truth values", "dtypes", "batches", "no batch", "text"],
)
def test_a_state_that_is_none_is_told_by_its_leaf(start: Any, sentence: str):
    """The leaf is named, what is wrong with it, and what to do; of y0 as of z0."""
    with pytest.raises((TypeError, ValueError), match=sentence.replace("NAME", "z0")):
        fixed_point(lambda z: z, start)
    with pytest.raises((TypeError, ValueError), match=sentence.replace("NAME", "y0")):
        odeint(lambda t, y: y, start, TIMES)
