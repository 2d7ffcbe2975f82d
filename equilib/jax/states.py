"""States of a solve in JAX: one array, or a tree of arrays that is packed into one for the solver."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equilib.arrays import Tree
from equilib.errors import a, some
from equilib.fixed_points.boundary import COMPLEX
from equilib.options.kinds import described


@dataclass(frozen=True)
class Packing:
    """How a state becomes an array (batch, ...): a single array as it is, a tree as rows of all its elements.

    `shapes` are those of a sample's leaves; without `batched` the state has no batch axis. `name`
    is that of a state in errors, z or y.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtype: np.dtype
    batched: bool
    name: str

    @property
    def single(self) -> bool:
        """Whether the state is one array."""
        return bool(jax.tree_util.treedef_is_leaf(self.structure))

    def pack(self, state: Tree) -> jax.Array:
        """Return the array of a state."""
        leaves = [leaf if self.batched else leaf[None] for leaf in jax.tree.leaves(state)]
        if self.single:
            packed: jax.Array = leaves[0]
            return packed
        return jnp.concatenate([leaf.reshape(leaf.shape[0], prod(leaf.shape[1:])) for leaf in leaves], axis=1)

    def unpack(self, z: jax.Array) -> Tree:
        """Return the state of an array (batch, ...)."""
        if self.single:
            return z if self.batched else z[0]
        sizes = np.cumsum([prod(shape) for shape in self.shapes])[:-1]
        rows = jnp.split(z, sizes, axis=1)
        leaves = [row.reshape(z.shape[0], *shape) for row, shape in zip(rows, self.shapes, strict=True)]
        tree: Tree = self.structure.unflatten(leaves if self.batched else [leaf[0] for leaf in leaves])
        return tree

    def time(self, t: jax.Array) -> jax.Array:
        """Return times of shape (lanes, 1, ..., 1) as f takes them: with the axes of the smallest leaf, or none."""
        if not self.batched:
            return t.reshape(())
        return t.reshape(t.shape[0], *(1,) * min(map(len, self.shapes)))

    def described(self, state: Tree, *before: jax.Array) -> str:
        """Return what f is given, a state and maybe a time before it, in a few words."""
        time = "".join(f"t of shape {t.shape} and " for t in before)
        shape = f" of shape {state.shape} and dtype {state.dtype}" if self.single else f", {self._kind()}"
        return f"{time}{self.name}{shape}"

    def check(self, value: Tree, batch: int) -> Tree:
        """Return what f gave, a state like z.

        Raises
        ------
        TypeError, ValueError
            If it is another tree, or an array in it has another shape or dtype.
        """
        if jax.tree.structure(value) != self.structure:
            raise TypeError(f"f must return what it is given, {self._kind()}, it returned {self._difference(value)}")
        for place, leaf, shape in zip(places(value), jax.tree.leaves(value), self.shapes, strict=True):
            whole = (batch, *shape) if self.batched else shape
            if jnp.shape(leaf) != whole:
                raise ValueError(f"f must keep the shape of {self.name}{place}: {whole} became {jnp.shape(leaf)}")
            dtype = jnp.result_type(leaf)
            if dtype != self.dtype:
                remedy = f"give its inputs the dtype of {self.name}"
                remedy = COMPLEX if jnp.issubdtype(dtype, jnp.complexfloating) else remedy
                raise ValueError(f"f must keep the dtype of {self.name}{place}: {self.dtype} became {dtype}; {remedy}")
        return value

    def _kind(self) -> str:
        return "an array" if self.single else f"a tree of {some(len(self.shapes), 'arrays')}"

    def _difference(self, value: Tree) -> str:
        """Return what f returned, where that differs from a state, and what to do."""
        if value is None:
            return "None; is its return statement missing?"
        if isinstance(value, tuple) and value and jax.tree.structure(value[0]) == self.structure and self.name == "z":
            return f"{described(value)}; what it returns beside it is for fixed_point(..., has_aux=True)"
        if self.single:
            return described(value)
        wanted, found = places(self.structure.unflatten([0.0] * len(self.shapes))), places(value)
        for place in (each for each in wanted if each not in found):
            return f"{described(value)} without {place}"
        for place in (each for each in found if each not in wanted):
            return f"{described(value)} with {place}, which {self.name} has not"
        return f"{described(value)} of other containers: {jax.tree.structure(value)} in the place of {self.structure}"


def places(tree: Tree) -> list[str]:
    """Return where the leaves of a tree are, as in "['a'][0]", in their order."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]


def packing(z0: Tree, name: str = "z0", *, batched: bool) -> tuple[Packing, jax.Array]:
    """Return how to pack states like z0, called `name`, and z0 packed, shape (batch, ...).

    Raises
    ------
    TypeError
        If z0 holds something else than arrays of floating-point numbers of one dtype.
    ValueError
        If its arrays have no batch axis, or several lengths of it.
    """
    leaves, structure = jax.tree.flatten(z0)
    named = [name + place for place in places(z0)]
    for own, leaf in zip(named, leaves, strict=True):
        if not isinstance(leaf, jax.Array | np.ndarray):
            raise TypeError(
                f"{own} must be an array, such as jnp.zeros((batch, features)), or a tree of them, got "
                f"{described(leaf)}"
            )
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            raise TypeError(f"{own} must hold real floating-point numbers, it is of {leaf.dtype}; {COMPLEX}")
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"{own} must hold real floating-point numbers, it is of {leaf.dtype}; take {own}.astype(float)"
            )
    if not leaves:
        raise TypeError(f"{name} must be an array or a tree of arrays, got {a(type(z0).__name__)} without any")
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    for own, leaf in zip(named, leaves, strict=True):
        if leaf.dtype != leaves[0].dtype:
            raise TypeError(
                f"the arrays of {name} must be of one dtype: {named[0]} is of {leaves[0].dtype}, {own} of {leaf.dtype}"
            )
        if batched and not leaf.ndim:
            raise ValueError(f"{own} needs a batch axis; pass batched=False if its elements form one system")
        if batched and len(leaf) != len(leaves[0]):
            raise ValueError(
                f"the arrays of {name} must share the batch axis: {named[0]} has {len(leaves[0])} samples, {own} "
                f"has {len(leaf)}"
            )
    shapes = tuple(leaf.shape[1:] if batched else leaf.shape for leaf in leaves)
    made = Packing(structure, shapes, leaves[0].dtype, batched, name[0])
    return made, made.pack(structure.unflatten(leaves))
