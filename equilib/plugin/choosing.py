"""Construction of what the user typed: from names and options to a solver or an integrator, and an adjoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from equilib.errors import UserError
from equilib.fixed_points.options import SolveOptions
from equilib.ode.adjoints.discrete import own_steps
from equilib.ode.solution import OdeOptions
from equilib.options import Blueprint, OptionError, PartOption, build, parse_spec, plain_options, split, unfold
from equilib.options.named import FIXED_POINT, ODE, SAME
from equilib.options.spelling import field_name
from equilib.plugin import Entry, IntegratorEntry, SensitivityEntry, SolverEntry
from equilib.plugin.choice import Choice, Named
from equilib.plugin.registry import Registry, UnknownName


class IncompatibleError(UserError):
    """An adjoint reuses what certain solvers leave behind, and was asked for with another one."""


def choose(
    registry: Registry,
    spec: str,
    *,
    solves: str = FIXED_POINT,
    adjoint: str | None = None,
    options: Mapping[str, str] | None = None,
    defaults: Mapping[str, object] | None = None,
    defaults_for: str | None = None,
    fallback: Sequence[str] = (),
) -> Choice:
    """Look up a solver, or an integrator, and an adjoint by name and build them.

    Raises UnknownName if a solver, an integrator or an adjoint is unknown; OptionError if an option is unknown, given
    twice, of the wrong type or out of range; IncompatibleError if the adjoint cannot be used with the solver;
    UnseenStepsError if a library's integrator hides its steps; UserError if there is a fallback of an integrator.

    Parameters
    ----------
    spec, adjoint : str
        Names with options, as in "newton-gmres:linear_solver.restart=10,max_steps=20"; without an adjoint it is the one
        that suits the solver.
    solves : str
        "fixed point", or "ode", where `spec` names an integrator.
    options : mapping
        Further options of the solver or of its driver, as text.
    defaults : mapping
        The experiment's own preferences; they hold where the solver or the driver has an option of that name and the
        user did not set it.
    defaults_for : str, optional
        The solver that the preferences are meant for; another one is given the steps without which it is of no use.
    fallback : sequence of str
        Names of solvers with options of their own; tolerances and limits are those of `spec`.
    """
    integrates = solves == ODE
    if integrates and fallback:
        raise UserError("an integration has no samples that another solver could take over; leave out --fallback")
    entry: Any = registry.get(IntegratorEntry if integrates else SolverEntry, parse_spec(spec)[0])
    preferred: dict[str, Any] = dict(defaults or {})
    if not integrates and entry.name != defaults_for and "max_steps" in preferred:
        preferred["max_steps"] = max(preferred["max_steps"], entry.capabilities.least_steps)
    driver = OdeOptions if integrates else SolveOptions
    forward, limits = _build_driven(registry, entry, spec, driver, options or {}, preferred)
    named = entry.adjoint if adjoint is None else adjoint
    chosen = adjoint_entry(registry, named, solves)
    if chosen.solvers and entry.name not in chosen.solvers:
        raise IncompatibleError(
            f"adjoint {chosen.name!r} reuses what {' or '.join(chosen.solvers)} learned, and cannot be used with "
            f"solver {entry.name!r}; take one of those, or another adjoint, such as {entry.adjoint}"
        )
    if adjoint is None and hasattr(forward.part, "adjoint"):
        backward = _named(registry, chosen, forward.part.adjoint(), parse_spec(named)[0])
    else:
        backward = build_named(registry, SensitivityEntry, named, same=forward)
    if integrates and backward.part.needs.states:
        own_steps(forward.part)
    return Choice(
        forward=forward,
        backward=backward,
        options=limits,
        exact=chosen.exact,
        fallbacks=tuple(build_named(registry, SolverEntry, each, role="fallback") for each in fallback),
    )


def build_named(
    registry: Registry,
    kind: type[Entry],
    spec: str,
    *,
    options: Mapping[str, object] | None = None,
    role: str | None = None,
    same: Named[Any] | None = None,
) -> Named[Any]:
    """Return the part that "NAME:option=value,..." stands for; errors call it by its `role`, or else its kind.

    There may be further `options`, texts or values. A solver in it that is called `same` is `same`, where there is one.

    Raises UnknownName if there is no such entry; OptionError if an option is unknown, given twice, of the wrong type or
    out of range.
    """
    name, typed = parse_spec(spec)
    entry = registry.get(kind, name)
    owner = f"{role or kind.noun} {name!r}"
    twice = typed.keys() & (options or {}).keys()
    if twice:
        raise OptionError(f"option {min(twice)!r} of {owner} is given twice, in its name and as an argument")
    given: dict[str, object] = {**typed, **(options or {})}
    blueprint = entry.blueprint()
    _refuse_driven(kind, blueprint, given, owner)
    values = given if same is None else _spelled_out(given, blueprint, same)
    return _named(registry, entry, build(blueprint, values, owner=owner, parts=registry), name)


def _refuse_driven(kind: type[Entry], blueprint: Blueprint, given: Mapping[str, object], owner: str) -> None:
    """Refuse options of what drives a solver or an integrator among its own; raises OptionError."""
    if kind not in (SolverEntry, IntegratorEntry):
        return
    driver, whole = (SolveOptions, "solve") if kind is SolverEntry else (OdeOptions, "integration")
    names = {each.name for each in fields(driver)} - {*blueprint.options()}
    for name in map(field_name, given):
        if name in names:
            raise OptionError(
                f"{name!r} is an option of the {whole}, not of {owner}: give it beside the {kind.noun}, as {name}=... "
                f"in Python, or -o {name}=... on the command line"
            )


def _spelled_out(given: Mapping[str, object], blueprint: Blueprint, chosen: Named[Any]) -> Mapping[str, object]:
    """Return options of an adjoint with the chosen solver, its options included, in place of the name `same`."""
    for each in blueprint.options().values():
        if isinstance(each, PartOption) and each.kind == SolverEntry.noun and given.get(each.name) == SAME:
            own = {f"{each.name}.{option}": value for option, value in chosen.options.items()}
            given = {**own, **given, each.name: chosen.name}
    return given


def _named(registry: Registry, entry: Entry, part: Any, name: str) -> Named[Any]:
    options = plain_options(part, registry)
    told = set(_told(registry, entry.blueprint(), options))
    return Named(name=name, part=part, options={k: v for k, v in options.items() if k not in told})


def _told(registry: Registry, blueprint: Blueprint, options: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Yield the options that hold the parts which a name stands for: they are told by the name."""
    for name, value in blueprint.preset.items():
        place, each = f"{within}{name}", blueprint.options().get(name)
        if not isinstance(value, str):
            continue
        if options.get(place) == value:
            yield place
        elif isinstance(each, PartOption) and options.get(place) in registry.names(each.kind):
            # "tsit5" stands for "steady" with an integrator.
            stands = registry.blueprint(each.kind, value)
            if stands.factory is registry.blueprint(each.kind, options[place]).factory:
                yield place
                yield from _told(registry, stands, options, f"{place}.")


def adjoint_entry(registry: Registry, spec: str, solves: str) -> SensitivityEntry:
    """Return the entry of an adjoint; raises UnknownName if there is none that differentiates what is asked for."""
    name, _ = parse_spec(spec)
    entry = registry.get(SensitivityEntry, name)
    if entry.solves != solves:
        of = {FIXED_POINT: "a fixed point", ODE: "the solution of an ODE"}
        names = [each.entry.name for each in registry.provided(SensitivityEntry) if each.entry.solves == solves]
        raise UnknownName(
            f"adjoint {name!r} differentiates {of[entry.solves]}, where {of[solves]} is asked for. "
            f"Available: {', '.join(names)}."
        )
    return entry


def _build_driven(
    registry: Registry,
    entry: Entry,
    spec: str,
    driver: type[Any],
    options: Mapping[str, str],
    defaults: Mapping[str, object],
) -> tuple[Named[Any], Any]:
    """Build a solver and the options of what drives it, from what stands in --solver, in -o, and what is preferred."""
    owner = f"{entry.noun} {entry.name!r}"
    name, given = parse_spec(spec)
    twice = given.keys() & options.keys()
    if twice:
        raise OptionError(f"option {min(twice)!r} of {owner} is given both in --solver and with -o")
    typed = {**given, **options}
    blueprints = entry.blueprint(), Blueprint(factory=driver)
    known = {each.name for made in blueprints for each in unfold(made, registry, {**defaults, **typed})}
    wanted = {name: value for name, value in defaults.items() if name in known}
    own, drive = split({**wanted, **typed}, *blueprints, owner=owner, parts=registry)
    part = build(blueprints[0], own, owner=owner, parts=registry)
    # A command prints the share of samples that failed, once an epoch: a warning for each batch would drown it.
    return _named(registry, entry, part, name), build(driver, {"on_failure": "record", **drive}, owner="the solve")
