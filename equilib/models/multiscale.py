"""The cell of a multiscale deep equilibrium model, and its scales in one flat state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

from equilib import ops
from equilib.arrays import Array, Tree, array_namespace
from equilib.layers.composite import Composite
from equilib.layers.protocol import Layer
from equilib.models.cell import Cell, step_from_zero
from equilib.ops.shapes import shape_of
from equilib.options.kinds import described

_TREES = (tuple, list, dict)

Shapes = tuple[tuple[int, ...], ...]
"""For each scale the shape of one sample."""


def join_scales(parts: Sequence[Array]) -> Array:
    """Return arrays of shape (batch, ...) as one, shape (batch, size)."""
    return ops.concat([ops.reshape(part, (shape_of(part)[0], prod(shape_of(part)[1:]))) for part in parts], 1)


@dataclass(frozen=True)
class MultiScaleCell(Composite):
    """Several scales that are iterated together (Bai et al. 2020, arXiv:2006.08656, §3).

    With z = (z₀, z₁, ...) a step is

        h₀ = first(z₀, x),  hⱼ = rest[j − 1](zⱼ);  zᵢ ← fuse[i](Σⱼ mapping[j][i](hⱼ)).

    The state is one flat array, shape (batch, size), so that every solver serves; `split` and `join` lead from it to
    the tuple of scales and back.

    Raises ValueError if the numbers of branches, mappings, shapes and fusing layers do not go together, or nothing
    leads to a scale.
    """

    first: Cell
    """The branch of scale 0, the only one that sees x."""
    rest: Sequence[Layer]
    """The branches of the other scales."""
    mapping: Sequence[Sequence[Layer | None]]
    """`mapping[j][i]` leads from scale j to scale i; None where nothing does."""
    shapes: Shapes
    fuse: Sequence[Layer] | None = None
    """What follows the sums, one layer for each scale."""

    def __post_init__(self) -> None:
        count = len(self.shapes)
        if len(self.rest) + 1 != count:
            raise ValueError(f"{count} shapes need {count} branches, the first included, not {len(self.rest) + 1}")
        if len(self.mapping) != count or any(len(row) != count for row in self.mapping):
            raise ValueError(f"{count} scales need a mapping of {count} rows of {count}")
        if self.fuse is not None and len(self.fuse) != count:
            raise ValueError(f"{count} scales need {count} fusing layers, not {len(self.fuse)}")
        for i in range(count):
            if not self._sources(i):
                raise ValueError(f"nothing leads to scale {i}: mapping[j][{i}] is None for every j")

    def children(self) -> Tree:
        """Return the branches, the mapping layers, {} where there is none, and the fusing layers."""
        return {
            "first": self.first,
            "rest": list(self.rest),
            "mapping": [[{} if layer is None else layer for layer in row] for row in self.mapping],
            "fuse": list(self.fuse or ()),
        }

    def inject(self, params: Tree, x: Array) -> Tree:
        """Return the first branch's injection for x, shape (batch, ...)."""
        return self.first.inject(params["first"], x)

    def zeros(self, params: Tree, u: Tree) -> Array:
        """Return zeros, shape (batch, size).

        Raises TypeError if the state of the first branch is a tree, ValueError if the injection is not for samples of
        the shape of scale 0.
        """
        first = self.first.zeros(params["first"], u)
        if isinstance(first, _TREES):
            raise TypeError(f"first needs one array as its state, it has {described(first)}; give each part a scale")
        self._checked(first, 0, "the injection")
        rows = (first.shape[0], sum(map(prod, self.shapes)))
        return array_namespace(first).zeros(rows, dtype=first.dtype, device=getattr(first, "device", None))

    def split(self, z: Array) -> tuple[Array, ...]:
        """Return the scales of a state, of shapes (batch, *shape).

        Raises TypeError if it is a tree, ValueError if it has another shape.
        """
        size = sum(map(prod, self.shapes))
        if isinstance(z, _TREES):
            raise TypeError(f"z must be one array, shape (batch, {size}), got {described(z)}; take cell.join(scales)")
        if shape_of(z)[1:] != (size,):
            raise ValueError(f"z must have the shape (batch, {size}), as cell.join gives it, it has {shape_of(z)}")
        batch, parts, start = shape_of(z)[0], [], 0
        for shape in self.shapes:
            end = start + prod(shape)
            parts.append(ops.reshape(ops.getitem(z, (slice(None), slice(start, end))), (batch, *shape)))
            start = end
        return tuple(parts)

    def join(self, parts: tuple[Array, ...]) -> Array:
        """Return the state that consists of these scales.

        Raises TypeError if it is no tuple, ValueError if there are more or fewer scales than the cell has, or one has
        another shape.
        """
        if not isinstance(parts, tuple | list):
            raise TypeError(f"the scales must be a tuple of {len(self.shapes)} arrays, got {described(parts)}")
        if len(parts) != len(self.shapes):
            raise ValueError(f"the state has {len(self.shapes)} scales, {len(parts)} were given")
        return join_scales([self._checked(part, i, f"entry {i}") for i, part in enumerate(parts)])

    def step(self, params: Tree, z: Array, u: Tree) -> Array:
        """Return f(z, x).

        Raises ValueError if a layer does not lead to the shape of its scale, which the error names, or as `split` does.
        """
        z0, *others = self.split(z)
        return self._combined(params, self.first.step(params["first"], z0, u), others)

    def from_zero(self, params: Tree, u: Tree) -> Array:
        """Return f(0, x), of the shape of z; what does not see x, the same in all samples, is evaluated for one.

        Raises ValueError as `step` does.
        """
        _, *others = self.split(self.zeros(params, u)[:1, ...])
        return self._combined(params, step_from_zero(self.first, params["first"], u), others)

    def _combined(self, params: Tree, first: Array, others: Sequence[Array]) -> Array:
        """Return what follows the first branch; `others` are the other scales, of the whole batch or of one sample."""
        batch = shape_of(first)[:1]
        h = [self._checked(first, 0, "first")]
        for j, (layer, own, part) in enumerate(zip(self.rest, params["rest"], others, strict=True), start=1):
            h.append(self._apply(layer, own, part, (j, j), f"rest[{j - 1}]"))
        sums = [reduce(ops.add, [self._map(params, h[j], j, i) for j in self._sources(i)]) for i in range(len(h))]
        sums = [ops.broadcast_to(each, batch + shape_of(each)[1:]) for each in sums]
        if self.fuse is not None:
            fused = enumerate(zip(self.fuse, params["fuse"], sums, strict=True))
            sums = [self._apply(*layer_own_sum, (i, i), f"fuse[{i}]") for i, layer_own_sum in fused]
        return join_scales(sums)

    def _sources(self, i: int) -> list[int]:
        return [j for j, row in enumerate(self.mapping) if row[i] is not None]

    def _map(self, params: Tree, h: Array, j: int, i: int) -> Array:
        layer = self.mapping[j][i]
        assert layer is not None  # `_sources` chose it
        return self._apply(layer, params["mapping"][j][i], h, (j, i), f"mapping[{j}][{i}]")

    def _apply(self, layer: Layer, params: Tree, x: Array, pair: tuple[int, int], name: str) -> Array:
        source, target = pair
        try:
            y = layer(params, x)
        except (ValueError, IndexError) as error:
            raise ValueError(f"{name} cannot take scale {source}, of shape {shape_of(x)[1:]}: {error}") from error
        return self._checked(y, target, f"{name}, from scale {source} to scale {target},")

    def _checked(self, y: Array, scale: int, what: str) -> Array:
        if shape_of(y)[1:] != tuple(self.shapes[scale]):
            raise ValueError(
                f"{what} gives samples of shape {shape_of(y)[1:]}, but scale {scale} has shape {self.shapes[scale]}"
            )
        return y
