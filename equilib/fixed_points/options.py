"""Options of a solve: tolerances, norm, limits of steps, policies."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from equilib.arrays import Norm, max_norm, rms_norm, two_norm
from equilib.errors import did_you_mean
from equilib.fixed_points.arguments import check_type
from equilib.options import Checked, option

T = TypeVar("T")

NORMS: dict[str, Norm] = {"rms": rms_norm, "max": max_norm, "two": two_norm}


@dataclass(frozen=True, kw_only=True)
class SolveOptions(Checked):
    """When a solve ends. Sample i has converged when ‖f(z)ᵢ − zᵢ‖ ≤ atol + rtol·‖zᵢ‖.

    With `atol=0` the test is relative to the size of z only, with `rtol=0` absolute only.
    """

    rtol: float = option(1e-3, help="residual relative to the size of z", minimum=0.0, exclusive_maximum=math.inf)
    atol: float = option(
        1e-12, help="residual that is enough whatever the size of z", minimum=0.0, exclusive_maximum=math.inf
    )
    max_steps: int = option(50, help="steps of the solver", minimum=0)
    norm: str = option("rms", help="norm of one sample", choices=NORMS)
    divergence: float = option(
        1e4, help="growth of the residual over its first value that counts as divergence", minimum=1.0
    )
    stagnation: int | None = option(
        None, help="steps without 1 % less residual that count as stagnation; none: a solve may pause", minimum=1
    )
    compact: float = option(
        0.5,
        help="share of unfinished samples at which f is evaluated on them alone, if problem and solver allow; 0: never",
        minimum=0.0,
        maximum=1.0,
    )
    on_failure: str = option(
        "raise", help="error, warning or record of samples that did not converge", choices=("raise", "warn", "record")
    )

    def tolerance_at(self, size: np.ndarray) -> np.ndarray:
        """Return the residual norm that counts as converged where ‖z‖ is `size`, both of shape (batch,)."""
        return self.atol + self.rtol * size


def overridden(kind: type[T], options: T | None, overrides: dict[str, Any], function: str) -> T:
    """Return the options, by default those of the dataclass `kind`, with the fields that a function's caller named.

    Raises
    ------
    TypeError
        If they are of another kind, or there is no such field.
    """
    given: Any = kind() if options is None else options
    check_type(given, "options", kind, "; or write them by name, as in rtol=1e-6")
    known = [each.name for each in fields(given)]
    for name in overrides:
        if name not in known:
            hint = did_you_mean(name, known) or f" It has: {', '.join(known)}."
            raise TypeError(f"{function} has no option {name!r}.{hint}")
    changed: T = replace(given, **overrides) if overrides else given
    return changed
