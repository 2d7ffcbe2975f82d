"""The non-stiff DETEST problems by our integrators and SciPy's RK45, at equal tolerances.

The error at t = 20, the largest over the components, relative to max(1, |y|), against DOP853 at 1e-13; and the
evaluations of f. Nothing is timed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.detest_problems import END, PROBLEMS, InitialValueProblem, solve_by_scipy
from equilib.ode.integrate import odeint
from equilib.ode.integrator import Integrator
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.dopri5 import Dopri5
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM

RESULT = Path(__file__).parent / "results" / "detest.md"
TOLERANCES = (1e-3, 1e-6, 1e-9)
HIGH_ORDER: dict[str, Integrator] = {"tsit5": Tsit5(), "dopri5": Dopri5(), "vcabm": VCABM()}
LOW_ORDER: dict[str, Integrator] = {"bs3": BogackiShampine3(), "vcab3": VCAB3()}

Figure = tuple[float, int]
"""Error and evaluations."""


def main() -> None:
    """Write the table to benchmarks/results/detest.md."""
    lines = ["# DETEST, non-stiff\n", f"{__doc__}\n"]
    for tolerance in TOLERANCES:
        # A method of order 3 takes 10⁵ steps at 1e-9; nobody would.
        methods = HIGH_ORDER if tolerance < 1e-6 else HIGH_ORDER | LOW_ORDER
        lines += _section(tolerance, methods)
    RESULT.write_text("\n".join(lines))
    print(f"written to {RESULT}")


def _section(tolerance: float, methods: dict[str, Integrator]) -> list[str]:
    names = [*methods, "SciPy RK45"]
    lines = [
        f"## rtol = atol = {tolerance:g}\n",
        "| problem | " + " | ".join(f"{name} error | nfe" for name in names) + " |",
        "|---|" + "---|---|" * len(names),
    ]
    rows = {}
    for problem in PROBLEMS:
        rows[problem.name] = row = figures(problem, methods, tolerance)
        lines.append(f"| {problem} | " + " | ".join(f"{error:.1e} | {nfe}" for error, nfe in row) + " |")
    lines.append(
        "| all | " + " | ".join(f" | {sum(row[i][1] for row in rows.values())}" for i in range(len(names))) + " |"
    )
    lines.append("")
    for place, name in enumerate(methods):
        ratios = {problem: row[place][0] / max(row[-1][0], 1e-14) for problem, row in rows.items()}
        worst = max(ratios, key=lambda problem: ratios[problem])
        per_tolerance = median(row[place][0] for row in rows.values()) / tolerance
        lines.append(
            f"- {name}: error / SciPy's RK45's, median {median(ratios.values()):.2g}, largest {ratios[worst]:.2g} "
            f"({worst}); error / tolerance, median {per_tolerance:.2g}"
        )
    return [*lines, ""]


def figures(problem: InitialValueProblem, methods: dict[str, Integrator], tolerance: float) -> list[Figure]:
    """Return error and evaluations of each method, and of SciPy's RK45 last."""
    exact = _exact(problem)
    scale = np.maximum(1.0, np.abs(exact))
    found = []
    for method in methods.values():
        solution = odeint(
            problem.f, problem.y0[None], [0.0, END], method, rtol=tolerance, atol=tolerance, max_steps=10**6
        )
        found.append((float(np.max(np.abs(solution.y[-1, 0] - exact) / scale)), solution.nfe))
    y, nfe = solve_by_scipy(problem, "RK45", tolerance, tolerance)
    return [*found, (float(np.max(np.abs(y - exact) / scale)), nfe)]


@cache
def _exact(problem: InitialValueProblem) -> np.ndarray:
    return solve_by_scipy(problem, "DOP853", 1e-13, 1e-14)[0]
