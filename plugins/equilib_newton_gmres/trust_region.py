"""Trust region of a Newton step: dogleg steps within a radius, for each sample by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib import Evaluator
from equilib.arrays import Array, array_namespace, dot, host_norm, to_host, where_samples
from equilib.numerics.line_search import NewtonPoint, moved

# Nocedal & Wright 2006, algorithm 4.1: the share of the predicted decrease that is enough to keep a step, and those
# at which the radius shrinks and grows.
KEEP, SHRINK_BELOW, GROW_ABOVE = 1e-4, 0.25, 0.75
SHRINK, GROW = 0.25, 2.0


@dataclass(frozen=True)
class Dogleg:
    """The steps a p + b d between steepest descent p = Aᵀr and the inexact Newton step d of A d ≈ r, A = I − J.

    `gram` holds the products of (p, d), shape (batch, 2, 2); `image` those of (r, A p, A d), shape (batch, 3, 3).
    """

    descent: Array = field(repr=False)
    newton: Array = field(repr=False)
    gram: np.ndarray
    image: np.ndarray

    @classmethod
    def of(cls, point: NewtonPoint, newton: Array) -> Dogleg:
        """Form the model ‖r − A s‖ of the residual, for one product Jᵀ·w and two products J·v."""
        r, linear = point.residual, point.linear
        p = r - linear.vjp(r)
        return cls(p, newton, _gram(p, newton), _gram(r, p - linear.jvp(p), newton - linear.jvp(newton)))

    @np.errstate(all="ignore")  # what is not finite is at an end of the dogleg
    def weights(self, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a and b of the point where the dogleg leaves the ball (Pawlowski et al. 2008), or of its end."""
        pp, pd, dd = self.gram[:, 0, 0], self.gram[:, 0, 1], self.gram[:, 1, 1]
        cauchy = self.image[:, 0, 1] / self.image[:, 1, 1]  # minimizes the model along p
        # ‖c p + γ (d − c p)‖ = radius
        square = dd - 2 * cauchy * pd + cauchy**2 * pp
        half = cauchy * pd - cauchy**2 * pp
        rest = cauchy**2 * pp - radius**2
        gamma = (-half + np.sqrt(np.maximum(half**2 - square * rest, 0.0))) / square
        gamma = np.clip(np.nan_to_num(gamma), 0.0, 1.0)
        outside = rest > 0  # even the Cauchy point
        a = np.where(outside, radius / np.sqrt(pp), (1 - gamma) * cauchy)
        b = np.where(outside, 0.0, gamma)
        ends = dd <= radius**2
        return np.where(ends, 0.0, a), np.where(ends, 1.0, b)

    def remaining(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the ‖r − A s‖ that the model predicts."""
        x = np.stack((np.ones_like(a), -a, -b), axis=1)
        square = np.einsum("bi,bij,bj->b", x, self.image, x)
        return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def trust_region(
    f: Evaluator, point: NewtonPoint, newton: Array, *, forcing: np.ndarray, radius: np.ndarray, shrinks: int
) -> tuple[NewtonPoint, np.ndarray, np.ndarray]:
    """Go along the dogleg, within a radius in which the linear model has proved right.

    Inexact Newton dogleg (Pawlowski, Simonis, Walker & Shadid 2008, SIAM J. Numer. Anal. 46(4)): unlike a shortened
    Newton step it turns towards steepest descent, which still descends where I − J is nearly singular. The products
    for that are spent only when a sample's Newton step is too long.

    Returns the point, the active samples without a decrease, which stay where they were, and the next radius; of shape
    (batch,).
    """
    length = host_norm(newton)
    whole = ~f.active | (length <= radius)
    a, b = np.zeros(length.shape), np.ones(length.shape)
    searching, model = f.active, None
    for _ in range(shrinks + 1):
        predicted = (1 - forcing) * point.norm
        if not whole.all():
            model = Dogleg.of(point, newton) if model is None else model
            bent = searching & ~whole
            new_a, new_b = model.weights(radius)
            a, b = np.where(bent, new_a, a), np.where(bent, new_b, b)
            predicted = np.where(bent, point.norm - model.remaining(a, b), predicted)
        z = moved(point.z, newton, b)
        new = NewtonPoint.at(f, z if model is None else moved(z, model.descent, a))
        ratio = (point.norm - new.norm) / predicted
        rejected = searching & ~(ratio >= KEEP)
        radius = np.where(searching, _next_radius(radius, np.where(whole, length, radius), ratio, whole=whole), radius)
        if not rejected.any():
            return new, rejected, radius
        searching, whole = rejected, whole & ~rejected
    return NewtonPoint.at(f, where_samples(rejected, point.z, new.z)), rejected, radius


def _next_radius(radius: np.ndarray, length: np.ndarray, ratio: np.ndarray, *, whole: np.ndarray) -> np.ndarray:
    grown = np.where((ratio > GROW_ABOVE) & ~whole, GROW * radius, radius)
    return np.where(ratio >= SHRINK_BELOW, grown, SHRINK * length)


def _gram(*vectors: Array) -> np.ndarray:
    xp = array_namespace(*vectors)
    products = xp.stack([dot(one, other) for one in vectors for other in vectors], axis=1)
    return np.asarray(to_host(products).astype(np.float64).reshape(-1, len(vectors), len(vectors)))
