"""JAX's default device for runs: arrays are put there, and our tape gives the same gradient."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import Array, to_host, tree_map
from equilib.autodiff import value_and_grad
from equilib.cli import main
from equilib.fixed_points.picard import Picard
from equilib.layers import Chain, Dense
from equilib.machine.devices import DeviceError, find_device
from equilib.models import DeepEquilibrium, InjectedCell

jax = pytest.importorskip("jax", reason="JAX is not installed")


def gradient(loss: Callable[..., Array], *arrays: Any) -> list[np.ndarray]:
    """Return the value, and the gradient by the first argument, on the host."""
    value, bars = value_and_grad(loss)(*arrays)
    return [to_host(value), *map(to_host, jax.tree.leaves(bars))]


def test_arrays_are_put_there():
    """Arrays become JAX's, of the same dtype; double precision is not halved."""
    device = find_device("jax")
    assert device.description.startswith(f"jax: JAX {jax.__version__} on ")
    put = device.put({"a": np.ones((2, 3), np.float32), "b": [np.arange(3), np.ones(2)]})
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(put))
    assert [str(leaf.dtype) for leaf in jax.tree.leaves(put)] == ["float32", "int64", "float64"]
    device.synchronize()


def test_it_is_refused_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    """A sentence tells what to install."""
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(DeviceError, match=r"--device jax needs JAX.*pip install \"equilib\[jax\]\""):
        find_device("jax")


def test_our_models_have_the_same_gradient_there():
    """An equilibrium of our own layers has the gradient of NumPy's arrays on JAX's."""
    model = DeepEquilibrium(InjectedCell(Dense(3, 3), Dense(3, 3), Chain(ops.tanh)), Picard())
    params = tree_map(lambda leaf: 0.4 * leaf, model.init(np.random.default_rng(0)))
    x = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)
    loss = lambda params, x: ops.sum(model(params, x).z)  # noqa: E731
    put = find_device("jax").put
    for ours, theirs in zip(gradient(loss, params, x), gradient(loss, put(params), put(x)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


OPERATIONS: dict[str, Callable[..., Array]] = {
    "parts": lambda x, w: x[:, 1:3, ::2] ** 2,
    "pad": lambda x, w: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))) ** 2,
    "conv2d": lambda x, w: ops.conv2d(x, w) ** 2,
    "strided conv2d": lambda x, w: ops.conv2d(x, w, (2, 2), ((1, 1), (0, 1))) ** 2,
    "max_pool": lambda x, w: ops.max_pool(x, (2, 2), (2, 2)) ** 2,
}
"""Operations whose transposes write into parts of an array, which JAX's do not allow."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_written_in_parts_is_differentiated(name: str):
    """Values and gradients are those of NumPy's arrays, though arrays of JAX's never change."""
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 5, 6, 2)), rng.standard_normal((3, 2, 2, 3))
    loss = lambda x, weight: ops.sum(OPERATIONS[name](x, weight))  # noqa: E731
    put = find_device("jax").put
    for ours, theirs in zip(gradient(loss, x, weight), gradient(loss, put(x), put(weight)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_run_computes_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`equilib run --device jax` assembles and evaluates an experiment on JAX's arrays, and says so."""
    status = main(["run", "polynomial", "--device", "jax", "--epochs", "0", "--out", str(tmp_path / "run")])
    out, errors = capsys.readouterr()
    assert (status, errors) == (0, "")
    assert f"on jax: JAX {jax.__version__}" in out
