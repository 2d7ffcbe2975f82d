"""Leaves of trees in files: arrays of every library, and what is none or has no numbers that NumPy holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import equilib
from equilib.errors import UserError


def torch_leaf(make: Callable[[Any], Any]) -> Callable[[], Any]:
    """Return a function that makes a tensor of PyTorch."""
    return lambda: make(pytest.importorskip("torch"))


def jax_leaf(make: Callable[[Any], Any]) -> Callable[[], Any]:
    """Return a function that makes an array of JAX."""
    return lambda: make(pytest.importorskip("jax"))


ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "sparse": (torch_leaf(lambda torch: torch.eye(2).to_sparse()), "of torch.float32, cannot become .*to_dense"),
    "meta": (torch_leaf(lambda torch: torch.ones(2, device="meta")), "of torch.float32, cannot become .*no data"),
    "float8": (torch_leaf(lambda torch: torch.ones(2).to(torch.float8_e4m3fn)), "float8_e4m3fn, cannot become"),
    "float8 of JAX": (jax_leaf(lambda jax: jax.numpy.ones(2, "float8_e4m3fn")), "must hold real numbers, .*float8"),
    "a key": (jax_leaf(lambda jax: jax.random.key(0)), "of key<fry>, cannot become .*key_data"),
    "a class": (lambda: np.ndarray, "must be an array or a number, got the class ndarray"),
    "a dtype": (lambda: np.dtype("float32"), "must be an array or a number, got a"),
}


@pytest.mark.parametrize("name", ODD)
def test_leaves_that_no_file_holds_are_named(tmp_path: Path, name: str):
    """The sentence begins with the place of the leaf, and says what it is; nothing is written."""
    make, sentence = ODD[name]
    leaf = make()
    with pytest.raises(UserError, match=rf"^a/w(,| must) .*{sentence.removeprefix('must ')}"):
        equilib.save(tmp_path / "tree.npz", {"a": {"w": leaf}})
    with pytest.raises(UserError, match=rf"^the tree(,| must) .*{sentence.removeprefix('must ')}"):
        equilib.save(tmp_path / "tree.npz", leaf)
    assert not (tmp_path / "tree.npz").exists()


@pytest.mark.parametrize("name", ["float8", "float8 of JAX", "a key", "a class", "a dtype"])
def test_a_like_that_no_file_fills_is_named(tmp_path: Path, name: str):
    """What has no dtype of NumPy's, or is no array, is told by its place, not compared with the file."""
    leaf = ODD[name][0]()
    equilib.save(tmp_path / "tree.npz", {"a": {"w": np.ones(2)}})
    with pytest.raises(UserError, match=r"like must .*, at 'a/w' it (has|is of)"):
        equilib.load(tmp_path / "tree.npz", like={"a": {"w": leaf}})
    with pytest.raises(UserError, match=r"like must .*, it (has|is of)"):
        equilib.load(tmp_path / "tree.npz", like=leaf)


def test_a_traced_leaf_is_refused_in_one_line(tmp_path: Path):
    """What JAX traces has no numbers to be saved."""
    jax = pytest.importorskip("jax")
    with pytest.raises(UserError, match=r"^w, of float32, cannot become an array of NumPy's: .*traced") as caught:
        jax.jit(lambda x: equilib.save(tmp_path / "tree.npz", {"w": x}))(jax.numpy.ones(2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["torch", "jax.numpy"])
def test_bfloat16_is_saved_in_single_precision(tmp_path: Path, library: str):
    """NumPy has no such dtype; into a tree of it the numbers come back as they were."""
    xp = pytest.importorskip(library)
    tree = {"w": xp.asarray([1.5, -2.0], dtype=xp.bfloat16)}
    equilib.save(tmp_path / "tree.npz", tree)
    assert equilib.load(tmp_path / "tree.npz")["w"].dtype == np.float32
    found = equilib.load(tmp_path / "tree.npz", like=tree)["w"]
    assert found.dtype == tree["w"].dtype
    assert [float(each) for each in found] == [1.5, -2.0]
