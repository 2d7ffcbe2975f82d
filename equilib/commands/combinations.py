"""Combinations of solvers and adjoints that are compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from equilib.errors import UserError
from equilib.ode.adjoints.discrete import UnseenStepsError
from equilib.options.named import FIXED_POINT, ODE
from equilib.plugin import EntryError, IntegratorEntry, SensitivityEntry, SolverEntry
from equilib.plugin.choosing import IncompatibleError, choose
from equilib.plugin.registry import Registry

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Combination:
    """A solver and an adjoint as the user wrote them, and the name of the folder for their run.

    `adjoint` is None for the one that suits the solver.
    """

    name: str
    solver: str
    adjoint: str | None


def names_in(text: str, flag: str) -> list[str]:
    """Split a list of plain names, as in "picard,anderson".

    Raises UserError if it holds options, whose commas cannot be told from those of the list.
    """
    if "=" in text:
        raise UserError(f"--{flag}s takes names only; give one with options as --{flag} NAME:OPTION=VALUE,OPTION=VALUE")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if ALL in names and len(names) > 1:
        raise UserError(f"--{flag}s {ALL} already has all of them; leave out the other names")
    return names


def combine(
    registry: Registry,
    solvers: Sequence[str],
    adjoints: Sequence[str],
    options: Mapping[str, str],
    fallback: Sequence[str] = (),
    *,
    solves: str = FIXED_POINT,
) -> tuple[list[Combination], dict[str, str]]:
    """Return every combination of solvers and adjoints, and what "all" left out, with the reason by name.

    Solvers and adjoints are names with options; "all" stands for every name there is, and without adjoints each solver
    gets its own. All solvers get the options, as -o takes them, and the fallback. Where `solves` is "ode", solvers are
    integrators and adjoints those of ODEs.

    Raises UserError if there is no solver, a name or an option is unknown or wrong, or two that were named do not go
    together.
    """
    if not solvers:
        raise UserError(f"name what to compare: --solvers NAME,NAME or --solvers {ALL}")
    skipped: dict[str, str] = {}
    chosen = list(_expand(solvers, _usable(registry, IntegratorEntry if solves == ODE else SolverEntry, skipped)))
    ways = [
        name
        for name in _usable(registry, SensitivityEntry, skipped)
        if registry.get(SensitivityEntry, name).solves == solves
    ]
    backward: list[str | None] = list(_expand(adjoints, ways)) or [None]
    if not chosen:
        raise UserError(
            "no solver can be used here: " + "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        )
    pairs = []
    for solver, adjoint in product(chosen, backward):
        try:
            choose(registry, solver, solves=solves, adjoint=adjoint, options=options, fallback=fallback)
        except (IncompatibleError, UnseenStepsError) as error:
            if ALL not in (*solvers, *adjoints):
                raise
            skipped[f"{solver}+{adjoint}"] = str(error)
        else:
            pairs.append((solver, adjoint))
    if not pairs:
        raise UserError(f"no solver goes with the adjoint: {[*skipped.values()][-1]}")
    return [
        Combination(name=name, solver=solver, adjoint=adjoint)
        for name, (solver, adjoint) in zip(_folders(pairs), pairs, strict=True)
    ], skipped


def _expand(specs: Iterable[str], everything: Iterable[str]) -> Iterable[str]:
    for spec in dict.fromkeys(specs):  # each once
        if spec == ALL:
            yield from everything
        else:
            yield spec


def _usable(
    registry: Registry,
    kind: type[SolverEntry] | type[IntegratorEntry] | type[SensitivityEntry],
    skipped: dict[str, str],
) -> Iterable[str]:
    for provided in registry.provided(kind):
        try:
            provided.entry.load()
        except EntryError as error:
            skipped[provided.entry.name] = provided.entry.unavailable or str(error)
        else:
            yield provided.entry.name


def _folders(pairs: Sequence[tuple[str, str | None]]) -> list[str]:
    """Return names for folders, all different, on every file system."""
    names: list[str] = []
    seen: Counter[str] = Counter()
    for solver, adjoint in pairs:
        text = solver if adjoint is None else f"{solver}+{adjoint}"
        name = re.sub(r"[^A-Za-z0-9.+_=-]+", "-", text)[:80].strip("-.")
        seen[name.lower()] += 1
        names.append(name if seen[name.lower()] == 1 else f"{name}~{seen[name.lower()]}")
    return names
