"""The spectral radius of J = ∂f/∂z: what decides whether, and how fast, Picard iteration converges nearby."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.fixed_points.arguments import check_state
from equilib.fixed_points.evaluator import Counts
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import SampleStatus
from equilib.numerics.arnoldi import Compression, compress, random_start
from equilib.options.kinds import check_type


class RadiusStatus(SampleStatus):
    """How far a radius can be trusted; the value is the message for the user."""

    CONVERGED = "the estimated error is below rtol·radius"
    UNCONVERGED = "the estimated error exceeds rtol·radius; raise dimension"
    SENSITIVE = "rounding alone moves the largest eigenvalue by more than rtol·radius: J is far from normal"
    NONFINITE = "a product with J is not finite; check the point and the scale of the parameters"


@dataclass(frozen=True, kw_only=True)
class SpectralRadius:
    """ρ(J) of each sample, as far as it could be found: arrays of shape (batch,)."""

    radius: np.ndarray
    """The largest modulus of a Ritz value; nan where a product was not finite."""
    error: np.ndarray
    """First-order estimate of its error: the Ritz residual times the condition number of the Ritz value."""
    eigenvalue: np.ndarray
    """The Ritz value, of a conjugate pair the one above the real axis."""
    status: tuple[RadiusStatus, ...]
    products: int
    """Products J·v of the whole batch that were taken."""


def spectral_radius(
    problem: FixedPointProblem,
    z: Array,
    *,
    dimension: int = 40,
    rtol: float = 1e-2,
    rng: np.random.Generator | None = None,
) -> SpectralRadius:
    """Estimate ρ(J) at z, shape (batch, ...), by Arnoldi's method with J·v only (Saad 2011, §6.2).

    Ritz values see rotations: a Rayleigh quotient, as in the power method, is 0.9·cos(1.2) for 0.9 times a rotation
    by 1.2, whose radius is 0.9. An eigenvector that the random start misses stays unseen, which has probability 0 in
    exact arithmetic.

    The dimension of the Krylov space is the number of products, and of vectors like z that are kept. A radius is
    reported as converged up to an estimated relative error of `rtol`. `rng` draws the start vectors, by default the
    same in every call.

    Raises TypeError if the problem or z is something else; ValueError if `dimension` is not positive.
    """
    check_type(problem, "problem", FixedPointProblem)
    check_state(z, "z")
    counts = Counts()
    eps = float(array_namespace(z).finfo(z.dtype).eps)
    rng = np.random.default_rng(0) if rng is None else rng
    with np.errstate(all="ignore"):  # what is not finite gets a status
        spaces = compress(counts.products(problem.linearize(z)).jvp, random_start(z, rng), dimension)
        found = [_largest_ritz_value(space, eps) for space in spaces]
    eigenvalue = np.array([value for value, _ in found], dtype=complex)
    error = np.array([error for _, error in found])
    return SpectralRadius(
        radius=np.abs(eigenvalue),
        error=error,
        eigenvalue=eigenvalue,
        status=tuple(
            _status(space, abs(value), bound, rtol) for space, (value, bound) in zip(spaces, found, strict=True)
        ),
        products=counts.njvp,
    )


def _largest_ritz_value(space: Compression, eps: float) -> tuple[complex, float]:
    """Return the Ritz value of largest modulus and its estimated error (Saad 2011, eqs. 3.41 and 6.8)."""
    if not space.finite:
        return complex(np.nan), np.inf
    values, vectors = np.linalg.eig(space.matrix)
    upper = np.flatnonzero(values.imag >= 0)
    largest = upper[np.argmax(np.abs(values[upper]))]
    residual = space.rest * abs(vectors[-1, largest]) + eps * np.linalg.norm(space.matrix, 2)
    try:
        # The rows of the inverse are the left eigenvectors, scaled to yᴴx = 1; those of `eig` have length 1.
        condition = float(np.linalg.norm(np.linalg.inv(vectors)[largest]))
    except np.linalg.LinAlgError:
        condition = np.inf
    return complex(values[largest]), 0.0 if residual == 0 else float(residual * condition)


def _status(space: Compression, radius: float, error: float, rtol: float) -> RadiusStatus:
    if not space.finite:
        return RadiusStatus.NONFINITE
    if error <= rtol * radius:
        return RadiusStatus.CONVERGED
    return RadiusStatus.UNCONVERGED if space.rest else RadiusStatus.SENSITIVE
