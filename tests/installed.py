"""The solvers that are installed, as parameters of tests."""

from __future__ import annotations

from typing import Any

import pytest

from equilib.fixed_points.solver import WholeSolver
from equilib.plugin import SolverEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry


def solvers(*, iterative: bool = False) -> list[Any]:
    """Return every installed solver with its defaults, or those without a loop of their own."""
    registry = Registry.discover()
    names = [each.entry.name for each in registry.provided(SolverEntry) if not each.entry.unavailable]
    built = {name: build_named(registry, SolverEntry, name).part for name in names}
    return [
        pytest.param(each, id=name) for name, each in built.items() if not (iterative and isinstance(each, WholeSolver))
    ]


def iterative_solvers() -> list[Any]:
    """Return every installed solver without a loop of its own, with its defaults."""
    return solvers(iterative=True)
