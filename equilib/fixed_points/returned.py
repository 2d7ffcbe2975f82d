"""Checks of what a solver returned: each refusal names the solver and what it must return."""

from __future__ import annotations

from typing import Any

from equilib.arrays import Array, check_like
from equilib.errors import a


def check_returned(solver: object, state: Any, like: Array) -> None:
    """Require a state of which z and residual are like the iterate before, shape (batch, ...).

    Raises
    ------
    TypeError
        If it has no z or no residual.
    ValueError
        If one of them has another shape, dtype or library.
    """
    for name in ("z", "residual"):
        found: Any = getattr(state, name, None)
        if type(found) is type(like) and found.shape == like.shape and found.dtype == like.dtype:
            continue
        if found is None:
            raise TypeError(
                f"the solver {type(solver).__name__} must return a state with z and residual, such as equilib.State, "
                f"it returned {a(type(state).__name__)}; equilib.testing.solver_checks examines it"
            )
        try:
            check_like(like, found, f"the {name} that the solver {type(solver).__name__} returned", "z0")
        except ValueError as error:
            error.add_note("equilib.testing.solver_checks examines the solver")
            raise
