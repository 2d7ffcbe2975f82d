"""From what the user typed to a solver, its options, and a sensitivity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from equilib.convergence import SolveOptions
from equilib.options import OptionError, build, describe, parse_spec, split
from equilib.protocols import Sensitivity, Solver
from equilib.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Method:
    """How equilibria are solved for and differentiated.

    Attributes
    ----------
    solver_name, adjoint_name : str
        The plugins' names.
    solver : Solver
    sensitivity : Sensitivity
    options : SolveOptions
        Of the forward solve; failures are recorded unless the user said otherwise.
    exact : bool
        Whether the adjoint gives the gradient of the fixed point.
    """

    solver_name: str
    adjoint_name: str
    solver: Solver
    sensitivity: Sensitivity
    options: SolveOptions
    exact: bool

    def introduce(self) -> tuple[str, str]:
        """Return a line about the solver and one about the adjoint, for people."""
        solver, adjoint = _listed(self.solver_name, self.solver), _listed(self.adjoint_name, self.sensitivity)
        limits = f"rtol={self.options.rtol}, max_steps={self.options.max_steps}"
        approximate = "" if self.exact else ": an approximate gradient"
        return f"Solver: {solver} with {limits}", f"Adjoint: {adjoint}{approximate}"

    def describe(self) -> dict[str, Any]:
        """Return what a run record should know, as plain values."""
        return {
            "solver": {"name": self.solver_name, "options": _plain(self.solver)},
            "adjoint": {"name": self.adjoint_name, "options": _plain(self.sensitivity), "exact": self.exact},
            "solve": asdict(self.options),
        }


def choose_method(
    registry: Registry,
    *,
    solver: str,
    options: Mapping[str, str],
    adjoint: str | None,
    defaults: Mapping[str, object],
) -> Method:
    """Look up a solver and an adjoint by name and build them.

    Parameters
    ----------
    solver, adjoint : str
        Names with options, as in "newton-gmres:restart=10,max_steps=20".
    options : mapping
        Further options of the solver or of its driver, as text.
    defaults : mapping
        The experiment's own preferences; they hold where the solver or the driver has an option of that name and the
        user did not set it.

    Raises
    ------
    UnknownName
        If a solver or adjoint is unknown.
    OptionError
        If an option is unknown, given twice, of the wrong type or out of range.
    """
    name, given = parse_spec(solver)
    entry = registry.solver(name)
    factory = entry.load()
    chosen = {**given, **options}
    _refuse_twice(given, options, name)
    known = {option.name for cls in (factory, SolveOptions) for option in describe(cls)}
    wanted = {key: value for key, value in defaults.items() if key in known}
    own, drive = split({**wanted, **chosen}, factory, SolveOptions, owner=f"solver {name!r}")
    built = build(factory, own, owner=f"solver {name!r}")
    solve_options = build(SolveOptions, {"on_failure": "record", **drive}, owner="the solve")
    adjoint_name, sensitivity, exact = _choose_adjoint(registry, adjoint, entry.adjoint, built)
    return Method(
        solver_name=name,
        adjoint_name=adjoint_name,
        solver=built,
        sensitivity=sensitivity,
        options=solve_options,
        exact=exact,
    )


def _choose_adjoint(registry: Registry, spec: str | None, default: str, solver: Any) -> tuple[str, Sensitivity, bool]:
    name, given = parse_spec(default if spec is None else spec)
    entry = registry.sensitivity(name)
    if spec is None and hasattr(solver, "adjoint"):
        return name, solver.adjoint(), entry.exact
    return name, build(entry.load(), given, owner=f"adjoint {name!r}"), entry.exact


def _refuse_twice(given: Mapping[str, str], options: Mapping[str, str], name: str) -> None:
    twice = {key.replace("-", "_") for key in given} & set(options)
    if twice:
        raise OptionError(f"option {min(twice)!r} of solver {name!r} is given both in --solver and with -o")


def _listed(name: str, options: Any) -> str:
    values = ", ".join(f"{key}={value}" for key, value in _plain(options).items() if value is not None)
    return f"{name} ({values})" if values else name


def _plain(options: Any) -> dict[str, Any]:
    return {option.name: getattr(options, option.name) for option in describe(type(options))}
