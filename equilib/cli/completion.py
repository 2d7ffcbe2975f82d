"""Completion by the shell of names of parts, of their options, and of options of a solve."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from equilib.cli.session import Session
from equilib.errors import UserError
from equilib.fixed_points.options import SolveOptions
from equilib.ode.solution import OdeOptions
from equilib.options import Blueprint, describe, unfold
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


def named(*kinds: type[Entry]) -> Complete:
    """Return what completes "NAME:option=" of entries of these kinds; after a comma the option that follows."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        registry = _registry(context)
        names = {each.entry.name for kind in kinds for each in registry.provided(kind)}
        found = sorted(name for name in names if name.startswith(incomplete))
        for name in sorted(names):
            if incomplete.startswith(f"{name}:"):
                head, _, begun = incomplete.rpartition("," if "," in incomplete else f"{name}:")
                lead = f"{head}," if "," in incomplete else f"{name}:"
                found += [f"{lead}{each}=" for each in _options(registry, kinds, name) if each.startswith(begun)]
        return found

    return complete


def _option(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of an option of a solve, or of the solver that stands before it."""
    shared = [each.name for driver in (SolveOptions, OdeOptions) for each in describe(driver)]
    solver = str(context.params.get("solver") or "").partition(":")[0]
    own = _options(_registry(context), PARTS["solver"], solver) if solver else ()
    return sorted({f"{each}=" for each in (*shared, *own) if each.startswith(incomplete)})


def _options(registry: Registry, kinds: tuple[type[Entry], ...], name: str) -> Iterable[str]:
    for kind in kinds:
        try:
            blueprint: Blueprint = registry.get(kind, name).blueprint()
        except UserError:  # which is for those to report who use it
            continue
        return [each.name for each in unfold(blueprint, registry)]
    return ()


def _registry(context: click.Context) -> Registry:
    session = context.find_root().obj
    return session.plugins if isinstance(session, Session) else Registry()
