"""An integrator under test, and the integration by which it is tested."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest import SkipTest

import numpy as np

from equilib.arrays import Array
from equilib.ode.integration import integrate
from equilib.ode.integrator import FixedStepIntegrator, Integrator
from equilib.ode.library import AnyIntegrator, LibraryIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution
from equilib.testing.decay import decay, linearized_decay

# Four numbers a sample: the oldest kernels of OpenBLAS round a product by where in memory its vectors begin, and every
# sample then begins at a multiple of 16 bytes, in its batch as alone.
Y0 = np.random.default_rng(5).uniform(-1.0, 1.0, (4, 4))
TIMES = (0.0, 0.7, 2.0)


@dataclass(frozen=True)
class IntegratorSubject:
    """An integrator under test."""

    integrator: AnyIntegrator

    def run(
        self,
        y0: np.ndarray = Y0,
        times: tuple[float, ...] = TIMES,
        xp: ModuleType = np,
        dtype: str = "float64",
        f: Callable[[Array, Array], Array] | None = None,
        **options: Any,
    ) -> OdeSolution:
        """Integrate y' = cos t − y, unless f is given, a sample bit for bit by itself."""
        given = {"rtol": 1e-4, "atol": 1e-5, "max_steps": 2000, "on_failure": "record", **options}
        problem = f or OdeProblem(decay, linearize=linearized_decay)
        return integrate(problem, xp.asarray(y0.astype(dtype)), times, copy.deepcopy(self.integrator), **given)

    def stepped(self) -> Integrator:
        """Return a copy, where `integrate` steps it."""
        if isinstance(self.integrator, LibraryIntegrator):
            raise SkipTest("the library chooses its own steps")
        return copy.deepcopy(self.integrator)

    def controlled(self) -> Integrator:
        """Return a copy, where `integrate` chooses its steps by their errors."""
        if isinstance(self.integrator, FixedStepIntegrator):
            raise SkipTest("its steps are given in number")
        return self.stepped()
