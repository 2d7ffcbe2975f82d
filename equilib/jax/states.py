"""States of a solve in JAX: one array, or a tree of arrays that is packed into one for the solver."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equilib.arrays import Tree
from equilib.errors import a
from equilib.options.kinds import described


@dataclass(frozen=True)
class Packing:
    """How a state becomes an array (batch, ...): a single array as it is, a tree as rows of all its elements.

    `shapes` are those of a sample's leaves; without `batched` the state has no batch axis.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtype: np.dtype
    batched: bool

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

    def check(self, value: Tree, batch: int) -> Tree:
        """Return what f gave, a state like z.

        Raises
        ------
        TypeError, ValueError
            If it is another tree, or an array in it has another shape or dtype.
        """
        structure = jax.tree.structure(value)
        if structure != self.structure:
            hint = "; is its return statement missing?" if value is None else ""
            raise TypeError(f"f must return what it is given, {self.structure}, it returned {structure}{hint}")
        for leaf, shape in zip(jax.tree.leaves(value), self.shapes, strict=True):
            whole = (batch, *shape) if self.batched else shape
            if jnp.shape(leaf) != whole:
                raise ValueError(f"f must keep the shape of z: {whole} became {jnp.shape(leaf)}")
            if jnp.result_type(leaf) != self.dtype:
                raise ValueError(
                    f"f must keep the dtype of z: {self.dtype} became {jnp.result_type(leaf)}; "
                    "give its inputs the dtype of z"
                )
        return value


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
    for leaf in leaves:
        if not isinstance(leaf, jax.Array | np.ndarray):
            raise TypeError(
                f"{name} must be an array, such as jnp.zeros((batch, features)), or a tree of them, got "
                f"{described(leaf)}"
            )
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(f"{name} must hold real floating-point numbers, it is of {leaf.dtype}")
    if not leaves:
        raise TypeError(f"{name} must be an array or a tree of arrays, got {a(type(z0).__name__)} without any")
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    dtypes = sorted({str(leaf.dtype) for leaf in leaves})
    if len(dtypes) > 1:
        raise TypeError(f"the arrays of {name} must be of one dtype, they are of {' and '.join(dtypes)}")
    if batched:
        batches = {leaf.shape[:1] for leaf in leaves}
        if () in batches:
            raise ValueError(f"{name} needs a batch axis; pass batched=False if its elements form one system")
        if len(batches) > 1:
            raise ValueError(
                f"the arrays of {name} must share the batch axis, they have {sorted(b for (b,) in batches)} samples"
            )
    shapes = tuple(leaf.shape[1:] if batched else leaf.shape for leaf in leaves)
    made = Packing(structure, shapes, leaves[0].dtype, batched)
    return made, made.pack(structure.unflatten(leaves))
