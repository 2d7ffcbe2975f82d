"""Linear combinations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equilib import arrays as plain
from equilib.arrays import Array
from equilib.autodiff.rules import joint_rule, primitive
from equilib.ops.elementwise import multiply


def weighted_sum(base: Array | None, weights: Sequence[float | Array], arrays: Sequence[Array]) -> Array:
    """Return base + Σ wᵢ aᵢ for arrays of one shape and dtype.

    The weights are constants: numbers, or arrays of that dtype that broadcast against the others. One operation,
    however many terms: the steps of an integrator are made of such sums.
    """
    return _weighted_sum(tuple(weights), base, *arrays)


@primitive
def _weighted_sum(weights: tuple[float | Array, ...], base: Array | None, *arrays: Array) -> Array:
    return plain.weighted_sum(base, weights, arrays)


class _WeightedSumMap:
    """The derivative of `weighted_sum`, which is linear."""

    __slots__ = ("weights",)

    def __init__(self, argnums: tuple[int, ...], weights: tuple[float | Array, ...]) -> None:
        self.weights = [None if argnum == 1 else weights[argnum - 2] for argnum in argnums]

    def push(self, positions: Sequence[int], tangents: Sequence[Array]) -> Array:
        weights = [self.weights[position] for position in positions]
        return weighted_sum(None, [1.0 if weight is None else weight for weight in weights], tangents)

    def pull(self, positions: Sequence[int], cotangent: Array) -> Sequence[Array]:
        weights = [self.weights[position] for position in positions]
        return [cotangent if weight is None else multiply(cotangent, weight) for weight in weights]


@joint_rule(_weighted_sum)
def _(argnums: tuple[int, ...], ans: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _WeightedSumMap:
    return _WeightedSumMap(argnums, args[0])
