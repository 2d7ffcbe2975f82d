"""Solver, adjoint and options of a fixed point, and the record of what was solved on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.solution import Solution, Status

STATUSES = tuple(Status)
"""What the numbers of statuses stand for."""


@dataclass(frozen=True, eq=False)
class Record:
    """What happened on the host: the solve, and those of linear equations for derivatives."""

    solutions: list[Solution] = field(default_factory=list)
    adjoints: list[Solution] = field(default_factory=list)
    tangents: list[Solution] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class How:
    """Solver, adjoint and options of a fixed point.

    `batched` tells which of the arrays that the map depends on have the batch axis; None: nothing is known.
    """

    solver: Any
    adjoint: Any
    options: SolveOptions
    fallback: Sequence[Any]
    batched: tuple[bool, ...] | None
    record: Record = field(default_factory=Record)

    def with_batched(self, batched: tuple[bool, ...]) -> How:
        """Return the same of a map of other arrays."""
        return replace(self, batched=batched)
