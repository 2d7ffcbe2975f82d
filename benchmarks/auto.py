"""`auto` beside all other solvers: which maps each solves, and its calls over those of the best one in hindsight.

A call is an evaluation of f or a product J·v or Jᵀ·w. Each map is one sample, so nobody's calls depend on another's.
Solved means: CONVERGED, and the residual in float64 is at most twice the tolerance.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy

from benchmarks.auto_cases import Case, cases
from benchmarks.sweep import Sweep, chosen_names, installed_solvers, parse
from equilib import Solver, solve
from equilib_newton_dense.solver import NewtonDense
from equilib_newton_gmres.solver import NewtonGMRES

FOREIGN = ("scipy:", "sundials:")
VARIANTS: dict[str, Solver] = {
    "newton-dense, no line search": NewtonDense(globalization="none"),
    "newton-gmres, trust region": NewtonGMRES(globalization="trust-region"),
}


@dataclass(frozen=True)
class Found:
    """The calls of each solver that solved a map."""

    family: str
    name: str
    calls: dict[str, int]

    @property
    def best(self) -> int | None:
        """Calls of the best solver but `auto` in hindsight, None where nobody solved it."""
        return min((calls for name, calls in self.calls.items() if name != "auto"), default=None)

    @property
    def ratio(self) -> float | None:
        """Calls of `auto` over those; 0 calls count as 1."""
        return None if self.best is None or "auto" not in self.calls else self.calls["auto"] / max(self.best, 1)


def main(argv: Sequence[str]) -> None:
    """Solve everything, and print or save the table."""
    sweep = parse("auto", argv)
    sweep.deliver("auto", "\n".join(report(run(sweep), sweep)))


def run(sweep: Sweep) -> list[Found]:
    """Try every solver on every map."""
    everything = cases(quick=sweep.quick)
    families = chosen_names(sweep.families, list(dict.fromkeys(case.family for case in everything)))
    names = tuple(chosen_names(sweep.solvers, list(solvers())))
    tasks = [(sweep.quick, i, names) for i, case in enumerate(everything) if case.family in families]
    return sweep.map(work, tasks)


def work(task: tuple[bool, int, tuple[str, ...]]) -> Found:
    """Try the solvers on one map."""
    quick, index, names = task
    case = _cases(quick=quick)[index]
    counts = {name: calls(case, solvers()[name]) for name in names}
    return Found(case.family, case.name, {name: each for name, each in counts.items() if each is not None})


def calls(case: Case, solver: Solver) -> int | None:
    """Return the calls that a solver needs, None if it does not solve the map."""
    found = solve(case.problem, solver, case.z0, case.options)
    return found.nfe + found.njvp + found.nvjp if case.solves(found) else None


@cache
def solvers() -> dict[str, Solver]:
    """Return our solvers and two variants of them."""
    ours = {name: solver for name, solver in installed_solvers().items() if not name.startswith(FOREIGN)}
    return {**ours, **VARIANTS}


@cache
def _cases(*, quick: bool) -> list[Case]:
    return cases(quick=quick)


def report(found: Sequence[Found], sweep: Sweep) -> Iterator[str]:
    """Yield the lines of the tables."""
    names = list(dict.fromkeys(name for name in solvers() if any(name in each.calls for each in found)))
    yield f"# `auto` beside the best solver in hindsight\n\n{__doc__}"
    yield (
        f"Written by `python -m benchmarks auto{sweep.as_typed}`, Python {platform.python_version()}, NumPy "
        f"{np.__version__}, SciPy {scipy.__version__}: {len(found)} maps. Rounding decides some of the long solves, so "
        "counts may differ a little between machines.\n"
    )
    yield "| family | maps | somebody | " + " | ".join(names) + " | `auto` / best: geometric mean | worst |"
    yield "|---|---|---|" + "---|" * (len(names) + 2)
    for family in dict.fromkeys(each.family for each in found):
        yield _row(family, [each for each in found if each.family == family], names)
    yield _row("**all**", found, names)
    missed = [each for each in found if each.best is not None and "auto" not in each.calls]
    yield f"\nSolved by another solver, but not by `auto`: {len(missed)}\n"
    for each in missed:
        yield f"- {each.family}: {each.name}, by {', '.join(each.calls)}"
    yield "\n## Maps on which `auto` takes more than three times as many calls\n"
    for each in sorted((e for e in found if e.ratio is not None and e.ratio > 3), key=lambda e: -(e.ratio or 0)):
        best = min((name for name in each.calls if name != "auto"), key=each.calls.__getitem__)
        yield f"- {each.family}: {each.name}: {each.calls['auto']}, {best} {each.best}"


def _row(title: str, found: Sequence[Found], names: Sequence[str]) -> str:
    counts = [sum(name in each.calls for each in found) for name in names]
    somebody = sum(each.best is not None for each in found)
    ratios = [each.ratio for each in found if each.ratio is not None]
    mean = f"{np.exp(np.mean(np.log(ratios))):.2f} | {max(ratios):.1f}" if ratios else "– | –"
    return f"| {title} | {len(found)} | {somebody} | " + " | ".join(map(str, counts)) + f" | {mean} |"
