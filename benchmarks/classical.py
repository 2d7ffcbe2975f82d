"""The 23 classical nonlinear systems, by our solvers and by SciPy's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import scipy

from benchmarks.sweep import Sweep, chosen_names, parse
from tests.classical.problems import CLASSICS, Classic
from tests.classical.solving import LIBRARY, SOLVERS, Outcome, ours, scipys

SCIPYS = {f"scipy {name}": name for name in LIBRARY}
HEAD = """\
# The 23 classical nonlinear systems

From their standard starts (`tests/classical/problems.py`), as fixed points of z − F(z). Solved means ‖F‖∞ < 1e-6; the
tolerance is ‖F‖∞ ≤ 1e-8, the limit 1000 steps. Entries are evaluations of F, or `evaluations + products` with its
derivative where a solver uses them; `–` is not solved. SciPy's evaluations include those of its finite differences,
which is what our products stand for. Default options but for what the column says. The second row counts the systems
as fixed points of z + F(z), too.

Written by `python -m benchmarks classical{typed}` with NumPy {numpy} and SciPy {scipy}. Counts may differ a little
between machines, since rounding decides some of the long ones.
"""


def main(argv: Sequence[str]) -> None:
    """Solve everything, and print or save the table."""
    sweep = parse("classical", argv)
    sweep.deliver("classical", "\n".join(_lines(sweep)))


def _lines(sweep: Sweep) -> Iterator[str]:
    wanted = chosen_names(sweep.families, [str(each) for each in CLASSICS])
    classics = [each for each in CLASSICS if str(each) in wanted][:: 8 if sweep.quick else 1]
    names = chosen_names(sweep.solvers, [*SOLVERS, *SCIPYS])
    solved = sweep.map(_by_both_signs, [(name, classics) for name in names])
    outcomes = {name: each for name, (each, _) in zip(names, solved, strict=True)}
    lasts = {name: each for name, (_, each) in zip(names, solved, strict=True)}
    yield HEAD.format(typed=sweep.as_typed, numpy=np.__version__, scipy=scipy.__version__)
    yield "| | n | " + " | ".join(names) + " | `auto` ended with |"
    yield "|---|---|" + "---|" * (len(names) + 1)
    counts = [[sum(each.solved for each in column) for column in columns] for columns in outcomes.values()]
    yield f"| **solved of {len(classics)}** | | " + " | ".join(f"**{each[0]}**" for each in counts) + " | |"
    both = " | ".join(f"**{sum(each)}**" if len(each) > 1 else "" for each in counts)
    yield f"| **with both signs, of {2 * len(classics)}** | | {both} | |"
    for i, classic in enumerate(classics):
        cells = [_cell(columns[0][i]) for columns in outcomes.values()]
        last = lasts["auto"][i] if "auto" in lasts else ""
        yield f"| {classic} | {len(classic.start)} | " + " | ".join(cells) + f" | {last} |"


def _by_both_signs(task: tuple[str, Sequence[Classic]]) -> tuple[list[list[Outcome]], list[str]]:
    """Solve z = z − F(z), and by ours z = z + F(z), for each system; and tell which methods `auto` ended with."""
    name, classics = task
    warnings.simplefilter("ignore", RuntimeWarning)  # SciPy's methods leave the domains of some systems
    if name in SCIPYS:
        return [[scipys(each, SCIPYS[name]) for each in classics]], []
    columns = [[ours(each, SOLVERS[name], sign) for each in classics] for sign in (-1.0, 1.0)]
    states = [each.solution.state for each in columns[0] if each.solution is not None]
    lasts = [state.finished_by[0] for state in states] if name == "auto" else []
    # A state need not go to another process.
    return [[replace(each, solution=None) for each in column] for column in columns], lasts


def _cell(outcome: Outcome) -> str:
    if not outcome.solved:
        return "–"
    return f"{outcome.nfe} + {outcome.products}" if outcome.products else str(outcome.nfe)
