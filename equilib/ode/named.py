"""Integrators by name, with the options of the command line."""

from __future__ import annotations

from typing import Any

from equilib.ode.library import AnyIntegrator
from equilib.options.named import made


def integrator(name: str, /, **options: Any) -> AnyIntegrator:
    """Return the integrator that a name stands for, as in `integrator("tsit5")`, as `equilib.solver` does.

    Raises
    ------
    UserError
        If nothing has that name, or it cannot be used here.
    OptionError
        If an option is unknown or refused.
    """
    found: AnyIntegrator = made("integrator", name, options)
    return found
