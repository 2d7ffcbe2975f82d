"""Evaluations of f in a coarse dtype, by autocast, as long as a solve is too far off for that to matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from equilib.arrays import Array, norms_together
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.solution import ConvergenceError
from equilib.fixed_points.tolerance import tolerance_at
from equilib.torch.layout import Layout

DTYPES = (torch.bfloat16, torch.float16)

ROUNDINGS, FALL, PAUSE = 2.0, 0.9, 2
"""Residual in units of eps·‖z‖ that is rounding; what is a fall of it; evaluations without one that are enough."""

Map = Callable[..., Array]


def check_coarse(dtype: Any, layout: Layout | None = None) -> None:
    """Require a dtype that autocast casts to, a state of that layout where it is known, or None.

    Raises
    ------
    TypeError, ValueError
        If it is another one, or the state is not in float32, which alone is cast so.
    """
    if dtype is None:
        return
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"coarse must be torch.bfloat16 or torch.float16, got {dtype!r}")
    if dtype not in DTYPES:
        raise ValueError(f"coarse must be torch.bfloat16 or torch.float16, got {dtype}")
    if layout is not None and layout.dtype is not torch.float32:
        raise ValueError(f"coarse={dtype} is for a z0 in torch.float32, which autocast casts; it is in {layout.dtype}")


class Coarse:
    """f under autocast, until half of the samples are as near as its rounding lets them, and from then on as it is.

    No residual that meets the tolerance is a coarse one: where one would, f is evaluated as it is at once, and from
    then on. So what a solve accepts is held to the same test as without.

    Parameters
    ----------
    plain, exact : callable
        f of arrays, shape (batch, ...), and inputs: under autocast, and as it is.
    dtype : torch.dtype
    device : str
    options : SolveOptions
        Whose norm and tolerance are the solve's.

    Attributes
    ----------
    number, over
        As `equilib.fixed_points.coarse.CoarseEvaluations` has them.
    """

    def __init__(self, plain: Map, exact: Map, dtype: torch.dtype, device: str, options: SolveOptions) -> None:
        self._plain, self._exact, self._options = plain, exact, options
        self._cast = {"device_type": device, "dtype": dtype, "cache_enabled": False}
        self._eps = torch.finfo(dtype).eps
        self._least, self._pauses = np.inf, 0
        self.number, self.over = 0, False

    def __call__(self, z: Array, *inputs: Any) -> Array:
        """Evaluate f(z), shape (batch, ...)."""
        y = None if self.over else self._cast_value(z, *inputs)
        if y is not None and self._is_far(z, y - z):
            self.number += 1
            return y
        self.over = True
        return self._exact(z, *inputs)

    def _cast_value(self, z: Array, *inputs: Any) -> Array | None:
        """Return f(z) under autocast, None where f cannot be cast; if something else is wrong, f says so as it is."""
        try:
            with torch.autocast(**self._cast):
                return self._plain(z, *inputs)
        except (RuntimeError, TypeError, ValueError, ConvergenceError):
            return None

    def _is_far(self, z: Array, residual: Array) -> bool:
        """Return whether no sample may have converged, and look whether the next evaluation is to be coarse."""
        size, length = norms_together(self._options.norm_of, residual, z)
        finite = bool(np.isfinite(size).all())
        typical = float(np.median(size / np.where(length > 0, length, 1.0))) if finite and len(size) else 0.0
        self._pauses = 0 if typical < FALL * self._least else self._pauses + 1
        self._least = min(self._least, typical)
        tolerance = tolerance_at(self._options, z, residual, (size, length), np.full_like(size, np.inf))
        self.over = typical <= ROUNDINGS * self._eps or self._pauses >= PAUSE
        return finite and bool(np.all(size > tolerance))
