"""Stiffness of an equation, found where an explicit method fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.ode.flow import Flow, FlowPoint, lane_rms

PRODUCTS = 12
"""Evaluations that it takes to find out."""

SHARE = 0.5
"""Part of what stability allows that the steps must have for stability to be what bounds them."""


@dataclass(frozen=True)
class Stability:
    """Length of a method's stability interval on the negative real axis, and what to take `instead` beyond it."""

    length: float
    instead: str


@runtime_checkable
class BoundedIntegrator(Protocol):
    """**Protocol:** an explicit integrator that says where it is stable, for a sentence about stiff equations."""

    @property
    def stability(self) -> Stability:
        """How far it is stable."""


def complaints(stability: Stability, flow: Flow, point: FlowPoint, h: np.ndarray, failed: np.ndarray) -> list[str]:
    """Return for each lane that failed with a step of size h the sentence that it is stiff, else nothing.

    `h` and `failed` have the shape (lanes,). It is stiff where the fastest rate of decay ρ, by the power method on
    differences of f, and h are what stability bounds; h ρ of an oscillation is no sign.
    """
    rate, decays = _fastest(flow, point, h)
    stiff = failed & decays & (np.abs(h) * rate > SHARE * stability.length)
    return [
        f"The equation is stiff: near t = {t:.6g} solutions decay at a rate ρ = {rho:.2g}, and stability bounds the "
        f"steps of an explicit method by {stability.length:.2g}/ρ; take {stability.instead}"
        if each
        else ""
        for each, t, rho in zip(stiff, point.t, rate, strict=True)
    ]


def _fastest(flow: Flow, point: FlowPoint, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the size of the dominant eigenvalue of ∂f/∂y, and whether it is negative, shape (lanes,)."""

    def norm(array: Array) -> np.ndarray:
        return lane_rms(array, flow.lanes)

    def unit(array: Array) -> Array:
        size = norm(array)
        usable = np.isfinite(size) & (size > 0)
        return flow.select(usable, array * flow.coefficient(1 / np.where(usable, size, 1.0)), flow.zeros())

    eps = float(array_namespace(point.y).finfo(point.y.dtype).eps)
    width = np.sqrt(eps) * np.maximum(norm(point.y), np.abs(h) * norm(point.dy))
    v = w = unit(point.dy)
    change = point.dy
    for _ in range(PRODUCTS):
        v = w
        change = flow(point.t, point.y + v * flow.coefficient(width)) - point.dy
        w = unit(change)
    with np.errstate(all="ignore"):
        rate = np.nan_to_num(norm(change) / width, nan=0.0, posinf=0.0)
    return rate, (norm(v + w) < SHARE) & (norm(w) > 0)
