"""Slope of f(z) − z where a solve comes close: what share of the tolerance it leaves to the residual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from equilib.arrays import Array, Norm, host_norm, norms_together, scaled

SLACK = 3.0
"""Distance to the fixed point, as the slope tells it, that may remain, in units of the tolerance. Where f contracts by
less than 2/3 the residual alone decides."""

RESOLVED = 100.0
"""Units of rounding of z to which a distance can be known, so that no smaller tolerance is asked of it."""

LEAP = 100.0
"""Length of a step, in units of the tolerance, whose two ends say nothing of the slope at the second."""

BARELY, SOONER = 0.25, 3.0
"""Residual, in units of the tolerance, beyond which it is met just so, and by how much shorter a leap is then."""

VETO = 10.0
"""Distance that the slope where a leap ended may tell, in units of `SLACK`: it is that along one direction only."""

NOISE = 10.0
"""Units of rounding of z up to which a residual, or a step, has no direction."""

GRAIN = 4.0
"""Units of rounding of z by which a residual may change for no reason."""

EDGE = 0.01
"""Residual, in units of the tolerance, at which a plateau ends."""

Evaluate: TypeAlias = Callable[[Array], Array]
"""z ↦ f(z) − z, on arrays of shape (batch, ...)."""


@dataclass(frozen=True)
class Place:
    """Where samples came: z and f(z) − z, shape (batch, ...); ‖f(z) − z‖, tolerance, rounding of z, shape (batch,)."""

    z: Array
    residual: Array
    size: np.ndarray
    tolerance: np.ndarray
    rounding: np.ndarray


def strictness(
    evaluate: Evaluate,
    norm: Norm,
    here: Place,
    before: tuple[Array, Array] | None,
    near: np.ndarray,
    doubted: np.ndarray,
    unknown: np.ndarray,
) -> np.ndarray:
    """Return the share of the tolerance that a residual may have, so that the distance is no more than `SLACK` of it.

    The slope is that of the last step, from `before`, an iterate and its residual. After a leap a step as long as the
    tolerance is tried, along the residual or else back on the way, for one evaluation: its slope may veto, and is the
    one where there is no iterate before, or none but within rounding. So it is after a step longer than the tolerance
    of a sample that was doubted, and decides there: beside a minimum of ‖f(z) − z‖ that is not zero, iterates jump
    about. A plateau of zeros that was leapt into is one if it ends in an edge: an exponential that only underflows
    there has no slope at its end either. To find it takes as many evaluations as halve the leap down to the tolerance.

    Parameters
    ----------
    near : ndarray of bool, shape (batch,)
        The samples that are asked about.
    doubted : ndarray of bool, shape (batch,)
        Those whose residual was small enough before, but not for its slope.
    unknown : ndarray of bool, shape (batch,)
        Those of which no slope was known before.

    Returns
    -------
    ndarray, shape (batch,)
        nan or inf of a sample that has not moved, about which nothing new is known.
    """
    moved, share = np.full((2, len(near)), np.inf)
    if before is not None:
        z, residual = before
        moved, changed = norms_together(norm, here.z - z, here.residual - residual)
        short = ~(moved > NOISE * here.rounding)
        share = np.where(short, np.where(unknown & (moved > 0), np.inf, np.nan), _share(here, moved, changed))
    reach = np.fmax(here.tolerance, RESOLVED * here.rounding)
    leap = np.where(here.size > BARELY * reach, LEAP / SOONER, LEAP)
    long = np.isinf(share) | (moved > np.where(doubted, 1.0, leap) * reach)
    leapt = near & long & (here.size <= share * reach)
    if not leapt.any():
        return share
    # As long as the tolerance, or so long that a change at the slope of the last step exceeds rounding.
    length = np.fmax(reach, RESOLVED * here.rounding * SLACK / np.where(leapt, share, 1.0))
    sure = leapt & (here.size > (0 if before is None else NOISE * here.rounding))
    offset = scaled(here.residual, np.where(sure, length / np.where(sure, here.size, 1.0), 0.0))
    if before is not None:
        back = np.where(leapt & ~sure, length / np.where(leapt, moved, 1.0), 0.0)
        offset = offset + scaled(before[0] - here.z, back)
    there = evaluate(here.z + offset)
    stepped, changed = norms_together(norm, offset, there - here.residual)
    local = np.where(leapt & (stepped > 0), _share(here, stepped, changed), share)  # nan where f is not finite
    flat = leapt & ~sure & (local == 0)
    if before is not None and flat.any():
        local = np.where(flat, _at_edge(evaluate, norm, here, before, moved, flat), local)
    vetoed = leapt & ((share > 1) | ~(here.size + here.rounding <= np.where(doubted, 1.0, VETO) * local * reach))
    return np.where(vetoed, np.fmin(share, local), share)


def _share(here: Place, moved: np.ndarray, changed: np.ndarray) -> np.ndarray:
    # What of the change may be rounding tells nothing.
    slope = np.fmax(changed - GRAIN * here.rounding, 0.0) / np.where(moved > 0, moved, 1.0)
    return np.fmin(SLACK * slope, 1.0)


def _at_edge(
    evaluate: Evaluate,
    norm: Norm,
    here: Place,
    before: tuple[Array, Array],
    moved: np.ndarray,
    flat: np.ndarray,
) -> np.ndarray:
    """Return the share where the residual emerges on the way back, by halving; 0 where it vanishes too gently there."""
    edge = np.fmax(EDGE * here.tolerance, RESOLVED * here.rounding)
    inner, outer = here.size, host_norm(before[1], norm)
    near, far = np.zeros(len(flat)), np.ones(len(flat))
    known = flat & (inner <= edge) & (outer > edge) & np.isfinite(moved)
    way = before[0] - here.z
    while (known & ((far - near) * moved > edge) & (far - near > np.spacing(far))).any():
        middle = (near + far) / 2
        size = host_norm(evaluate(here.z + scaled(way, middle)), norm)
        out = size > edge
        near, inner = np.where(out, near, middle), np.where(out, inner, size)
        far, outer = np.where(out, middle, far), np.where(out, size, outer)
    width, change = (far - near) * moved, outer - inner
    sharp = known & (change > NOISE * here.rounding) & (inner * width <= SLACK * here.tolerance * change)
    return np.where(sharp, _share(here, width, change), 0.0)
