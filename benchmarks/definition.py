"""The definition of a true CONVERGED, and the verdict on a sample that claims it."""

from __future__ import annotations

from enum import Enum

import numpy as np

from benchmarks.families import Instance
from equilib import Solution, SolveOptions

SLACK = 2.0
"""Residual in float64, over the tolerance, beyond which a claim is false: rounding of f is no lie."""

FAR = 100.0
"""Distance to the nearest fixed point, over the tolerance, beyond which a claim is false or its map ill-conditioned.

A claim is meant to imply that the last step's secant predicts at most three times the tolerance."""

MISLED = 20.0
"""The same over the condition number of I − J there: a secant may see the best-conditioned direction only, and then
predicts as many times less than the distance."""


class Verdict(Enum):
    """What is true of a sample's status; the value is the word in tables."""

    SOLVED = "solved"
    FAILED = "failed"
    FAR = "far"
    FALSE_RESIDUAL = "false residual"
    FALSE_EXISTENCE = "no fixed point"
    FALSE_DISTANCE = "false distance"

    @property
    def false(self) -> bool:
        """Whether it contradicts the definition."""
        return self in (Verdict.FALSE_RESIDUAL, Verdict.FALSE_EXISTENCE, Verdict.FALSE_DISTANCE)


def rms(a: np.ndarray) -> np.ndarray:
    """Return the root mean square of each row in float64, without under- or overflow."""
    a = a.astype(np.float64)
    largest = np.max(np.abs(a), axis=1)
    scale = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)
    size: np.ndarray = scale * np.sqrt(np.mean((a / scale[:, None]) ** 2, axis=1))
    return size


def tolerance(options: SolveOptions, z: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Return atol + rtol·min(‖z‖, S), the residual that a claim allows where the solve began at the scale S."""
    return options.atol + options.rtol * np.minimum(rms(z), anchor)


def anchor(instance: Instance, solution: Solution) -> np.ndarray:
    """Return S, the largest of ‖z0‖, ‖f(z0)‖ and the residuals on the way."""
    trace = np.where(np.isfinite(solution.trace), solution.trace, 0.0)
    return np.maximum.reduce([rms(instance.z0), rms(instance.image(instance.z0)), np.max(trace, axis=0)])


def verdicts(instance: Instance, solution: Solution) -> list[Verdict]:
    """Judge every sample of a solution, from z alone, in float64."""
    claims = solution.converged
    judged = np.full(len(claims), Verdict.FAILED, dtype=object)
    if claims.any():
        judged[claims] = _of_claims(instance, solution)[claims]
    return list(judged)


def _of_claims(instance: Instance, solution: Solution) -> np.ndarray:
    """Judge all samples as if they claimed to have converged."""
    z = solution.z.astype(np.float64)
    allowed = tolerance(solution.options, z, anchor(instance, solution))
    nearest = instance.nearest(z)
    distance, small = rms(z - nearest), rms(instance.image(z) - z) <= SLACK * allowed
    misled = ~(distance <= np.maximum(FAR, MISLED * _conditions(instance, nearest)) * allowed)
    judged = np.full(len(z), Verdict.SOLVED, dtype=object)
    judged[distance > FAR * allowed] = Verdict.FAR
    judged[misled] = Verdict.FALSE_DISTANCE if instance.family.solvable else Verdict.FALSE_EXISTENCE
    judged[~small & instance.family.solvable] = Verdict.FALSE_RESIDUAL
    return judged


def _conditions(instance: Instance, z: np.ndarray) -> np.ndarray:
    """Return the condition numbers of I − J, 1 for scalar equations, whose secants see all there is."""
    if z.shape[1] == 1:
        return np.ones(len(z))
    A = np.eye(z.shape[1]) - instance.jacobians(z)
    known = np.isfinite(A).all(axis=(1, 2))
    conditions = np.ones(len(z))
    if known.any():
        conditions[known] = np.linalg.cond(A[known])
    return conditions
