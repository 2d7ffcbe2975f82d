"""Fixed points to rounding: what iterates and gradients are measured against."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.arrays import Array, array_namespace
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.picard import State
from equilib.numerics.affine import Affine
from equilib.numerics.gmres import GMRES

_KRYLOV = 60
_FORCING = 1e-6  # a Newton step to six digits squares the residual as long as anybody looks


@dataclass(frozen=True)
class Refinement:
    """Newton's method from a given point, whatever the initial guess: for iterates that are nearly there."""

    start: Array = field(repr=False)

    def init(self, f: Evaluator, z0: Array) -> State:
        """Evaluate f where the refinement starts."""
        return State(self.start, f.residual(self.start))

    def step(self, f: Evaluator, state: State) -> State:
        """Take one full Newton step."""
        jvp = f.linearize(state.z).jvp
        step = GMRES(_KRYLOV).solve(
            lambda v: v - jvp(v), state.residual, rtol=np.full(len(f.active), _FORCING), active=f.active
        )
        z = state.z + step
        return State(z, f.residual(z))


def rounding_options(like: Array) -> SolveOptions:
    """Return the options of a solve that goes as far as the precision of `like` allows."""
    tolerance = 1e3 * float(array_namespace(like).finfo(like.dtype).eps)
    return SolveOptions(rtol=tolerance, atol=tolerance, max_steps=30, on_failure="record")


def converged_adjoint(like: Array) -> ImplicitAdjoint:
    """Return the implicit adjoint, solved as far as the precision of `like` allows."""
    options = rounding_options(like)
    return ImplicitAdjoint(Affine(GMRES(_KRYLOV)), rtol=options.rtol, max_steps=options.max_steps)
