"""The 23 classical nonlinear systems, by our solvers and by SciPy's: written to benchmarks/results/classical.md."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy

from tests.classical.problems import CLASSICS
from tests.classical.solving import LIBRARY, SOLVERS, Outcome, ours, scipys

RESULTS = Path(__file__).parent / "results" / "classical.md"
HEAD = """\
# The 23 classical nonlinear systems

From their standard starts (`tests/classical/problems.py`), as fixed points of z − F(z). Solved means ‖F‖∞ < 1e-6; the
tolerance is ‖F‖∞ ≤ 1e-8, the limit 1000 steps. Entries are evaluations of F, or `evaluations + products` with its
derivative where a solver uses them; `–` is not solved. SciPy's evaluations include those of its finite differences,
which is what our products stand for. Default options but for what the column says.

Written by `python -m benchmarks classical` with NumPy {numpy} and SciPy {scipy}. Counts may differ a little between
machines, since rounding decides some of the long ones.
"""


def main() -> None:
    """Solve everything, write the table, and print it."""
    warnings.simplefilter("ignore", RuntimeWarning)  # SciPy's methods leave the domains of some systems
    text = "\n".join(_lines())
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)


def _lines() -> Iterator[str]:
    columns = {name: [ours(classic, solver) for classic in CLASSICS] for name, solver in SOLVERS.items()}
    columns |= {f"scipy {name}": [scipys(classic, name) for classic in CLASSICS] for name in LIBRARY}
    yield HEAD.format(numpy=np.__version__, scipy=scipy.__version__)
    yield "| | n | " + " | ".join(columns) + " | `auto` ended with |"
    yield "|---|---|" + "---|" * (len(columns) + 1)
    solved = [str(sum(outcome.solved for outcome in each)) for each in columns.values()]
    yield f"| **solved of {len(CLASSICS)}** | | " + " | ".join(f"**{count}**" for count in solved) + " | |"
    for i, classic in enumerate(CLASSICS):
        cells = [_cell(each[i]) for each in columns.values()]
        finished = columns["auto"][i].solution
        last = finished.state.finished_by[0] if finished is not None else ""
        yield f"| {classic} | {len(classic.start)} | " + " | ".join(cells) + f" | {last} |"


def _cell(outcome: Outcome) -> str:
    if not outcome.solved:
        return "–"
    return f"{outcome.nfe} + {outcome.products}" if outcome.products else str(outcome.nfe)
