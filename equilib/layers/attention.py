"""Attention of several heads."""

from __future__ import annotations

from dataclasses import dataclass, replace

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.composite import Composite
from equilib.layers.dense import Dense
from equilib.layers.initializers import Initializer, glorot_uniform
from equilib.layers.sizes import check_sizes
from equilib.ops.shapes import shape_of


@dataclass(frozen=True)
class MultiHeadAttention(Composite):
    """Attention of the positions of a sequence to each other (Vaswani et al. 2017, §3.2.2).

    (batch, length, features) to the same shape: each head attends with features/heads features of its own queries, keys
    and values; "out" joins the heads. With `causal` a position sees itself and those before. Keys have no bias, as it
    would add the same number to all scores of a query.

    Raises TypeError or ValueError if a size is no positive whole number, or `heads` do not divide `features`.
    """

    features: int
    heads: int
    causal: bool = False
    bias: bool = True
    initial_weight: Initializer = glorot_uniform

    def __post_init__(self) -> None:
        check_sizes(self, "features", "heads")
        if self.features % self.heads:
            raise ValueError(f"{self.heads} heads do not divide {self.features} features")

    def children(self) -> dict[str, Dense]:
        """Return the four affine maps."""
        affine = Dense(self.features, self.features, self.bias, self.initial_weight)
        return {"query": affine, "key": replace(affine, bias=False), "value": affine, "out": affine}

    def __call__(self, params: Tree, x: Array, mask: Array | None = None, context: Array | None = None) -> Array:
        """Return the attention of x, shape (batch, length, features), to itself or to `context`.

        `mask`, boolean, says which positions a position may attend to; it broadcasts to (batch, heads, length, length).
        """
        layers, seen = self.children(), x if context is None else context
        query, key, value = (
            self._heads(layers[name](params[name], source))
            for name, source in (("query", x), ("key", seen), ("value", seen))
        )
        together = ops.scaled_dot_product_attention(query, key, value, mask, causal=self.causal)
        joined = ops.reshape(ops.permute_dims(together, (0, 2, 1, 3)), (*shape_of(x)[:-1], self.features))
        return layers["out"](params["out"], joined)

    def _heads(self, x: Array) -> Array:
        batch, length, _ = shape_of(x)
        apart = ops.reshape(x, (batch, length, self.heads, self.features // self.heads))
        return ops.permute_dims(apart, (0, 2, 1, 3))
