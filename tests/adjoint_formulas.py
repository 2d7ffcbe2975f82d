"""What each approximate adjoint computes, by its formula, with dense matrices and without the adjoint's code.

A formula returns B, shape (batch, size, size), with which w = B g stands for w* = (I − Jᵀ)⁻¹ g. Then
w − w* = (B (I − Jᵀ) − I) w*, which bounds the error of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from equilib import Solution
from tests.small_equilibria import SmallEquilibrium, times


@dataclass(frozen=True)
class Approximation:
    """A gradient with respect to all inputs, and how far from the true one its formula allows it to be."""

    gradient: np.ndarray
    error: float


def approximation(name: str, sensitivity: Any, small: SmallEquilibrium, solution: Solution) -> Approximation:
    """Return what the approximate adjoint of that name has to give.

    Raises
    ------
    AssertionError
        If nobody wrote down what it approximates.
    """
    if name == "unrolled":
        return unrolled(small, sensitivity.depth)
    if name == "reversible":
        return reversible(small, solution)
    if name not in INVERSES:
        raise AssertionError(
            f"adjoint {name!r} is registered with exact=False, and tests/adjoint_formulas.py does not say what it "
            "approximates: add its formula to INVERSES"
        )
    B = INVERSES[name](sensitivity, small, solution)
    identity = np.eye(B.shape[1])
    transposed = identity - small.jacobians.swapaxes(1, 2)
    g = small.cotangent(small.z_star)
    left = np.linalg.norm(identity - B @ transposed, ord=2, axis=(1, 2))
    size = np.linalg.norm(times(np.linalg.inv(transposed), g).reshape(len(g), -1), axis=1)
    return Approximation(
        gradient=small.by_inputs.T @ times(B, g).reshape(-1),
        error=float(np.linalg.norm(small.by_inputs, 2) * np.linalg.norm(left * size)),
    )


def _jacobian_free(sensitivity: Any, small: SmallEquilibrium, solution: Solution) -> np.ndarray:
    """B = I (Fung et al. 2022, arXiv:2103.12803)."""
    return np.broadcast_to(np.eye(small.jacobians.shape[1]), small.jacobians.shape)


def _neumann(sensitivity: Any, small: SmallEquilibrium, solution: Solution) -> np.ndarray:
    """B = λ Σ_{k<K} ((1 − λ) I + λ Jᵀ)ᵏ, λ = 1 − damping (Geng et al. 2021, arXiv:2111.05177, eq. 11)."""
    share = 1 - sensitivity.damping
    identity = np.eye(small.jacobians.shape[1])
    damped = (1 - share) * identity + share * small.jacobians.swapaxes(1, 2)
    return share * sum(np.linalg.matrix_power(damped, k) for k in range(sensitivity.terms))


def _shine(sensitivity: Any, small: SmallEquilibrium, solution: Solution) -> np.ndarray:
    """B = −Hᵀ, with the inverse Jacobian H of f(z) − z in the forward solve's state (Ramzi et al. 2022)."""
    assert sensitivity.refine == 0
    shape = solution.z.shape
    units = np.eye(solution.z[0].size).reshape(-1, 1, *shape[1:])
    rows = [solution.state.inverse.apply(np.broadcast_to(unit, shape)).reshape(shape[0], -1) for unit in units]
    return -np.stack(rows, axis=1)


INVERSES: dict[str, Callable[[Any, SmallEquilibrium, Solution], np.ndarray]] = {
    "jacobian-free": _jacobian_free,
    "neumann": _neumann,
    "phantom": _neumann,
    "shine": _shine,
}
"""B of the approximate adjoints that have one; `unrolled` and `reversible` are sums over their iterates instead."""


@cache
def unrolled(small: SmallEquilibrium, depth: int) -> Approximation:
    """Return the gradient of the loss at the iterate after `depth` Picard steps, by the chain rule.

    With J and Φ = ∂f/∂inputs bounded along the way, the error of a contraction by q is of the order of depth·q^depth.
    """
    iterates = [small.z0]
    for _ in range(depth):
        iterates.append(small(iterates[-1], small.params, small.x))
    w = small.cotangent(small.z_star)
    total = np.zeros_like(small.vector)
    for z in reversed(iterates[:-1]):
        total = total + small.inputs_jacobian(z).T @ w.reshape(-1)
        w = times(small.jacobian(z).swapaxes(1, 2), w)
    rate = float(np.max(np.abs(np.linalg.eigvals(small.jacobians))))
    return Approximation(total, error=depth * rate**depth * float(np.linalg.norm(total)))


def reversible(small: SmallEquilibrium, solution: Solution) -> Approximation:
    """Return the gradient of the loss after the steps of revdeq that each sample took, by the chain rule.

    y' = (1 − β) y + β f(z) and z' = (1 − β) z + β f(y'). Of J's eigenvalue μ a step makes λ, the larger root of
    λ² − (2(1 − β) + (βμ)²) λ + (1 − β)², and the error is of the order of n·λⁿ after n steps.
    """
    share = solution.state.share
    y = z = small.z0
    points = []
    for _ in range(int(max(solution.steps))):
        points.append(z)
        y = share * y + (1 - share) * small(z, small.params, small.x)
        points.append(y)
        z = share * z + (1 - share) * small(y, small.params, small.x)
    # A half step is first ← (1 − β) first + β f(second); then the two change places.
    first, second = small.cotangent(small.z_star), np.zeros_like(z)
    total = np.zeros_like(small.vector)
    for k in reversed(range(len(points))):
        taken = (2 * solution.steps > k).reshape(-1, *(1,) * (z.ndim - 1))
        w = np.where(taken, (1 - share) * first, 0.0)
        total = total + small.inputs_jacobian(points[k]).T @ w.reshape(-1)
        through = second + times(small.jacobian(points[k]).swapaxes(1, 2), w)
        first, second = np.where(taken, through, first), np.where(taken, share * first, second)
    trace = 2 * share + ((1 - share) * np.max(np.abs(np.linalg.eigvals(small.jacobians)))) ** 2
    rate = (trace + (trace**2 - 4 * share**2) ** 0.5) / 2
    steps = int(min(solution.steps))
    return Approximation(total, error=steps * rate**steps * float(np.linalg.norm(total)))
