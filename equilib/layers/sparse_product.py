"""The product with a sparse matrix as a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.protocol import WithoutParameters


@dataclass(frozen=True, eq=False)
class SparseProduct(WithoutParameters):
    """y = A x for a constant sparse matrix A, such as the adjacency of a graph: (batch, nodes, features) to the same.

    Nodes of a graph depend on each other, and samples must not: a graph is one sample, its nodes an axis of it.

    Raises TypeError if `matrix` is none of scipy.sparse or cupyx.scipy.sparse.
    """

    matrix: Any

    def __post_init__(self) -> None:
        if not hasattr(self.matrix, "tocsr"):
            raise TypeError(f"the matrix must be one of scipy.sparse, not {type(self.matrix).__name__}")

    def __repr__(self) -> str:
        return f"SparseProduct({self.matrix.shape[0]}×{self.matrix.shape[1]}, {self.matrix.nnz:,} entries)"

    def __call__(self, params: Tree, x: Array) -> Array:
        """Return A x, shape (batch, nodes, features)."""
        return ops.sparse_matmul(self.matrix, x)
