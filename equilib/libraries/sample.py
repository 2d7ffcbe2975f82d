"""Single samples for a library's loop: a residual, a Jacobian, and whether it may stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from equilib.numerics.dense import difference_jacobian


class Question(NamedTuple):
    """What a sample asks for at a point, shape (size,): `kind` is "residual" or "jacobian"."""

    kind: str
    point: np.ndarray


class Sample:
    """One sample as a system of equations on the host: find z with f(z) − z = 0.

    Once the sample is `finished`, its residual is reported as zero everywhere, and nothing is evaluated any more: a
    vanishing residual is what ends every library's loop, where an exception would have to find its way through
    compiled code.

    Its initial guess `z0` is of float64, shape (size,); `ask` answers a `Question`, or returns None to call the work
    off; `resolution` is the relative spacing of the numbers that f is computed in, for difference quotients. It is
    `finished` where it has converged, is `lost`, since a point that was asked for is not finite, from where no method
    returns, or has been called off. `last`, shape (size,), is the residual evaluated last, if there is one.
    """

    def __init__(self, z0: np.ndarray, ask: Callable[[Question], np.ndarray | None], *, resolution: float) -> None:
        self.z0 = z0
        self.size = z0.size
        self.resolution = resolution
        self.finished = self.lost = False
        self.last: np.ndarray | None = None
        self._ask = ask
        self._point: np.ndarray | None = None

    def residual(self, z: np.ndarray) -> np.ndarray:
        """Return f(z) − z, shape (size,), float64; the point asked for last is not evaluated again."""
        if not self.finished and (self._point is None or not np.array_equal(z, self._point)):
            found = self._question("residual", z)
            if found is not None:
                self._point, self.last = np.array(z), found
        return np.zeros(self.size) if self.finished or self.last is None else self.last.copy()

    def jacobian(self, z: np.ndarray, kind: str = "exact") -> np.ndarray:
        """Return J(z) − I, shape (size, size), float64; `kind` is one of `equilib.numerics.dense.JACOBIANS`."""
        if kind == "exact":
            found = self._question("jacobian", z)
        else:
            found = difference_jacobian(self.residual, z, self.resolution)
        return -np.eye(self.size) if found is None or self.finished else found

    def _question(self, kind: str, z: np.ndarray) -> np.ndarray | None:
        if self.finished:
            return None
        if not np.isfinite(z).all():
            self.finished = self.lost = True
            return None
        found = self._ask(Question(kind, np.array(z, dtype=np.float64)))
        self.finished = self.finished or found is None
        return found
