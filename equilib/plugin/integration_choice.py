"""From what the user typed to an integrator, its options, and an ODE adjoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from equilib.errors import UserError
from equilib.ode.adjoints import Discrete, OdeSensitivity
from equilib.ode.adjoints.discrete import own_steps
from equilib.ode.library import AnyIntegrator
from equilib.ode.solution import OdeOptions
from equilib.options import build, parse_spec
from equilib.plugin import IntegratorEntry
from equilib.plugin.choice import adjoint_entry, build_driven, listed, plain
from equilib.plugin.entries import ODE
from equilib.plugin.registry import Registry


@dataclass(frozen=True, kw_only=True)
class IntegrationMethod:
    """How an initial value problem is solved and differentiated.

    Attributes
    ----------
    integrator_name, adjoint_name : str
    integrator : Integrator
    sensitivity : OdeSensitivity
    options : OdeOptions
        Of the forward integration; failures are recorded unless the user said otherwise.
    """

    integrator_name: str
    adjoint_name: str
    integrator: AnyIntegrator
    sensitivity: OdeSensitivity
    options: OdeOptions

    def introduce(self) -> tuple[str, str]:
        """Return a line about the integrator and one about the adjoint, for people."""
        integrator = listed(self.integrator_name, self.integrator)
        tolerances = f"rtol={self.options.rtol}, atol={self.options.atol}"
        return f"Integrator: {integrator} with {tolerances}", f"Adjoint: {listed(self.adjoint_name, self.sensitivity)}"

    def describe(self) -> dict[str, Any]:
        """Return what a run record should know, as plain values, in the form of the record of a solver."""
        return {
            "solver": {"name": self.integrator_name, "options": plain(self.integrator)},
            "adjoint": {"name": self.adjoint_name, "options": plain(self.sensitivity), "exact": True},
            "solve": asdict(self.options),
        }


def choose_integration(
    registry: Registry,
    *,
    integrator: str,
    options: Mapping[str, str],
    adjoint: str | None,
    defaults: Mapping[str, object],
    fallback: Sequence[str] = (),
) -> IntegrationMethod:
    """Look up an integrator and an ODE adjoint by name and build them; the parameters are those of `choose_method`.

    Raises
    ------
    UserError
        If there is a fallback.
    UnseenStepsError
        If the discrete adjoint is named with a library's integrator.
    UnknownName
        If the integrator or the adjoint is unknown.
    OptionError
        If an option is unknown, given twice, of the wrong type or out of range.
    """
    if fallback:
        raise UserError("an integration has no samples that another solver could take over; leave out --fallback")
    name, given = parse_spec(integrator)
    entry = registry.get(IntegratorEntry, name)
    built, ode_options = build_driven(
        entry.load(), OdeOptions, given=given, options=options, defaults=defaults, owner=f"integrator {name!r}"
    )
    adjoint_name, adjoint_given = parse_spec(entry.adjoint if adjoint is None else adjoint)
    chosen = adjoint_entry(registry, adjoint_name, ODE)
    sensitivity = build(chosen.load(), adjoint_given, owner=f"adjoint {adjoint_name!r}")
    if isinstance(sensitivity, Discrete):
        own_steps(built)
    return IntegrationMethod(
        integrator_name=name,
        adjoint_name=adjoint_name,
        integrator=built,
        sensitivity=sensitivity,
        options=ode_options,
    )
