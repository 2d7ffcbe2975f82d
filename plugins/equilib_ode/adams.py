"""Coefficients of Adams methods on a grid with variable steps, for each lane.

Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, §III.5. With h the step from xₙ to xₙ₊₁ and
dᵢ = xₙ − xₙ₋ᵢ; all arrays have the shape (lanes,).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def distances(sizes: np.ndarray) -> np.ndarray:
    """Return d₀ = 0, d₁, d₂, ... from the step sizes hₙ₋₁, hₙ₋₂, ..., shape (count, lanes)."""
    return np.concatenate((np.zeros((1, sizes.shape[1])), np.cumsum(sizes, axis=0)))


def rescaling(h: np.ndarray, d: np.ndarray, count: int) -> list[np.ndarray]:
    """Return β₀, β₁, ...: βⱼ is the product over i < j of (h + dᵢ) / dᵢ₊₁ (eq. 5.9)."""
    beta = [np.ones(h.shape)]
    for i in range(count - 1):
        beta.append(beta[-1] * (h + d[i]) / d[i + 1])
    return beta


def weights(h: np.ndarray, d: np.ndarray, count: int) -> list[np.ndarray]:
    """Return g₀, g₁, ...: cⱼ₊₁,q = cⱼ,q − cⱼ,q₊₁ h / (h + dⱼ) with c₀,q = 1/q, and gⱼ = cⱼ,₁ (eq. 5.10)."""
    c = [np.full(h.shape, 1 / q) for q in range(1, count + 1)]
    g = [c[0]]
    for j in range(count - 1):
        ratio = np.ones(h.shape) if j == 0 else h / (h + d[j])
        c = [first - second * ratio for first, second in pairwise(c)]
        g.append(c[0])
    return g


def weight_polynomials(h: np.ndarray, d: np.ndarray, count: int) -> list[np.ndarray]:
    """Return G₀, G₁, ... by coefficients of θ¹, θ², ..., shape (count, lanes) each.

    Gⱼ(θ) is the integral from 0 to θ of the product over i < j of (τ h + dᵢ) / (h + dᵢ), so Gⱼ(1) = gⱼ.
    """
    product = np.zeros((count, h.shape[0]))
    product[0] = 1.0
    exponents = np.arange(1, count + 1)[:, None]
    polynomials = [product / exponents]
    for j in range(count - 1):
        slope = np.ones(h.shape) if j == 0 else h / (h + d[j])
        shifted = np.concatenate((np.zeros((1, h.shape[0])), product[:-1]))
        product = shifted * slope + product * (1 - slope)
        polynomials.append(product / exponents)
    return polynomials
