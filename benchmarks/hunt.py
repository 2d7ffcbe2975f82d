"""Hunt for solves that say CONVERGED where that is not true: every solver on random maps whose fixed points are known.

Default options, float32 and float64; one solve in five may take 1,000 steps. What is true is judged from z alone, in
float64, by `benchmarks/definition.py`: the residual must be within twice atol + rtol·min(‖z‖, S), where S is the
largest of ‖z0‖, ‖f(z0)‖ and the residuals on the way, and a fixed point within 100 times that tolerance, or 20 times
the condition number of I − J if that is more: as far as a secant along the best-conditioned direction would let it be.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.definition import Verdict, verdicts
from benchmarks.families import FAMILIES
from benchmarks.sweep import Sweep, chosen_names, installed_solvers, parse
from equilib import Solver, solve

ROUNDS, BATCH, LONG = 10, 4, 5
"""Every `LONG`-th round allows 1,000 steps."""

FALSE = tuple(verdict for verdict in Verdict if verdict.false)


@dataclass(frozen=True)
class Task:
    """A batch of one family's maps, to be solved by all solvers."""

    family: str
    round: int
    dtype: str
    solvers: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Found:
    """The verdicts of one solver on one batch, or the exception that escaped from it."""

    family: str
    solver: str
    dtype: str
    verdicts: tuple[Verdict, ...]
    error: str = ""


def main(argv: Sequence[str]) -> None:
    """Hunt, and print or save the table."""
    sweep = parse("hunt", argv, seeded=True)
    sweep.deliver("hunt", report(hunt(sweep), sweep))


def hunt(sweep: Sweep) -> list[Found]:
    """Solve everything."""
    solvers = tuple(installed_solvers(sweep.solvers))
    families = chosen_names(sweep.families, [family.name for family in FAMILIES])
    rounds = range(sweep.rounds or (1 if sweep.quick else ROUNDS))
    tasks = [
        Task(name, k, dtype, solvers, sweep.seed)
        for k in rounds
        for name in families
        for dtype in ("float32", "float64")
    ]
    return [found for each in sweep.map(work, tasks) for found in each]


def work(task: Task) -> list[Found]:
    """Draw the batch of a task, and solve it with every solver."""
    index, family = next((i, family) for i, family in enumerate(FAMILIES) if family.name == task.family)
    instance = family.instance(np.random.default_rng((task.seed, task.round, index)), BATCH, task.dtype)
    limits = {"max_steps": 1000} if task.round % LONG == LONG - 1 else {}
    found = []
    for name in task.solvers:
        key = (task.family, name, task.dtype)
        try:
            solution = solve(
                instance.problem(), _solver(name), instance.z0, on_failure="record", **family.options, **limits
            )
        except Exception as error:  # the table counts whatever escapes
            found.append(Found(*key, (), f"{type(error).__name__}: {error}"))
        else:
            found.append(Found(*key, tuple(verdicts(instance, solution))))
    return found


@cache
def _solvers() -> dict[str, Solver]:
    return installed_solvers()


def _solver(name: str) -> Solver:
    return _solvers()[name]


def report(found: Sequence[Found], sweep: Sweep) -> str:
    """Return the tables."""
    counts = Counter(verdict for each in found for verdict in each.verdicts)
    false = sum(counts[verdict] for verdict in FALSE)
    kinds = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in FALSE)
    errors = Counter((each.solver, each.error[:160]) for each in found if each.error)
    return "\n".join(
        [
            f"# A hunt for false claims\n\n{__doc__}",
            "*Far*: no contradiction, but the nearest fixed point is more than 100 times the tolerance away, since "
            "the map is ill-conditioned.\n",
            f"Written by `python -m benchmarks hunt{sweep.as_typed}`, Python {platform.python_version()}, NumPy "
            f"{np.__version__}: {len(found)} calls of `solve` with {BATCH} samples each, {counts.total()} solves.\n",
            f"**{false} false claims** ({kinds}) among {counts[Verdict.SOLVED] + counts[Verdict.FAR] + false} claims; "
            f"{counts[Verdict.FAR]} far; {counts[Verdict.FAILED]} honest failures; {errors.total()} exceptions.\n",
            *_table("family", found, [each.family for each in found]),
            "",
            *_table("solver", found, [each.solver for each in found]),
            "",
            "False claims, by solver and family; families and solvers without any are left out.\n",
            *_matrix(found),
            "",
            *(f"- {solver}, {count} times: {error}" for (solver, error), count in sorted(errors.items())),
        ]
    ).rstrip()


def _table(title: str, found: Sequence[Found], keys: Sequence[str]) -> Iterable[str]:
    columns = ("solved", "failed", "far", "**false**", *(verdict.value for verdict in FALSE), "exceptions")
    yield f"| {title} | " + " | ".join(columns) + " |"
    yield "|---|" + "---|" * len(columns)
    for key in dict.fromkeys(keys):
        mine = [each for each, its in zip(found, keys, strict=True) if its == key]
        counts = Counter(verdict for each in mine for verdict in each.verdicts)
        kinds = [counts[verdict] for verdict in FALSE]
        cells = [
            *(counts[verdict] for verdict in (Verdict.SOLVED, Verdict.FAILED, Verdict.FAR)),
            f"**{sum(kinds)}**",
            *kinds,
            sum(bool(each.error) for each in mine),
        ]
        yield f"| {key} | " + " | ".join(str(cell) if cell else "–" for cell in cells) + " |"


def _matrix(found: Sequence[Found]) -> Iterable[str]:
    counts: Counter[tuple[str, str]] = Counter()
    for each in found:
        counts[each.solver, each.family] += sum(verdict.false for verdict in each.verdicts)
    families = [
        name
        for name in dict.fromkeys(each.family for each in found)
        if any(counts[s, f] for s, f in counts if f == name)
    ]
    yield "| solver | " + " | ".join(families) + " |"
    yield "|---|" + "---|" * len(families)
    for solver in dict.fromkeys(each.solver for each in found):
        row = [counts[solver, family] for family in families]
        if any(row):
            yield f"| {solver} | " + " | ".join(str(count) if count else "–" for count in row) + " |"
