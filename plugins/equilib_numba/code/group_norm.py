"""Group normalization and its derivative, a sample at a time (Wu & He 2018, eq. 1).

A sample is gone through two or three times, while a core's cache holds it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib_numba.code.compiling import compiled, summing
from equilib_numba.code.memory import number, row, words
from equilib_numba.code.sums import add_rows
from equilib_numba.code.team import bounds
from equilib_numba.records import HEAD


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


def normalize(dtype: np.dtype) -> Any:
    """Return the function that normalizes shares of the samples."""
    like, size, one = dtype.type(0), dtype.itemsize, dtype.type(1)

    def normalize(given: int, share: int, place: int) -> None:
        x, scale_at, shift_at, small, out, means, inverses, memory, positions, channels, groups = words(
            given + HEAD, 11
        )
        mean_at = memory + place * 2 * channels * size
        mean, factor = row(mean_at, channels, like), row(mean_at + channels * size, channels, like)
        scale, shift = row(scale_at, channels, like), row(shift_at, channels, like)
        epsilon, samples = row(small, 1, like)[0], bounds(given, share)
        for sample in range(samples[0], samples[1]):
            by = sample * positions * channels * size
            inverse = row(inverses + sample * groups * size, groups, like)
            add_rows(like, x + by, positions, channels, mean_at)
            _group_means(like, mean, groups, positions, row(means + sample * groups * size, groups, like))
            _squares(like, x + by, mean, positions, factor)
            _group_means(like, factor, groups, positions, inverse)
            for group in range(groups):
                inverse[group] = one / np.sqrt(inverse[group] + epsilon)
            for c in range(channels):
                factor[c] = inverse[c // (channels // groups)] * (scale[c] if scale_at else one)
            for s in range(positions):
                line = row(x + by + s * channels * size, channels, like)
                to = row(out + by + s * channels * size, channels, like)
                if shift_at:
                    for c in range(channels):
                        to[c] = (line[c] - mean[c]) * factor[c] + shift[c]
                else:
                    for c in range(channels):
                        to[c] = (line[c] - mean[c]) * factor[c]

    return normalize


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
def _write(
    like: Any, v: int, x: int, mean: Any, inverse: Any, first: Any, last: Any, flat: Any, along: Any, out: Any
) -> None:
    """Write (w − ⟨w⟩ − n ⟨n w⟩) · last for a position, w = v · first."""
    vector, image = row(v, len(out), like), row(x, len(out), like)
    for c in range(len(out)):
        normal = (image[c] - mean[c]) * inverse[c]
        out[c] = (vector[c] * first[c] - flat[c] - normal * along[c]) * last[c]


def derive(dtype: np.dtype) -> Any:  # noqa: C901  compiled functions are shorter than calls
    """Return the function (w − ⟨w⟩ − n ⟨n w⟩) · last with w = v · first; and, to pull, the sums of v and v n."""
    like, size, one = dtype.type(0), dtype.itemsize, dtype.type(1)

    def derive(given: int, share: int, place: int) -> None:  # noqa: C901
        v, x, scale_at, means, inverses, d_scale_at, d_shift_at, out = words(given + HEAD, 8)
        all_sums, all_products, memory, positions, channels, groups = words(given + HEAD + 64, 6)
        line = channels * size
        own = memory + place * 7 * line
        mean, inverse = row(own, channels, like), row(own + line, channels, like)
        first, last = row(own + 2 * line, channels, like), row(own + 3 * line, channels, like)
        flat = row(own + 4 * line, channels, like)
        along, spare = row(own + 5 * line, channels, like), row(own + 6 * line, channels, like)
        scale, d_scale = row(scale_at, channels, like), row(d_scale_at, channels, like)
        d_shift, samples = row(d_shift_at, channels, like), bounds(given, share)
        for sample in range(samples[0], samples[1]):
            by, group = sample * positions * line, sample * groups * size
            mu, nu = row(means + group, groups, like), row(inverses + group, groups, like)
            for c in range(channels):
                mean[c], inverse[c] = mu[c // (channels // groups)], nu[c // (channels // groups)]
            _sums(like, v + by, x + by, mean, inverse, positions, flat, along)
            if all_sums:
                sums = row(all_sums + sample * line, channels, like)
                products = row(all_products + sample * line, channels, like)
                for c in range(channels):
                    sums[c], products[c] = flat[c], along[c]
            for c in range(channels):
                weight = scale[c] if scale_at else one
                first[c], last[c] = (weight, inverse[c]) if all_sums else (one, inverse[c] * weight)
                flat[c] *= first[c]
                along[c] *= first[c]
            _group_means(like, flat, groups, positions, spare)
            _group_means(like, along, groups, positions, spare)
            for s in range(positions):
                at, to = by + s * line, row(out + by + s * line, channels, like)
                _write(like, v + at, x + at, mean, inverse, first, last, flat, along, to)
                if d_scale_at:
                    image = row(x + at, channels, like)
                    for c in range(channels):
                        to[c] += ((image[c] - mean[c]) * inverse[c]) * d_scale[c]
                if d_shift_at:
                    for c in range(channels):
                        to[c] += d_shift[c]

    return derive
