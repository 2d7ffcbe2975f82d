"""The stiff problems by our implicit methods, and by SciPy's Radau and BDF with exact Jacobians.

Work is evaluations of f and products J·v; a Jacobian of SciPy's counts as one product for each unknown. The error is
that at the end, relative to atol + rtol·|y|, against the published solution; Prothero & Robinson's is known, and the
Brusselator's is by Radau at 1e-12. atol is rtol times a number of the problem (`benchmarks/stiff_problems.py`). Ours
solve by LU, but the Brusselator, 200 points of two substances, by GMRES. Nothing is timed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy
from scipy.integrate import solve_ivp

from benchmarks.request import Request
from benchmarks.stiff_problems import PROBLEMS, StiffProblem
from equilib.ode import OdeSolution, integrate
from equilib_ode.auto import Auto
from equilib_ode.bdf import BDF
from equilib_ode.dopri5 import Dopri5
from equilib_ode.kencarp47 import KenCarp47
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcabm import VCABM

TOLERANCES = (1e-4, 1e-6, 1e-8)
OURS = {"kencarp47": KenCarp47(), "bdf": BDF(), "auto": Auto()}
SCIPYS = ("Radau", "BDF")
EXPLICIT = {"tsit5": Tsit5(), "dopri5": Dopri5(), "vcabm": VCABM()}
PAIRS = (("kencarp47", "Radau"), ("auto", "Radau"), ("bdf", "BDF"))
"""Ours and its counterpart: a Runge-Kutta method, or one with several steps."""

NOTES = """
- On the Brusselator SciPy's BDF gets by with two to five Jacobians of 400 products. Ours has no preconditioner, but
  keeps products while a Jacobian lasts (`equilib.ode.products`); by LU, `BDF(largest=400)`, it needs 1.0 of SciPy's
  work at 1e-6.
- Prothero & Robinson's problem is solved by Radau in a handful of steps, since collocation is nearly exact for it; and
  most of what `auto` spends on it are the ten explicit steps after which it calls it stiff.
"""


@dataclass(frozen=True)
class Figure:
    """What one method needed for one problem, and how exact it was; nan where it did not arrive."""

    work: int
    nfe: int
    steps: int
    error: float


def main(request: Request) -> None:
    """Integrate everything, and print or save the tables."""
    warnings.simplefilter("ignore")
    problems = PROBLEMS[:5] if request.quick else PROBLEMS
    tolerances = TOLERANCES[:1] if request.quick else TOLERANCES
    rows = [
        (rtol, problem, dict(_figures(problem, rtol)))
        for rtol in tolerances
        for problem in problems
        if problem.y0.size < 10 or rtol > 1e-8
    ]
    text = "\n".join(_lines(rows, request, problems))
    figures = [
        {"rtol": rtol, "problem": str(problem), "methods": {name: asdict(each) for name, each in found.items()}}
        for rtol, problem, found in rows
    ]
    request.deliver("stiff", text, {"versions": {"numpy": np.__version__, "scipy": scipy.__version__}, "rows": figures})


def by_ours(problem: StiffProblem, method: Any, rtol: float, **options: Any) -> OdeSolution:
    """Integrate a problem as a batch of one."""
    given = {"rtol": rtol, "atol": rtol * problem.atol, "on_failure": "record", "max_steps": 100_000, **options}
    return integrate(problem.problem(), problem.y0[None], [0, problem.end], method, **given)


def _figures(problem: StiffProblem, rtol: float) -> Iterator[tuple[str, Figure]]:
    def error(y: np.ndarray) -> float:
        solution = problem.reference()
        return float(np.max(np.abs(y - solution) / (rtol * (problem.atol + np.abs(solution)))))

    for name, method in OURS.items():
        found = by_ours(problem, method, rtol)
        yield name, Figure(found.nfe + found.njvp, found.nfe, int(found.accepted[0]), error(found.y[-1, 0]))
    for name in SCIPYS:
        tolerance = {"rtol": rtol, "atol": rtol * problem.atol}
        solved = solve_ivp(problem.f, (0, problem.end), problem.y0, name, jac=problem.jacobian, **tolerance)
        work = solved.nfev + solved.njev * problem.y0.size
        yield f"SciPy {name}", Figure(work, solved.nfev, len(solved.t) - 1, error(solved.y[:, -1]))


def _lines(
    rows: list[tuple[float, StiffProblem, dict[str, Figure]]], request: Request, problems: tuple[StiffProblem, ...]
) -> Iterator[str]:
    yield f"# Stiff problems\n\n{__doc__}"
    yield f"`python -m benchmarks stiff{request.as_typed()}`, NumPy {np.__version__}, SciPy {scipy.__version__}.\n"
    names = [*OURS, *(f"SciPy {name}" for name in SCIPYS)]
    yield "| rtol | problem | " + " | ".join(f"{name} work | error" for name in names) + " | "
    yield "|---|---|" + "---|---|" * len(names)
    for rtol, problem, found in rows:
        cells = " | ".join(f"{found[name].work} | {found[name].error:.2g}" for name in names)
        yield f"| {rtol:g} | {problem} | {cells} |"
    yield "\n## Ratios of the work\n"
    yield "| rtol | problem | " + " | ".join(f"{ours} / {theirs}" for ours, theirs in PAIRS) + " |"
    yield "|---|---|" + "---|" * len(PAIRS)
    for rtol, problem, found in rows:
        ratios = (found[ours].work / found[f"SciPy {theirs}"].work for ours, theirs in PAIRS)
        yield f"| {rtol:g} | {problem} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |"
    yield NOTES
    yield f"## What explicit methods say\n\nAt 1e-4, with 5,000 steps: {', '.join(EXPLICIT)}.\n"
    for problem in problems:
        reports = [by_ours(problem, each, 1e-4, max_steps=5000).failure_report() for each in EXPLICIT.values()]
        honest = sum("The equation is stiff" in each for each in reports)
        yield f"- {problem}, {honest} of {len(reports)} say that it is stiff; the first: {reports[0]}"
