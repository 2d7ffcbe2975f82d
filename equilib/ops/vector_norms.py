"""Normalization of the last axes, as transformers have it: layer norm and root mean square norm."""

from __future__ import annotations

from math import prod

from equilib.arrays import Array, is_half
from equilib.ops.elementwise import add, floating, multiply
from equilib.ops.elementwise import pow as power
from equilib.ops.half_precision import in_single
from equilib.ops.normalization import group_norm
from equilib.ops.reductions import mean
from equilib.ops.shapes import reshape, shape_of


def layer_norm(
    x: Array, scale: Array | None = None, shift: Array | None = None, epsilon: float = 1e-5, axes: int = 1
) -> Array:
    """Normalize the last `axes` axes of x to mean 0 and variance 1 (Ba, Kiros & Hinton 2016, eq. 4).

    y = (x − μ) / √(σ² + ε) · scale + shift, with μ and σ² over these axes; `scale` and `shift` have their shape.

    Raises ValueError if x has fewer axes, or `scale` or `shift` has another shape.
    """
    shape = shape_of(x)
    if not 1 <= axes <= len(shape):
        raise ValueError(f"layer norm over the last {axes} axes cannot take an array of shape {shape}")
    own = shape[len(shape) - axes :]
    for name, array in (("scale", scale), ("shift", shift)):
        if array is not None and shape_of(array) != own:
            raise ValueError(f"{name} has the shape {shape_of(array)}: give one of the last axes, {own}")
    size = prod(own)
    rows = (prod(shape[: len(shape) - axes]), size)
    flat = [None if array is None else reshape(array, (size,)) for array in (scale, shift)]
    return reshape(group_norm(reshape(x, rows), 1, epsilon, *flat), shape)


def rms_norm(x: Array, scale: Array | None = None, epsilon: float = 1e-5) -> Array:
    """Return x / √(mean x² + ε) · scale over the last axis, of the shape of x (Zhang & Sennrich 2019, eq. 4).

    Raises ValueError if x has no axis, or `scale` does not have the shape of the last one.
    """
    features = shape_of(x)[-1:]
    if not features:
        raise ValueError("rms norm is over the last axis of an array, and x has none: its shape is ()")
    if scale is not None and shape_of(scale) != features:
        raise ValueError(f"scale has the shape {shape_of(scale)}: give one number for each of {features[0]} features")
    if is_half(x):
        return in_single(rms_norm, x, scale, epsilon)
    x = floating(x)
    if features == (0,):
        return x if scale is None else multiply(x, scale)
    inverse = power(add(mean(multiply(x, x), -1, keepdims=True), epsilon), -0.5)
    normal = multiply(x, inverse)
    return normal if scale is None else multiply(normal, scale)
