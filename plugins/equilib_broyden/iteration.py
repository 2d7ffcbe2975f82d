"""The quasi-Newton step that both forms of Broyden's method take."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, Self, TypeVar

import numpy as np

from equilib import Evaluator, FixedPointProblem
from equilib.arrays import Array, coefficients, host_norm, only_samples, rows_like, where_samples

RESTART = 2
"""Steps taken back in a row after which the inverse Jacobian starts again."""


class InverseJacobian(Protocol):
    """**Protocol:** H, one approximation of the inverse Jacobian of f(z) − z for each sample."""

    def apply(self, x: Array) -> Array:
        """Return H x."""

    def transposed(self) -> Self:
        """Return Hᵀ."""

    def restarted(self, f: Evaluator | FixedPointProblem, z: Array, samples: np.ndarray) -> Self:
        """Forget what the given samples, bool (batch,), have learned, and begin again at z."""

    def with_room(self) -> Self:
        """Return an H that can be updated without forgetting; H itself where it has room."""

    def updated(self, step: Array, change: Array, image: Array) -> Self:
        """Return the good Broyden update, H + (s − H y) sᵀH / sᵀH y: then H y = s (Broyden 1965).

        `image` is H y. A sample whose denominator is rounding or not finite keeps its H.
        """

    def apply_updated(self, x: Array, before: Array) -> Array:
        """Return H x, given what it was before the last update."""


@dataclass(frozen=True)
class BroydenState:
    """The iterate that the next step starts from, its residual, and the inverse Jacobian learned so far.

    `image` is H r, the way to go; `best` is the least Euclidean norm of a residual so far; `rejections` counts the
    steps that each sample took back since the last one it kept; these two have shape (batch,). `failed` marks samples
    that took back too many.
    """

    z: Array
    residual: Array
    inverse: InverseJacobian = field(repr=False)
    image: Array = field(repr=False)
    best: np.ndarray
    rejections: np.ndarray
    failed: np.ndarray


S = TypeVar("S", bound=BroydenState)


def start(f: Evaluator, z0: Array, inverse: InverseJacobian) -> BroydenState:
    """Evaluate the initial guess."""
    residual = f.residual(z0)
    norm = host_norm(residual)
    none = np.zeros(len(norm), dtype=int)
    return BroydenState(z0, residual, inverse, inverse.apply(residual), norm, none, none > 0)


def advance(f: Evaluator, state: BroydenState, *, growth: float, rejections: int) -> BroydenState:
    """Try the step −H r, learn from it, and go on from the better place.

    A trial whose residual is not finite, or exceeds `growth` times the best, is taken back. It has taught H a secant
    equation, so the first answer to it is a new direction from the same place. The second is a restart of H, and all
    further ones go along with that H for half of the length each time.
    """
    inverse = state.inverse.restarted(f, state.z, needs_restart(f, state))
    return attempt(f, with_inverse(state, inverse), growth=growth, rejections=rejections)


def with_inverse(state: S, inverse: InverseJacobian) -> S:
    """Return the state with another H."""
    if inverse is state.inverse:
        return state
    return replace(state, inverse=inverse, image=inverse.apply(state.residual))


def needs_restart(f: Evaluator, state: BroydenState) -> np.ndarray:
    """Return which samples have to forget what they learned before the next step: bool, shape (batch,)."""
    needing: np.ndarray = f.active & (state.rejections == RESTART)
    return needing


def attempt(f: Evaluator, state: S, *, growth: float, rejections: int) -> S:
    """Do as `advance` does, with the inverse Jacobian as it is."""
    step = -state.image
    if np.count_nonzero(state.rejections):
        length = 0.5 ** np.maximum(state.rejections - RESTART + 1.0, 0.0)
        step = rows_like(coefficients(length, step), step) * step
    # A finished sample stays, and keeps its H: its further changes would be rounding, and an adjoint may reuse H.
    step = only_samples(f.active, step)
    new = state.z + step
    residual = f.residual(new)
    norm = host_norm(residual)
    kept = norm <= growth * state.best
    # A trial that is not finite teaches nothing, so the same step would follow: restart at once.
    in_a_row = np.maximum(state.rejections + 1, np.where(np.isfinite(norm), 0, RESTART))
    in_a_row = np.where(kept, 0, in_a_row)
    # A restarted H is not spoilt by the failures of its own steps.
    learned = only_samples(kept | (in_a_row <= RESTART), step)
    # H r at both ends of the step gives H y, and the next H r, without H being applied again.
    room = with_inverse(state, state.inverse.with_room())
    image = room.inverse.apply(residual)
    inverse = room.inverse.updated(learned, residual - state.residual, image - room.image)
    standing = where_samples(kept, residual, state.residual)
    return replace(
        state,
        z=where_samples(kept, new, state.z),
        residual=standing,
        inverse=inverse,
        image=inverse.apply_updated(standing, where_samples(kept, image, room.image)),
        best=np.where(kept, np.minimum(norm, state.best), state.best),
        rejections=in_a_row,
        failed=in_a_row > rejections,
    )
