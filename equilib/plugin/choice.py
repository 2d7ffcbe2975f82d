"""From what the user typed to a solver, its options, and a sensitivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from equilib.adjoints.sensitivity import Sensitivity
from equilib.errors import UserError
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.options import OptionError, build, describe, parse_spec, split
from equilib.plugin import Entry, SensitivityEntry, SolverEntry
from equilib.plugin.entries import FIXED_POINT, ODE
from equilib.plugin.registry import Registry, UnknownName

D = TypeVar("D")


class IncompatibleError(UserError):
    """An adjoint reuses what certain solvers leave behind, and was asked for with another one."""


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
    fallback_names : tuple of str
    fallback : tuple of Solver or WholeSolver
        They solve, one after another, what the solver leaves unconverged.
    """

    solver_name: str
    adjoint_name: str
    solver: Solver
    sensitivity: Sensitivity
    options: SolveOptions
    exact: bool
    fallback_names: tuple[str, ...] = ()
    fallback: tuple[Solver | WholeSolver, ...] = ()

    def introduce(self) -> tuple[str, str]:
        """Return a line about the solver and one about the adjoint, for people."""
        named = zip((self.solver_name, *self.fallback_names), (self.solver, *self.fallback), strict=True)
        solver, adjoint = ", then ".join(listed(*each) for each in named), listed(self.adjoint_name, self.sensitivity)
        limits = f"rtol={self.options.rtol}, max_steps={self.options.max_steps}"
        approximate = "" if self.exact else ": an approximate gradient"
        return f"Solver: {solver} with {limits}", f"Adjoint: {adjoint}{approximate}"

    def describe(self) -> dict[str, Any]:
        """Return what a run record should know, as plain values."""
        return {
            "solver": {"name": self.solver_name, "options": plain(self.solver)},
            "adjoint": {"name": self.adjoint_name, "options": plain(self.sensitivity), "exact": self.exact},
            "fallback": [
                {"name": name, "options": plain(solver)}
                for name, solver in zip(self.fallback_names, self.fallback, strict=True)
            ],
            "solve": asdict(self.options),
        }


def choose_method(
    registry: Registry,
    *,
    solver: str,
    options: Mapping[str, str],
    adjoint: str | None,
    defaults: Mapping[str, object],
    defaults_for: str | None = None,
    fallback: Sequence[str] = (),
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
    defaults_for : str, optional
        The solver that the preferences are meant for; another one is given the steps without which it is of no use.
    fallback : sequence of str
        Names of solvers with options of their own; tolerances and limits are those of `solver`.

    Raises
    ------
    UnknownName
        If a solver or adjoint is unknown.
    OptionError
        If an option is unknown, given twice, of the wrong type or out of range.
    IncompatibleError
        If the adjoint cannot be used with the solver.
    """
    name, given = parse_spec(solver)
    entry = registry.get(SolverEntry, name)
    preferred = defaults if name == defaults_for else _with_enough_steps(defaults, entry.capabilities.least_steps)
    built, solve_options = build_driven(
        entry.load(), SolveOptions, given=given, options=options, defaults=preferred, owner=f"solver {name!r}"
    )
    adjoint_name, sensitivity, exact = _choose_adjoint(registry, adjoint, entry, built)
    return Method(
        solver_name=name,
        adjoint_name=adjoint_name,
        solver=built,
        sensitivity=sensitivity,
        options=solve_options,
        exact=exact,
        fallback_names=tuple(parse_spec(each)[0] for each in fallback),
        fallback=tuple(_fallback(registry, each) for each in fallback),
    )


def _fallback(registry: Registry, spec: str) -> Any:
    name, given = parse_spec(spec)
    return build(registry.get(SolverEntry, name).load(), given, owner=f"fallback {name!r}")


def _with_enough_steps(defaults: Mapping[str, Any], least: int) -> Mapping[str, object]:
    """Return the experiment's preferences with a limit of steps that is of use to the solver."""
    return {key: max(value, least) if key == "max_steps" else value for key, value in defaults.items()}


def _choose_adjoint(
    registry: Registry, spec: str | None, chosen: SolverEntry, solver: Any
) -> tuple[str, Sensitivity, bool]:
    name, given = parse_spec(chosen.adjoint if spec is None else spec)
    entry = adjoint_entry(registry, name, FIXED_POINT)
    if entry.solvers and chosen.name not in entry.solvers:
        raise IncompatibleError(
            f"adjoint {name!r} reuses what {' or '.join(entry.solvers)} learned, and cannot be used with solver "
            f"{chosen.name!r}; take one of those, or another adjoint, such as {chosen.adjoint}"
        )
    if spec is None and hasattr(solver, "adjoint"):
        return name, solver.adjoint(), entry.exact
    return name, build(entry.load(), given, owner=f"adjoint {name!r}"), entry.exact


def adjoint_entry(registry: Registry, name: str, solves: str) -> SensitivityEntry:
    """Return the adjoint called `name`, which differentiates what is solved: FIXED_POINT or ODE.

    Raises
    ------
    UnknownName
        If there is none, or it differentiates the other.
    DuplicateError
        If several plugins provide it.
    """
    names = [each.entry.name for each in registry.provided(SensitivityEntry) if each.entry.solves == solves]
    entry = registry.get(SensitivityEntry, name)
    if entry.solves != solves:
        of = {FIXED_POINT: "a fixed point", ODE: "the solution of an ODE"}
        raise UnknownName(
            f"adjoint {name!r} differentiates {of[entry.solves]}, where {of[solves]} is asked for. "
            f"Available: {', '.join(names)}."
        )
    return entry


def build_driven(
    factory: type[Any],
    driver: type[D],
    *,
    given: Mapping[str, str],
    options: Mapping[str, str],
    defaults: Mapping[str, object],
    owner: str,
) -> tuple[Any, D]:
    """Build a solver and the options of what drives it, from what stands in --solver, in -o, and what is preferred.

    Raises
    ------
    OptionError
        If an option is unknown, given twice, of the wrong type or out of range.
    """
    twice = {key.replace("-", "_") for key in given} & set(options)
    if twice:
        raise OptionError(f"option {min(twice)!r} of {owner} is given both in --solver and with -o")
    known = {option.name for cls in (factory, driver) for option in describe(cls)}
    wanted = {key: value for key, value in defaults.items() if key in known}
    own, drive = split({**wanted, **given, **options}, factory, driver, owner=owner)
    return build(factory, own, owner=owner), build(driver, {"on_failure": "record", **drive}, owner="the solve")


def listed(name: str, options: Any) -> str:
    """Return a name and the options that are set, for people."""
    values = ", ".join(f"{key}={value}" for key, value in plain(options).items() if value is not None)
    return f"{name} ({values})" if values else name


def plain(options: Any) -> dict[str, Any]:
    """Return the options of a dataclass as plain values."""
    return {option.name: getattr(options, option.name) for option in describe(type(options))}


def build_named(registry: Registry, kind: type[Entry], spec: str) -> tuple[str, Any]:
    """Return the name in "NAME:option=value,..." and what is built of the entry of that kind and name.

    Raises
    ------
    UnknownName
        If there is no such entry.
    OptionError
        If an option is unknown, given twice, of the wrong type or out of range.
    """
    name, given = parse_spec(spec)
    return name, build(registry.get(kind, name).load(), given, owner=f"{kind.noun} {name!r}")
