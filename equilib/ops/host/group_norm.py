"""Group normalization on the host, a few samples at a time.

While x − μ of a few samples and what is computed from it are in a core's cache, memory is asked for the arguments and
takes the result, once each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import numpy as np

from equilib.ops.host.blocks import block_length, by_shares_of_blocks

_Coefficients = Callable[[slice, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Samples:
    """The samples of x, shape (batch, positions, channels), and the moments of their groups.

    `mean` and `inverse`, shape (batch, channels), are μ and 1/√(σ² + ε) of each channel's group, once computed.
    """

    def __init__(self, x: np.ndarray, groups: int) -> None:
        self.x, self.groups = x.reshape(len(x), prod(x.shape[1:-1]), x.shape[-1]), groups
        self.mean, self.inverse = (np.empty((len(x), x.shape[-1]), dtype=x.dtype) for _ in range(2))

    def blocks(self, first: int, last: int, *, arrays: int) -> Iterator[slice]:
        """Yield parts of the samples first to last − 1 such that so many arrays of their size fit the cache."""
        count = block_length(arrays * prod(self.x.shape[1:]), self.x.itemsize)
        for start in range(first, last, count):
            yield slice(start, min(start + count, last))

    def centre(self, part: slice, out: np.ndarray) -> None:
        """Write x − μ of a part of the samples to `out`."""
        np.subtract(self.x[part], self.mean[part][:, None], out=out)

    def group_means(self, sums: np.ndarray) -> np.ndarray:
        """Return the means over positions and groups for each channel; (batch, channels) sums over positions."""
        samples, channels = sums.shape
        positions = self.x.shape[1]
        if self.groups == channels:
            return sums / positions
        split = sums.reshape(samples, self.groups, channels // self.groups)
        means = np.add.reduce(split, axis=2, keepdims=True) / (positions * split.shape[2])
        return np.broadcast_to(means, split.shape).reshape(samples, channels)


def group_norm_by_blocks(
    x: np.ndarray, scale: np.ndarray | None, shift: np.ndarray | None, groups: int, epsilon: float
) -> tuple[np.ndarray, Samples]:
    """Return group_norm(x, groups, epsilon, scale, shift), and what its derivative needs; shapes as there."""
    samples, out = Samples(x, groups), np.empty(x.shape, dtype=x.dtype)
    results = out.reshape(samples.x.shape)

    def work(first: int, last: int) -> None:
        for part in samples.blocks(first, last, arrays=2):
            own = results[part]
            samples.mean[part] = samples.group_means(np.einsum("nsc->nc", samples.x[part]))
            samples.centre(part, own)
            variance = samples.group_means(np.einsum("nsc,nsc->nc", own, own))
            inverse = samples.inverse[part] = 1 / np.sqrt(variance + epsilon)
            own *= (inverse if scale is None else inverse * scale)[:, None]
            if shift is not None:
                own += shift

    by_shares_of_blocks(work, len(x), operations=6 * x.size)
    return out, samples


class GroupNormDerivative:
    """The derivative of y = (x − μ) / √(σ² + ε) · scale + shift; `samples` are those of x, with their moments."""

    def __init__(self, samples: Samples, scale: np.ndarray | None) -> None:
        self._samples = samples
        self._scale = np.ones(samples.x.shape[-1], dtype=samples.x.dtype) if scale is None else scale

    def push(self, v: np.ndarray, scale: np.ndarray | None = None, shift: np.ndarray | None = None) -> np.ndarray:
        """Return J·v for tangents of x and, where they are given, of scale and shift."""
        samples = self._samples

        def coefficients(part: slice, sums: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            # (v − ⟨v⟩ − y ⟨y v⟩) / √(σ² + ε) · scale
            inverse = samples.inverse[part]
            factor = inverse * self._scale
            along = -factor * inverse * inverse * samples.group_means(products)
            across = -factor * samples.group_means(sums)
            if scale is not None:
                along += inverse * scale
            if shift is not None:
                across += shift
            return along, across

        return self._product(v, coefficients)

    def pull(self, g: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cotangents of x, of scale and of shift."""
        samples = self._samples
        all_sums, all_products = np.empty_like(samples.inverse), np.empty_like(samples.inverse)

        def coefficients(part: slice, sums: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            # (w − ⟨w⟩ − y ⟨y w⟩) / √(σ² + ε) with w = g · scale
            all_sums[part], all_products[part] = sums, products
            inverse = samples.inverse[part]
            along = -inverse * inverse * inverse * samples.group_means(products * self._scale)
            return along, -inverse * samples.group_means(sums * self._scale)

        of_x = self._product(g, coefficients)
        return of_x, np.sum(all_products * samples.inverse, axis=0), np.sum(all_sums, axis=0)

    def _product(self, v: np.ndarray, coefficients: _Coefficients) -> np.ndarray:
        """Return v · scale / √(σ² + ε) + (x − μ) · along + across.

        For a part of the samples, coefficients(part, Σ v, Σ v (x − μ)) returns (along, across); sums over positions.
        """
        samples, out = self._samples, np.empty(v.shape, dtype=v.dtype)
        vectors, results = v.reshape(samples.x.shape), out.reshape(samples.x.shape)

        def work(first: int, last: int) -> None:
            centred = None
            for part in samples.blocks(first, last, arrays=4):
                vector, own = vectors[part], results[part]
                if centred is None or len(centred) != len(own):
                    centred = np.empty_like(own)
                samples.centre(part, centred)
                sums, products = np.einsum("nsc->nc", vector), np.einsum("nsc,nsc->nc", vector, centred)
                along, across = coefficients(part, sums, products)
                np.multiply(vector, (samples.inverse[part] * self._scale)[:, None], out=own)
                centred *= along[:, None]
                own += centred
                own += across[:, None]

        by_shares_of_blocks(work, len(v), operations=8 * v.size)
        return out
