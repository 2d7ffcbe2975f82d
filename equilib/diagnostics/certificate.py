"""Certificate of a fixed point: a bound on the distance of an iterate, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, host_norm, rms_norm, rows_like, samples_as_rows, scaled
from equilib.diagnostics.spectrum import RadiusStatus, spectral_radius
from equilib.fixed_points.arguments import check_state
from equilib.fixed_points.problem import FixedPointProblem
from equilib.numerics.arnoldi import Compression, compress, random_start
from equilib.numerics.gmres import GMRES
from equilib.options.kinds import check_type

FAILURE_PROBABILITY = 1e-6
"""With which probability, at most, the norm of one Jacobian exceeds what `jacobian_norm` returns."""


class Trust(Enum):
    """What a bound rests on; the value is the message for the user."""

    PROVEN = "f is a contraction with the Lipschitz constant that was given"
    ESTIMATED = "f is a contraction at every point that was probed around z; between them this is assumed"
    UNKNOWN = "there is no bound"

    def __repr__(self) -> str:
        return f"Trust.{self.name}"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """‖z − z*‖ ≤ ‖f(z) − z‖ / (1 − L) for each sample where f contracts by L < 1 (Banach's theorem).

    Where there is a bound, there is also exactly one fixed point within it.

    Attributes
    ----------
    bound : ndarray, shape (batch,)
        In the rms norm; inf where nothing is known.
    residual_norm : ndarray, shape (batch,)
        ‖f(z) − z‖ in the rms norm.
    contraction : ndarray, shape (batch,)
        L, the largest Euclidean norm of a Jacobian that was met, or the constant that was given.
    trust : tuple of Trust, length batch
    reason : tuple of str, length batch
        Why there is no bound; empty where there is one.
    distance : ndarray, shape (batch,)
        How far the fixed point is to first order, bound or none: the size of the Newton step (I − J)⁻¹ (f(z) − z) in
        the rms norm. inf where `dimension` products do not give it, nan where products were not asked for.
    """

    bound: np.ndarray
    residual_norm: np.ndarray
    contraction: np.ndarray
    trust: tuple[Trust, ...]
    reason: tuple[str, ...]
    distance: np.ndarray


def certify(
    problem: FixedPointProblem,
    z: Array,
    *,
    lipschitz: float | None = None,
    probes: int = 4,
    dimension: int = 40,
    rng: np.random.Generator | None = None,
) -> Certificate:
    """Bound the distance of z, shape (batch, ...), to the fixed point.

    L is estimated by ‖J‖₂ at z, at f(z), and at random points of the ball that the bound claims; its fixed point is
    then certain only as far as J is no larger between them. The spectral radius would not do: where J is not normal,
    z may be much further from z* than ‖f(z) − z‖ / (1 − ρ(J)). The rounding of f(z) − z, eps·‖z‖, counts as residual.
    What no bound is possible for may be near its fixed point all the same, or far from it where f is near the identity,
    as a gradient step is, and the residual small everywhere: `distance` tells.

    Parameters
    ----------
    problem : FixedPointProblem
        It must know J·v and Jᵀ·w unless `lipschitz` is given.
    z : array, shape (batch, ...)
    lipschitz : float, optional
        A Lipschitz constant of f in the Euclidean norm that holds by construction: the bound is then proven.
    probes : int
        Random points of the ball at which ‖J‖₂ is estimated.
    dimension : int
        Of the Krylov space for each ‖J‖₂: as many products J·v and Jᵀ·w.
    rng : Generator, optional
        By default the same random numbers in every call.

    Raises
    ------
    TypeError
        If the problem or z is something else.
    ValueError
        If `lipschitz` or `probes` is negative, or `dimension` is not positive.
    """
    if lipschitz is not None and not lipschitz >= 0:
        raise ValueError(f"lipschitz must not be negative, got {lipschitz}")
    if probes < 0:
        raise ValueError(f"probes must not be negative, got {probes}")
    check_type(problem, "problem", FixedPointProblem)
    check_state(z, "z")
    rng = np.random.default_rng(0) if rng is None else rng
    with np.errstate(all="ignore"):  # what is not finite gets a reason
        residual = problem.residual(z)
        norm = host_norm(residual, rms_norm)
        rounding = float(array_namespace(z).finfo(z.dtype).eps) * host_norm(z, rms_norm)
        if lipschitz is not None:
            constant, unknown = np.full(norm.shape, float(lipschitz)), np.full(norm.shape, np.nan)
            return _certificate(norm, rounding, constant, Trust.PROVEN, {}, unknown)
        contraction, reason = _probe(problem, z, residual, probes, dimension, rng)
        distance = _newton_distance(problem, z, residual + scaled(random_start(z, rng), rounding), dimension)
    return _certificate(norm, rounding, contraction, Trust.ESTIMATED, reason, distance)


def _newton_distance(problem: FixedPointProblem, z: Array, residual: Array, dimension: int) -> np.ndarray:
    """Return ‖(I − J)⁻¹ r‖ of residuals with their rounding, shape (batch,), inf where GMRES leaves a tenth of r."""
    linear, norm = problem.linearize(z), host_norm(residual, rms_norm)
    step, left = GMRES(dimension).solve_with_residual(
        lambda v: v - linear.jvp(v), residual, rtol=np.full(norm.shape, 1e-2), active=np.isfinite(norm)
    )
    if left is None:  # the samples depend on each other
        return np.full(norm.shape, np.inf)
    return np.where(host_norm(left, rms_norm) <= 0.1 * norm, host_norm(step, rms_norm), np.inf)


def jacobian_norm(
    problem: FixedPointProblem, z: Array, *, dimension: int = 40, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Return a value that ‖J‖₂ at z does not exceed, but with probability 1e-6; shape (batch,), nan if not finite.

    It is the largest Ritz value of JᵀJ, which is never too large, times the most by which Lanczos' method may fall
    short of it from a random start (Kuczyński & Woźniakowski 1992, theorem 4.2), inf if that is without limit.

    Raises
    ------
    TypeError
        If the problem or z is something else.
    ValueError
        If `dimension` is not positive.
    """
    check_type(problem, "problem", FixedPointProblem)
    check_state(z, "z")
    rng = np.random.default_rng(0) if rng is None else rng
    with np.errstate(all="ignore"):
        linear = problem.linearize(z)
        spaces = compress(lambda v: linear.vjp(linear.jvp(v)), random_start(z, rng), dimension)
    size = samples_as_rows(z).shape[1]
    return np.array([_largest_singular_value(space, size) for space in spaces])


def _largest_singular_value(space: Compression, size: int) -> float:
    if not space.finite:
        return math.nan
    largest = math.sqrt(max(np.linalg.eigvalsh(space.matrix + space.matrix.T)[-1] / 2, 0.0))
    if space.rest == 0:  # the space holds the largest one
        return largest
    # P(λ_Ritz < (1 − ε) λ) ≤ 1.648 √n exp(−√ε (2k − 1)) after k products, solved for ε.
    short = (math.log(1.648 * math.sqrt(size) / FAILURE_PROBABILITY) / (2 * space.matrix.shape[0] - 1)) ** 2
    return largest / math.sqrt(1 - short) if short < 1 else math.inf


def _probe(
    problem: FixedPointProblem, z: Array, residual: Array, probes: int, dimension: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[int, str]]:
    """Return the largest norm of J that was met for each sample, and why it allows no bound where it does not."""
    contraction = jacobian_norm(problem, z, dimension=dimension, rng=rng)
    reason = _why_not_at(problem, z, contraction, dimension)
    for probe in range(probes + 1):
        inside = contraction < 1
        if not inside.any():
            break
        # f(z) first: it is where the fixed point is looked for. It lies in the ball.
        offset = residual if probe == 0 else _in_ball(residual, np.where(inside, contraction, 0.0), rng)
        there = jacobian_norm(problem, z + offset, dimension=dimension, rng=rng)
        contraction = np.where(inside, np.maximum(contraction, there), contraction)
        for i in np.flatnonzero(inside & ~(contraction < 1)).tolist():
            reason[i] = (
                f"‖J‖₂ is up to {contraction[i]:.3g} within the distance where the fixed point would be; "
                "lower rtol so that this distance shrinks"
            )
    return contraction, reason


def _in_ball(residual: Array, contraction: np.ndarray, rng: np.random.Generator) -> Array:
    """Return random points of the balls with the radius ‖r‖/(1 − L)."""
    direction = random_start(residual, rng)
    radius = host_norm(residual) / (1 - contraction)
    # In many dimensions all but none of a ball's volume is near its surface.
    factor = radius / host_norm(direction)
    return rows_like(coefficients(factor, residual), residual) * direction


def _why_not_at(problem: FixedPointProblem, z: Array, norm: np.ndarray, dimension: int) -> dict[int, str]:
    """Return for each sample with no contraction at z what the spectral radius has to say about it."""
    expansive = np.flatnonzero(~(norm < 1)).tolist()
    if not expansive:
        return {}
    found = spectral_radius(problem, z, dimension=dimension)
    reason = {}
    for i in expansive:
        text = f"f does not contract at z: ‖J‖₂ is up to {norm[i]:.3g}"
        if math.isnan(norm[i]):
            reason[i] = "a product with J is not finite; check the point and the scale of the parameters"
        elif math.isinf(norm[i]):
            reason[i] = f"{dimension} products with J say nothing about its norm; raise dimension"
        elif found.status[i] is not RadiusStatus.CONVERGED:
            reason[i] = f"{text}, and the spectral radius of J is not known"
        elif found.radius[i] < 1:
            reason[i] = f"{text}, although the spectral radius {found.radius[i]:.3g} is below 1"
        else:
            reason[i] = f"{text}, and its spectral radius is {found.radius[i]:.3g}"
    return reason


def _certificate(
    norm: np.ndarray,
    rounding: np.ndarray,
    contraction: np.ndarray,
    trust: Trust,
    reason: dict[int, str],
    distance: np.ndarray,
) -> Certificate:
    for i in range(len(norm)):
        if not math.isfinite(norm[i]):
            reason[i] = "f(z) is not finite; check the point and the scale of the parameters"
        elif i not in reason and not contraction[i] < 1:
            reason[i] = f"the Lipschitz constant {contraction[i]:.3g} is not below 1, so f need not contract"
    known = np.array([i not in reason for i in range(len(norm))], dtype=bool)
    return Certificate(
        bound=np.where(known, (norm + rounding) / np.where(known, 1 - contraction, 1.0), np.inf),
        residual_norm=norm,
        contraction=contraction,
        trust=tuple(trust if each else Trust.UNKNOWN for each in known),
        reason=tuple(reason.get(i, "") for i in range(len(norm))),
        distance=distance,
    )
