"""Tolerance of a solve: the residual that counts as converged, from where the solve began and the slope of f(z) − z."""

from __future__ import annotations

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, host_norm, norms_together, rows_like, take_rows
from equilib.fixed_points.options import SolveOptions, component
from equilib.fixed_points.slope import RESOLVED, Evaluate, Place, strictness

FAR = 10.0
"""Size of z, in units of the scale, beyond which a residual is doubted for its rounding."""

WHOLE = slice(None)
"""The rows of all samples."""

LARGEST = np.finfo(np.float64).max
"""What is infinite exceeds it."""


def tolerance_at(
    options: SolveOptions, z: Array, residual: Array, sizes: tuple[np.ndarray, np.ndarray], scale: np.ndarray
) -> np.ndarray:
    """Return the norm of the residual that counts as converged at z, shape (batch,).

    Sizes beyond the scale do not count: where f(z) − z is bounded, one long step would make every residual small.

    It is atol + rtol·min(‖z‖, scale). Where atol or rtol is an array, it is the norm that the residual had if
    it were so small that ‖(f(z) − z) / (atol + rtol·|z|)‖ ≤ 1, element by element.

    Parameters
    ----------
    z, residual : array, shape (batch, ...)
    sizes : pair of ndarray, shape (batch,)
        ‖f(z) − z‖ and ‖z‖, in the norm of the solve.
    scale : ndarray, shape (batch,)
        The size of where the solve began.
    """
    norm, size = sizes
    reached = np.fmin(size, scale)
    if not options.by_component:
        return np.asarray(options.atol + options.rtol * reached)
    xp = array_namespace(z)
    atol, rtol = (component(options, name, z) for name in ("atol", "rtol"))
    share = rows_like(coefficients(np.where(size > 0, reached / np.where(size > 0, size, 1.0), 1.0), z), z)
    weight = atol + rtol * xp.abs(z) * share
    measured = host_norm(xp.where(residual == 0, 0 * residual, residual / weight), options.norm_of)
    return np.where(measured > 0, norm / np.where(measured > 0, measured, 1.0), 0.0)


def check_norm_shape(shape: tuple[int, ...], batch: int) -> None:
    """Raise ValueError if a norm, of that shape for a batch, is not one number a sample."""
    if shape != (batch,):
        raise ValueError(f"norm must return one number a sample, shape ({batch},), it returned {shape}")


class Tolerance:
    """The tolerance of each sample in the course of one solve.

    Parameters
    ----------
    options : SolveOptions
    batch : int
    evaluate : callable, optional
        z ↦ f(z) − z, used once where the initial guess may be the fixed point. Without it the residual alone decides:
        for linear equations, and for a state without a history.

    Attributes
    ----------
    scale : ndarray, shape (batch,)
        Size of where the solve began: the largest of ‖z0‖, ‖f(z0)‖ and the residuals so far.
    largest : ndarray, shape (batch,)
        Residual that is divergence at once.
    strictness : ndarray, shape (batch,)
        Share of the tolerance that the slope of the residual leaves: 1 until a sample has come close.
    near : ndarray of bool, shape (batch,)
        Samples whose residual meets the tolerance, if one does not ask for the slope.
    """

    def __init__(self, options: SolveOptions, batch: int, evaluate: Evaluate | None = None) -> None:
        self.options, self.evaluate = options, evaluate if options.criterion == "distance" else None
        # A residual is compared with z itself where no scale is smaller.
        self.scale = np.full(batch, 0.0 if options.criterion == "distance" else np.inf)
        self.strictness = np.ones(batch)
        self.largest, self.near, self._known = np.full(batch, np.inf), *np.zeros((2, batch), dtype=bool)
        self._norm, self._eps, self._bent = options.norm_of, 0.0, False
        self._before: tuple[Array, Array, np.ndarray | slice] | None = None
        self._bounds: tuple[np.ndarray, np.ndarray, np.ndarray | slice] | None = None

    def forget(self) -> None:
        """Take the last state for none that tells a slope."""
        self._before = None

    def measure(
        self, z: Array, residual: Array, rows: np.ndarray | slice, active: np.ndarray, running: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return ‖f(z) − z‖, ‖z‖, the tolerance, and whether it is met, each of shape (len(rows),).

        None instead of the last says that no active sample meets it, diverges, or is far away: so it is in most steps.

        Parameters
        ----------
        z, residual : array, shape (len(rows), ...)
            The iterate, and f(z) − z, of the samples `rows`; all of them are `WHOLE`.
        active : ndarray of bool, shape (len(rows),)
        running : int
            Their number.

        Raises
        ------
        ValueError
            If the norm is none.
        """
        # One transfer from the device per step.
        norms = norms_together(self._norm, residual, z, *(() if self._bounds else (z + residual,)))
        size, length = norms[0], norms[1]
        if self._bounds is None:
            self._begin(z, norms, rows)
        elif self._bounds[2] is rows and not self._bent:
            most, reach, _ = self._bounds
            tolerance = tolerance_at(self.options, z, residual, (size, length), self.scale[rows])
            going = (size > tolerance) & (size <= most) & (length <= reach) & active
            if np.count_nonzero(going) == running:
                self.near[:] = False
                self._before = z, residual, rows
                return size, length, tolerance, None
        return self._closely(z, residual, rows, active, (size, length))

    def _begin(self, z: Array, norms: np.ndarray, rows: np.ndarray | slice) -> None:
        check_norm_shape(norms.shape[1:], z.shape[0])
        self.scale[rows] = np.fmax(self.scale[rows], np.fmax.reduce(norms))
        self.largest[rows] = np.minimum(self.options.divergence * norms[0], LARGEST)
        self._eps = float(array_namespace(z).finfo(z.dtype).eps)

    def _closely(
        self,
        z: Array,
        residual: Array,
        rows: np.ndarray | slice,
        active: np.ndarray,
        sizes: tuple[np.ndarray, np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        size, length = sizes
        scale = self.scale[rows] = np.fmax(self.scale[rows], size)
        reach = FAR * scale
        self._bounds = np.fmin(scale, self.largest[rows]), reach, rows
        tolerance = tolerance_at(self.options, z, residual, sizes, scale)
        self.near[rows] = met = size <= tolerance
        if self.evaluate is None:
            return size, length, tolerance, met
        near = active & met
        if np.count_nonzero(near):
            self._see_slope(self.evaluate, Place(z, residual, size, tolerance, self._eps * length), rows, near)
        self._before = z, residual, rows
        far = length > reach
        if np.count_nonzero(far) or self._bent:
            return self._with_rounding(size, length, tolerance, far, self.strictness[rows])
        return size, length, tolerance, met

    def _with_rounding(
        self, size: np.ndarray, length: np.ndarray, tolerance: np.ndarray, far: np.ndarray, share: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        # The rounding of f(z) − z counts far from where the solve began, and for what a residual tells of the distance.
        rounding = self._eps * length
        reduced = share * np.fmax(tolerance, RESOLVED * rounding) - rounding
        tolerance = np.where(share < 1, np.fmin(reduced, tolerance), tolerance)
        size = np.where(far, size + rounding, size)
        # Where the slope is too small for the rounding, not even a residual of zero is evidence.
        return size, length, np.fmax(tolerance, 0.0), size <= tolerance

    def _see_slope(self, evaluate: Evaluate, here: Place, rows: np.ndarray | slice, near: np.ndarray) -> None:
        """Set the strictness of samples that are near from how far z moved for the change of the residual."""
        before: tuple[Array, Array] | None = None
        if self._before is not None:
            z, residual, held = self._before
            if z is here.z and residual is here.residual:
                return  # the solver stands still
            if isinstance(rows, np.ndarray) and len(rows) != z.shape[0]:
                kept = np.searchsorted(held, rows) if isinstance(held, np.ndarray) else rows
                z, residual = take_rows(z, kept), take_rows(residual, kept)
            before = None if z is here.z else (z, residual)  # which the solver has overwritten
        share = strictness(evaluate, self._norm, here, before, near, self.strictness[rows] < 1, ~self._known[rows])
        # A sample that has moved by no more than rounding says nothing new.
        told = near & np.isfinite(share)
        self.strictness[rows] = np.where(told, share, self.strictness[rows])
        self._known[rows] |= told
        self._bent = bool(np.count_nonzero(self.strictness < 1))
