"""Completion by the shell of names of parts, of their options and the values of these, and of options of a solve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import click

from equilib.cli.session import Session
from equilib.errors import UserError
from equilib.fixed_points.options import SolveOptions
from equilib.ode.solution import OdeOptions
from equilib.options import Blueprint, Option, PartOption, describe, unfold
from equilib.options.spelling import field_name
from equilib.plugin import (
    DatasetEntry,
    Entry,
    IntegratorEntry,
    KernelEntry,
    OptimizerEntry,
    SensitivityEntry,
    SolverEntry,
)
from equilib.plugin.registry import Registry

Complete = Callable[[click.Context, click.Parameter, str], list[str]]

PARTS: dict[str, tuple[type[Entry], ...]] = {
    "solver": (SolverEntry, IntegratorEntry),
    "fallback": (SolverEntry,),
    "adjoint": (SensitivityEntry,),
    "optimizer": (OptimizerEntry,),
    "data": (DatasetEntry,),
    "kernels": (KernelEntry,),
}
"""For each flag of `equilib run` whose value is a name, the kinds of entries that it may name."""


def completed(flag: str) -> Complete | None:
    """Return what completes the value of a flag of `equilib run`; None where there is nothing to say."""
    return _option if flag == "options" else named(*PARTS[flag]) if flag in PARTS else None


def among(choices: Sequence[str]) -> Complete:
    """Return what completes one of these words."""
    return lambda context, parameter, incomplete: _beginning(incomplete, choices)


def named(*kinds: type[Entry]) -> Complete:
    """Return what completes "NAME:option=value,..." of entries of these kinds, with their options and values."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        registry = _registry(context)
        names = sorted(_names(registry, kinds))
        found = _beginning(incomplete, names)
        for name in (each for each in names if incomplete.startswith(f"{each}:")):
            head, comma, begun = incomplete[len(name) + 1 :].rpartition(",")
            options = _options(registry, kinds, name, _values(head.split(",")))
            found += [f"{name}:{head}{comma}{each}" for each in _assignments(registry, options, begun)]
        return found

    return complete


def listed(*kinds: type[Entry], also: Sequence[str] = ()) -> Complete:
    """Return what completes "NAME,NAME,..." of entries of these kinds, each once; alone it may be a word of `also`."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        head, comma, begun = incomplete.rpartition(",")
        left = sorted(_names(_registry(context), kinds) - {*head.split(",")})
        return [f"{head}{comma}{each}" for each in _beginning(begun, [*left, *(() if comma else also)])]

    return complete


def _option(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete an option of a solve or of the solver that stands before it, and its value."""
    registry, spec = _registry(context), str(context.params.get("solver") or "")
    name, _, given = spec.partition(":")
    shared = [each for driver in (SolveOptions, OdeOptions) for each in describe(driver)]
    before = context.params.get("options")
    values = {**_values(given.split(",")), **(before if isinstance(before, Mapping) else {})}
    own = _options(registry, PARTS["solver"], name, values) if name else []
    return sorted({*_assignments(registry, [*shared, *own], incomplete)})


def _assignments(registry: Registry, options: Sequence[Option], begun: str) -> list[str]:
    """Return the options whose names begin so, as "name=", or after the '=' the values that begin so."""
    name, equals, value = begun.partition("=")
    if not equals:
        return _beginning(begun, [f"{each.name}=" for each in options])
    chosen = next((each for each in options if each.name == field_name(name)), None)
    return [f"{name}={each}" for each in _beginning(value, [] if chosen is None else _possible(registry, chosen))]


def _possible(registry: Registry, option: Option) -> list[str]:
    """Return the values of an option that can be counted: names of parts, choices, true and false, none."""
    values = [str(each) for each in option.choices]
    if not values and isinstance(option, PartOption):
        values = list(registry.names(option.kind))
    if not values and option.type is bool:
        values = ["true", "false"]
    return [*values, "none"] if option.optional and not option.choices else values


def _values(assignments: Iterable[str]) -> dict[str, str]:
    """Return the options that are complete, by the names of their fields."""
    pairs = (each.partition("=") for each in assignments if "=" in each)
    return {field_name(name.strip()): value.strip() for name, _, value in pairs}


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [each for each in words if each.startswith(incomplete)]


def _names(registry: Registry, kinds: tuple[type[Entry], ...]) -> set[str]:
    return {each.entry.name for kind in kinds for each in registry.provided(kind)}


def _options(
    registry: Registry, kinds: tuple[type[Entry], ...], name: str, values: Mapping[str, object]
) -> list[Option]:
    for kind in kinds:
        try:
            blueprint: Blueprint = registry.get(kind, name).blueprint()
        except UserError:  # which is for those to report who use it
            continue
        return list(unfold(blueprint, registry, values))
    return []


def _registry(context: click.Context) -> Registry:
    session = context.find_root().obj
    return session.plugins if isinstance(session, Session) else Registry()
