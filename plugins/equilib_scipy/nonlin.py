"""The quasi-Newton and Newton-Krylov methods of `scipy.optimize.root`, which share their loop and line search.

Their approximate Jacobian begins as −I/α. That of f(z) − z is near −I where f contracts, so α = 1 is the default here:
the first step is Picard's. SciPy's own guess, from the sizes of z₀ and its residual, is alpha=none.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from typing import Any

from equilib import Evaluator
from equilib.arrays import Array
from equilib.libraries import BridgeState, Ending, Sample, run_samples
from equilib.options import Checked, option
from equilib_scipy.call import call_root

OUT_OF_STEPS = 2

SCIPY_NAMES = {"reduction": "reduction_method", "memory": "M", "regularization": "w0", "largest_alpha": "alphamax"}
"""Options of the approximate Jacobian that have other names here."""

ALPHA = "begin with −1/alpha as the Jacobian of f(z) − z; none is SciPy's guess"


@dataclass(frozen=True)
class _Nonlin(Checked):
    """The method of `scipy.optimize.root` of the same name; a step is one of its iterations.

    Its own tolerance is zero: it ends when the driver's is met.
    """

    line_search: str | None = option(
        "armijo",
        help="choose backtracking (armijo), wolfe, whose difference quotients need float64, or none",
        choices=("armijo", "wolfe"),
    )

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> BridgeState:
        """Solve every sample by a call of its own."""

        def solve(sample: Sample) -> Ending:
            options = {"maxiter": max_steps, "fatol": 0.0, "line_search": self.line_search}
            options["jac_options"] = self._jacobian(sample)
            return call_root(sample, type(self).__name__.lower(), options, jacobian=None, out_of_steps=OUT_OF_STEPS)

        from scipy.linalg import LinAlgWarning

        # Nearly dependent secants are the rule; the residual tells what comes of them. Filters belong to the process,
        # so they are set here and not in each sample's call.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LinAlgWarning)
            return run_samples(f, z0, solve)

    def _jacobian(self, sample: Sample) -> dict[str, Any]:
        """Return the options of the approximate Jacobian, by SciPy's names."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "line_search"}
        return {SCIPY_NAMES.get(name, name): value for name, value in own.items()}


@dataclass(frozen=True)
class _Broyden(_Nonlin):
    alpha: float | None = option(1.0, help=ALPHA, exclusive_minimum=0.0)
    max_rank: int | None = option(None, help="keep updates up to this rank; none keeps all", minimum=1)
    reduction: str = option(
        "restart",
        help="choose the updates to drop at max_rank: all, the oldest (simple), or the smallest singular values",
        choices=("restart", "simple", "svd"),
    )


@dataclass(frozen=True)
class Broyden1(_Broyden):
    """Broyden's good method: the Jacobian gets the smallest update that satisfies the secant equation."""


@dataclass(frozen=True)
class Broyden2(_Broyden):
    """Broyden's bad method: the inverse Jacobian gets the smallest update."""


@dataclass(frozen=True)
class Anderson(_Nonlin):
    """Anderson mixing."""

    alpha: float | None = option(1.0, help=ALPHA, exclusive_minimum=0.0)
    memory: int = option(5, help="keep so many previous iterates, SciPy's M", minimum=1)
    regularization: float = option(
        0.01, help="add this to the Gram matrix relative to its diagonal, SciPy's w0", minimum=0
    )


@dataclass(frozen=True)
class LinearMixing(_Nonlin):
    """Damped Picard iteration with a line search: z ← z + α (f(z) − z)."""

    alpha: float | None = option(1.0, help=ALPHA, exclusive_minimum=0.0)


@dataclass(frozen=True)
class DiagBroyden(LinearMixing):
    """Broyden's good method with a diagonal Jacobian."""


@dataclass(frozen=True)
class ExcitingMixing(_Nonlin):
    """Damped Picard iteration with a step of its own per element, longer while the residual keeps its sign."""

    alpha: float | None = option(0.5, help=ALPHA, exclusive_minimum=0.0)
    largest_alpha: float = option(1.0, help="bound the step of an element, SciPy's alphamax", exclusive_minimum=0.0)


@dataclass(frozen=True)
class Krylov(_Nonlin):
    """Newton-Krylov: products with the Jacobian are difference quotients of f."""

    linear_solver: str = option(
        "lgmres",
        help="choose the method of scipy.sparse.linalg for the Newton step",
        choices=("lgmres", "gmres", "bicgstab", "cgs", "tfqmr"),
    )
    inner_steps: int = option(20, help="end a Newton step after so many products, SciPy's inner_maxiter", minimum=1)
    outer_k: int = option(10, help="carry so many vectors of lgmres from step to step", minimum=0)
    width: float | None = option(
        None, help="take difference quotients of this relative width; none suits the dtype", exclusive_minimum=0.0
    )

    def _jacobian(self, sample: Sample) -> dict[str, Any]:
        # SciPy's own default suits float64, while f may be computed in float32.
        width = sample.resolution**0.5 if self.width is None else self.width
        options = {"method": self.linear_solver, "inner_maxiter": self.inner_steps, "rdiff": width}
        return options | ({"outer_k": self.outer_k} if self.linear_solver == "lgmres" else {})
