"""Group normalization and its derivative, a sample at a time (Wu & He 2018, eq. 1).

A sample is gone through two or three times, while a core's cache holds it.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from equilib.kernels import OPERATIONS
from equilib_numba.compiling import compiled, entry, summing
from equilib_numba.memory import address, number, row
from equilib_numba.scratch import plain, scratch
from equilib_numba.sums import add_rows
from equilib_numba.team import share_out, shared, team


@summing
def _group_means(like: Any, sums: Any, groups: int, positions: int, means: Any) -> None:
    """Replace sums of channels by the means of their groups; write those to `means` too."""
    size = len(sums) // groups
    count = number(positions * size, like)
    for group in range(groups):
        total = like
        for c in range(group * size, (group + 1) * size):
            total += sums[c]
        means[group] = total / count
        for c in range(group * size, (group + 1) * size):
            sums[c] = means[group]


@compiled
def _normalize(
    share: int, place: int, x: Any, scale: Any, shift: Any, epsilon: float, out: Any, means: Any, inverses: Any,
    scratch: Any,
) -> None:  # fmt: skip
    _, positions, channels = x.shape
    groups, like = means.shape[1], x.dtype.type(0)
    mean, factor = scratch[place, 0], scratch[place, 1]
    at = share * positions * channels
    add_rows(like, address(x, at), positions, channels, mean)
    _group_means(like, mean, groups, positions, means[share])
    _squares(like, address(x, at), mean, positions, factor)
    _group_means(like, factor, groups, positions, inverses[share])
    one, small = number(1, like), number(epsilon, like)
    for group in range(groups):
        inverses[share, group] = one / np.sqrt(inverses[share, group] + small)
    for c in range(channels):
        factor[c] = inverses[share, c // (channels // groups)] * (scale[c] if len(scale) else one)
    for s in range(positions):
        line = row(address(x, at + s * channels), channels, like)
        to = row(address(out, at + s * channels), channels, like)
        if len(shift):
            for c in range(channels):
                to[c] = (line[c] - mean[c]) * factor[c] + shift[c]
        else:
            for c in range(channels):
                to[c] = (line[c] - mean[c]) * factor[c]


@compiled
def _squares(like: Any, x: int, mean: Any, positions: int, sums: Any) -> None:
    """Set numbers to Σ (x − μ)² of each channel."""
    channels = len(sums)
    for c in range(channels):
        sums[c] = like
    images = row(x, positions * channels, like)
    for s in range(0, positions - 1, 2):
        p, q = images[s * channels : (s + 1) * channels], images[(s + 1) * channels : (s + 2) * channels]
        for c in range(channels):
            sums[c] += (p[c] - mean[c]) * (p[c] - mean[c]) + (q[c] - mean[c]) * (q[c] - mean[c])
    if positions % 2:
        p = images[(positions - 1) * channels :]
        for c in range(channels):
            sums[c] += (p[c] - mean[c]) * (p[c] - mean[c])


@compiled
def _sums(like: Any, v: int, x: int, mean: Any, inverse: Any, positions: int, sums: Any, products: Any) -> None:
    """Set numbers to Σ v and Σ v n of each channel, n = (x − μ) / √(σ² + ε)."""
    channels = len(sums)
    for c in range(channels):
        sums[c], products[c] = like, like
    vectors, images = row(v, positions * channels, like), row(x, positions * channels, like)
    for s in range(0, positions - 1, 2):
        a, b = vectors[s * channels : (s + 1) * channels], vectors[(s + 1) * channels : (s + 2) * channels]
        p, q = images[s * channels : (s + 1) * channels], images[(s + 1) * channels : (s + 2) * channels]
        for c in range(channels):
            sums[c] += a[c] + b[c]
            products[c] += a[c] * ((p[c] - mean[c]) * inverse[c]) + b[c] * ((q[c] - mean[c]) * inverse[c])
    if positions % 2:
        a, p = vectors[(positions - 1) * channels :], images[(positions - 1) * channels :]
        for c in range(channels):
            sums[c] += a[c]
            products[c] += a[c] * ((p[c] - mean[c]) * inverse[c])


@compiled
def _derive(
    share: int, place: int, pull: bool, v: Any, x: Any, scale: Any, means: Any, inverses: Any, d_scale: Any,
    d_shift: Any, out: Any, all_sums: Any, all_products: Any, scratch: Any,
) -> None:  # fmt: skip
    """Write (w − ⟨w⟩ − n ⟨n w⟩) · last for a sample, w = v · first; and, to pull, the sums for scale and shift."""
    _, positions, channels = x.shape
    groups, like, one = means.shape[1], x.dtype.type(0), number(1, x.dtype.type(0))
    at = share * positions * channels
    mean, inverse, first = scratch[place, 0], scratch[place, 1], scratch[place, 2]
    last, flat, along, spare = scratch[place, 3], scratch[place, 4], scratch[place, 5], scratch[place, 6]
    for c in range(channels):
        mean[c], inverse[c] = means[share, c // (channels // groups)], inverses[share, c // (channels // groups)]
    _sums(like, address(v, at), address(x, at), mean, inverse, positions, flat, along)
    for c in range(channels):
        weight = scale[c] if len(scale) else one
        first[c], last[c] = (weight, inverse[c]) if pull else (one, inverse[c] * weight)
        if pull:
            all_sums[share, c], all_products[share, c] = flat[c], along[c]
            flat[c] *= weight
            along[c] *= weight
    _group_means(like, flat, groups, positions, spare)
    _group_means(like, along, groups, positions, spare)
    for s in range(positions):
        vector = row(address(v, at + s * channels), channels, like)
        line = row(address(x, at + s * channels), channels, like)
        to = row(address(out, at + s * channels), channels, like)
        for c in range(channels):
            normal = (line[c] - mean[c]) * inverse[c]
            to[c] = (vector[c] * first[c] - flat[c] - normal * along[c]) * last[c]
        if len(d_scale):
            for c in range(channels):
                to[c] += ((line[c] - mean[c]) * inverse[c]) * d_scale[c]
        if len(d_shift):
            for c in range(channels):
                to[c] += d_shift[c]


_share_normal, _share_derivative = shared(_normalize), shared(_derive)


@entry
def _group_norm(
    board: int, x: Any, scale: Any, shift: Any, epsilon: float, out: Any, means: Any, inverses: Any, scratch: Any
) -> None:
    for first in range(0, len(x), 4096):
        some = slice(first, min(first + 4096, len(x)))
        work = _share_normal((x[some], scale, shift, epsilon, out[some], means[some], inverses[some], scratch))
        share_out(board, some.stop - first, work)


@entry
def _derivative(
    board: int, pull: bool, v: Any, x: Any, scale: Any, means: Any, inverses: Any, d_scale: Any, d_shift: Any,
    out: Any, sums: Any, products: Any, of_scale: Any, of_shift: Any, scratch: Any,
) -> None:  # fmt: skip
    for first in range(0, len(x), 4096):
        a = slice(first, min(first + 4096, len(x)))
        work = _share_derivative(
            (pull, v[a], x[a], scale, means[a], inverses[a], d_scale, d_shift, out[a], sums[a], products[a], scratch)
        )
        share_out(board, a.stop - first, work)
    if pull:
        like = x.dtype.type(0)
        add_rows(like, address(products, 0), len(x), x.shape[2], of_scale)
        add_rows(like, address(sums, 0), len(x), x.shape[2], of_shift)


def _rows(x: np.ndarray) -> np.ndarray:
    return plain(x).reshape(len(x), prod(x.shape[1:-1]), x.shape[-1])


def _given(x: np.ndarray, vector: np.ndarray | None) -> np.ndarray:
    return np.empty(0, x.dtype) if vector is None else plain(vector)


def _memory(x: np.ndarray) -> np.ndarray:
    return scratch("own", (team().count, 7, x.shape[-1] + -x.shape[-1] % 16), x.dtype)[:, :, : x.shape[-1]]


def group_norm(
    x: np.ndarray, scale: np.ndarray | None, shift: np.ndarray | None, groups: int, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (x − μ) / √(σ² + ε) · scale + shift, μ, and 1/√(σ² + ε), shape (batch, groups)."""
    out = np.empty(x.shape, x.dtype)
    means, inverses = (np.empty((len(x), groups), x.dtype) for _ in range(2))
    rows = _rows(x)
    _group_norm(
        team().board, rows, _given(x, scale), _given(x, shift), float(epsilon), out.reshape(rows.shape), means,
        inverses, _memory(x),
    )  # fmt: skip
    return out, means, inverses


def group_norm_push(
    v: np.ndarray, x: np.ndarray, scale: np.ndarray | None, mean: np.ndarray, inverse: np.ndarray,
    d_scale: np.ndarray | None, d_shift: np.ndarray | None, groups: int,
) -> np.ndarray:  # fmt: skip
    """Return J v for tangents of x, of scale and of shift."""
    return _derive_by(v, x, scale, mean, inverse, d_scale, d_shift, pull=False)[0]


def group_norm_pull(
    g: np.ndarray, x: np.ndarray, scale: np.ndarray | None, mean: np.ndarray, inverse: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cotangents of x, of scale and of shift."""
    if scale is not None and not np.isfinite(scale).all():  # Σ g · scale is not scale · Σ g
        result: tuple[np.ndarray, np.ndarray, np.ndarray] = OPERATIONS["group_norm_pull"].formula(
            g, x, scale, mean, inverse, groups
        )
        return result
    return _derive_by(g, x, scale, mean, inverse, None, None, pull=True)


def _derive_by(
    v: np.ndarray, x: np.ndarray, scale: np.ndarray | None, mean: np.ndarray, inverse: np.ndarray,
    d_scale: np.ndarray | None, d_shift: np.ndarray | None, *, pull: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    rows, out, channels = _rows(x), np.empty(x.shape, x.dtype), x.shape[-1]
    sums, products = scratch("sums", (2, len(x), channels), x.dtype)
    of_scale, of_shift = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    _derivative(
        team().board, pull, _rows(v), rows, _given(x, scale), plain(mean), plain(inverse), _given(x, d_scale),
        _given(x, d_shift), out.reshape(rows.shape), sums, products, of_scale, of_shift, _memory(x),
    )  # fmt: skip
    return out, of_scale, of_shift
