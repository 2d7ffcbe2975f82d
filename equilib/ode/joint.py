"""Batches whose samples f mixes, as one sample."""

from __future__ import annotations

from math import prod

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, where_samples, zeros_like
from equilib.fixed_points.linearization import Linearization


def mixes(linear: Linearization) -> bool:
    """Tell whether a sample of f depends on other samples: for each two of them, one bit of their numbers differs."""
    xp, value = array_namespace(linear.value), linear.value
    count = value.shape[0]
    wave = np.cos(np.arange(1.0, 1.0 + prod(value.shape))).reshape(value.shape)
    for bit in range((count - 1).bit_length()):
        odd = np.arange(count) >> bit & 1 == 1
        for moved in (odd, ~odd):
            tangent = coefficients(np.where(moved.reshape(-1, *[1] * (value.ndim - 1)), wave, 0.0), value)
            elsewhere = where_samples(moved, zeros_like(value), linear.jvp(tangent))
            if bool(xp.any((elsewhere != 0) & xp.isfinite(elsewhere))):
                return True
    return False


def as_one(linear: Linearization) -> Linearization:
    """Return the linearization of the batch as one sample, shape (1, elements)."""
    xp, shape = array_namespace(linear.value), linear.value.shape

    def jvp(v: Array) -> Array:
        return xp.reshape(linear.jvp(xp.reshape(v, shape)), (1, -1))

    def vjp(w: Array) -> Array:
        return xp.reshape(linear.vjp(xp.reshape(w, shape)), (1, -1))

    return Linearization(value=xp.reshape(linear.value, (1, -1)), jvp=jvp, vjp=vjp, inputs_vjp=linear.inputs_vjp)
