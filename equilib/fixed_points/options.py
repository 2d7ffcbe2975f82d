"""Options of a solve: tolerances, norm, limits of steps, policies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from typing import Any, TypeVar

import numpy as np

from equilib.arrays import Array, Norm, from_host, host_dtype, max_norm, rms_norm, to_host, two_norm
from equilib.options import Checked, option
from equilib.options.kinds import check_type
from equilib.options.parsing import check_names

T = TypeVar("T")

NORMS: dict[str, Norm] = {"rms": rms_norm, "max": max_norm, "two": two_norm}


@dataclass(frozen=True, kw_only=True)
class SolveOptions(Checked):
    """When a solve ends. A sample has converged when ‖r‖ ≤ tol and ‖r‖·‖Δz‖/‖Δr‖ ≤ 3·tol, where r = f(z) − z.

    tol = atol + rtol·min(‖z‖, S), S being the largest of ‖z0‖, ‖f(z0)‖ and the residuals so far; Δz and Δr are the last
    step's, or a short probe's after a leap, and rounding counts as residual (`equilib.fixed_points.tolerance`). For an
    adjoint equation it is ‖r‖ ≤ rtol·‖g‖, with criterion="residual" ‖r‖ ≤ atol + rtol·‖z‖, and no more. With `atol=0`
    the test is relative only, with `rtol=0` absolute. In Python `rtol` and `atol` may be arrays that broadcast against
    one sample: ‖r / (atol + rtol·|z|·min(1, S/‖z‖))‖ ≤ 1. `norm` may be a function of arrays (batch, ...) to (batch,).
    """

    rtol: float | Array = option(
        1e-3, help="allow this residual relative to the size of z", minimum=0.0, exclusive_maximum=math.inf, arrays=True
    )
    atol: float | Array = option(
        1e-12,
        help="allow this residual whatever the size of z",
        minimum=0.0,
        exclusive_maximum=math.inf,
        arrays=True,
    )
    max_steps: int = option(50, help="stop after so many steps", minimum=0)
    criterion: str = option(
        "distance",
        help="choose what converged means: the distance that the last step tells is small as well, on the scale where "
        "the solve began (distance), or the residual beside the current z is (residual)",
        choices=("distance", "residual"),
    )
    norm: str | Norm = option("rms", help="measure a sample in this norm", choices=NORMS, functions=True)
    divergence: float = option(
        1e16, help="end a sample at once when its residual has grown by this factor over its first value", minimum=1.0
    )
    stagnation: int | None = option(
        None, help="end a sample after so many steps without 1 % less residual; none: a solve may pause", minimum=1
    )
    compact: float = option(
        0.5,
        help="evaluate f on unfinished samples alone from this share down, if problem and solver allow; 0: never",
        minimum=0.0,
        maximum=1.0,
    )
    on_failure: str = option(
        "warn",
        help="raise an error, warn or record where samples did not converge, also of an adjoint equation in a model",
        choices=("raise", "warn", "record"),
    )

    @cached_property  # asked in every step
    def by_component(self) -> bool:
        """Whether the elements of a sample have tolerances of their own."""
        return any(getattr(each, "ndim", 0) for each in (self.rtol, self.atol))

    @property
    def norm_of(self) -> Norm:
        """The norm as a function."""
        return NORMS[self.norm] if isinstance(self.norm, str) else self.norm


def component(options: Any, name: str, z: Array) -> Array | float:
    """Return the tolerance `name` of options as an array that broadcasts against z, shape (batch, ...).

    Raises ValueError as `component_on_host` does.
    """
    host = component_on_host(options, name, tuple(z.shape[1:]))
    return host if isinstance(host, float) else from_host(np.array(host, dtype=host_dtype(z)), z)


def component_on_host(options: Any, name: str, shape: tuple[int, ...]) -> np.ndarray | float:
    """Return the tolerance `name` of options, a number or an ndarray of the shape of a sample.

    Raises
    ------
    ValueError
        If it does not broadcast against a sample.
    """
    value = getattr(options, name)
    if not getattr(value, "ndim", 0):
        return float(value)
    host = to_host(value)
    try:
        return np.broadcast_to(host, shape)
    except ValueError:
        raise ValueError(
            f"the option {name!r} has the shape {host.shape}, which does not broadcast against a sample, {shape}"
        ) from None


def overridden(kind: type[T], options: T | None, overrides: dict[str, Any], function: Callable[..., Any]) -> T:
    """Return the options, by default those of the dataclass `kind`, with the fields that a function's caller named.

    Raises
    ------
    TypeError
        If they are of another kind, or there is no such field, nor argument of the function.
    """
    given: T = kind() if options is None else options
    check_type(given, "options", kind, "; or write them by name, as in rtol=1e-6")
    if not overrides:
        return given
    made: Any = given
    try:
        check_names(overrides, kind, function.__name__, arguments_of=function)
    except TypeError as error:
        part = next((part for part in ("solver", "integrator") if part in signature(function).parameters), None)
        if part is None or "Did you mean" in str(error):
            raise
        raise TypeError(
            f"{error} Options of the {part} are its own, as in equilib.{part}(NAME, option=value)."
        ) from None
    changed: T = replace(made, **overrides)
    return changed
