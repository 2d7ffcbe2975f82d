"""The check that f at the end of a solve is what its samples ended with: it is not where they depend on each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equilib.arrays import Array, array_namespace, host_norm
from equilib.fixed_points.boundary import is_traced
from equilib.fixed_points.solution import ConvergenceError, ConvergenceWarning, Solution, Status, check_success
from equilib.fixed_points.tolerance import tolerance_at

FACTOR = 10.0
"""Growth of a residual, over what was recorded and over the tolerance, that is none of a sample by itself."""

ROUNDINGS = 1000.0
"""Rounding errors of f(z), in units of eps·‖z‖, at most: products of matrices round by the number of their rows."""

TF32 = 1e-2
"""The same in units of ‖z‖ for float32 that is not NumPy's: a device may multiply it as TF32, by the number of rows."""


def check_reproduced(solution: Solution, value: Array, eps: float = 0.0) -> None:
    """Raise or warn, as the policy of the solve says, where f(z) is not what the converged samples ended with.

    Each sample stays where it has converged while others go on. Where f looks at these too, or changes from call to
    call, the residual at the end is another one. Where all ended with the same step they have been seen together, and
    nothing is compared; nor is it a second time.

    Parameters
    ----------
    solution : Solution
        With z of shape (batch, ...).
    value : array, shape (batch, ...)
        f at this z, which who linearizes it has at hand.
    eps : float
        Rounding of what f computes in, if that is coarser than z.
    """
    steps, options = solution.steps, solution.options
    if len(steps) < 2 or options.on_failure == "record" or np.all(steps == steps[0]) or "seen" in vars(solution):
        return
    vars(solution)["seen"] = True
    if is_traced(value):
        return
    z, known = solution.z, solution.residual_norm
    with np.errstate(all="ignore"):  # what is not finite has a status
        residual = value - z
        size = host_norm(residual, options.norm_of)
        off = solution.converged & (size > FACTOR * known)
        if not off.any():
            return
        length = host_norm(z, options.norm_of)
        tolerance = tolerance_at(options, z, residual, (size, length), np.full_like(size, np.inf))
        off &= size > FACTOR * np.maximum(known, tolerance) + _rounding(z, eps) * length
        worst = int(np.argmax(np.where(off, size / np.maximum(known, tolerance), 0.0)))
    status = tuple(Status.COUPLED if each else its for each, its in zip(off, solution.status, strict=True))
    found = replace(solution, status=status, residual_norm=np.where(off, size, known))
    of = f"‖f(z) − z‖ is {size[worst]:.2e} where a sample ended with {known[worst]:.2e}: "
    check_success(found, options.on_failure, ConvergenceError, ConvergenceWarning, of=of)


def _rounding(z: Array, eps: float) -> float:
    """Return the rounding of f(z) in units of ‖z‖."""
    own = float(array_namespace(z).finfo(z.dtype).eps)
    rounding = ROUNDINGS * max(own, eps)
    return rounding if isinstance(z, np.ndarray) or own < 1e-8 else max(rounding, TF32)
