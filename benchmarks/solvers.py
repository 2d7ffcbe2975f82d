"""Evaluations of f that our solvers need to a tolerance, and those of torchdeq's on the same cells.

Every solver has its default options, begins at zero and stops by the same test on each sample's ‖f(z) − z‖₂: "abs", at
most the tolerance; "rel", at most the tolerance times ‖z‖₂ (torchdeq: times ‖f(z)‖₂). For ours this is
`criterion="residual"`; what the default takes, which judges the distance to go as well, stands below the table. An
evaluation is a call of f on the whole batch, counted by a wrapper, also in the peer; products J·v are listed apart.
Nothing is timed.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.cells import UNITS, CellCase, conv_cell, dense_cell
from benchmarks.peers.exchange import Arrays, run_contestant
from benchmarks.request import Request
from equilib import SolveOptions, Solver, solve
from equilib.fixed_points.picard import Picard
from equilib.machine.process import prepare_process
from equilib_anderson.solver import Anderson
from equilib_auto.solver import Auto
from equilib_broyden.full import Broyden
from equilib_broyden.limited import LimitedMemoryBroyden
from equilib_newton_gmres.solver import NewtonGMRES

# Picard iteration needs about 15, 40 and 100 evaluations for a batch of 32 to "rel" 1e-3.
DENSE_SCALES = (0.9, 1.36, 1.43)
CONV_SCALES = (0.041, 0.061, 0.066)
BATCHES = (1, 32)
TESTS = (("abs", 1e-3, "float32"), ("rel", 1e-3, "float32"), ("rel", 1e-6, "float64"))
EVALUATIONS = 200
"""The most that a solver may use."""

OURS: dict[str, Solver] = {
    "picard": Picard(),
    "anderson": Anderson(),
    "broyden": Broyden(),
    "lbroyden": LimitedMemoryBroyden(),
    "newton-gmres": NewtonGMRES(),
    "auto": Auto(),
}
TORCHDEQ: dict[str, tuple[str, dict[str, Any]]] = {
    "fixed_point_iter": ("fixed_point_iter", {}),
    "anderson_solver": ("anderson", {}),
    "anderson_solver, m=7": ("anderson", {"m": 7}),
    "broyden_solver": ("broyden", {}),
}
PAIRS = (
    ("picard", "fixed_point_iter"),
    ("anderson", "anderson_solver"),
    ("anderson", "anderson_solver, m=7"),
    ("broyden", "broyden_solver"),
    ("lbroyden", "broyden_solver"),
)


@dataclass(frozen=True, eq=False)
class Row:
    """One cell, solved by every solver to one tolerance."""

    cell: CellCase
    mode: str
    tolerance: float
    dtype: str

    @property
    def batch(self) -> int:
        """Samples."""
        return len(self.cell.injection)

    def __str__(self) -> str:
        return f"{self.cell}, batch {self.batch}, {self.mode} {self.tolerance:.0e}, {self.dtype}"

    @property
    def options(self) -> SolveOptions:
        """The test and the limit, ours."""
        absolute = self.mode == "abs"
        return SolveOptions(
            rtol=0.0 if absolute else self.tolerance,
            atol=self.tolerance if absolute else 0.0,
            norm="two",
            criterion="residual",
            max_steps=EVALUATIONS - 1,
            on_failure="record",
        )

    def excess(self, z: np.ndarray) -> float:
        """Return the largest residual of a sample, in float64, over what the tolerance allows."""
        allowed = self.tolerance * (1.0 if self.mode == "abs" else np.linalg.norm(z.reshape(len(z), -1), axis=1))
        with np.errstate(divide="ignore"):  # nothing is allowed at zero
            return float(np.max(self.cell.residual_norms(z) / allowed))


@dataclass(frozen=True)
class Count:
    """What a solver needed, and the largest true residual it left over what was allowed."""

    nfe: int
    njvp: int
    residual: float

    @property
    def work(self) -> int:
        """Evaluations, and products as if they were evaluations."""
        return self.nfe + self.njvp

    @property
    def reached(self) -> bool:
        """Whether every sample is as good as asked for; an evaluation in float32 is not known better than 1 %."""
        return self.residual <= 1.01

    def __str__(self) -> str:
        return (f"{self.nfe} + {self.njvp}" if self.njvp else str(self.nfe)) + ("" if self.reached else " (missed)")


def main(request: Request) -> None:
    """Count, and print or save the table."""
    prepare_process()
    rows = list(_rows(quick=request.quick))
    counts = {row: _ours(row) for row in rows}
    by_distance = _total({row: _ours(row, criterion="distance") for row in rows})
    default = [f"{name} {work} against {by_distance[name]}" for name, work in _total(counts).items()]
    verdicts = [f"criterion residual against distance, in all: {', '.join(default)}"]
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    if "torchdeq" in request.peers:
        theirs, their_versions = _torchdeq(rows, request)
        versions |= their_versions
        for row in rows:
            counts[row] |= theirs[row]
        verdicts = _verdicts(counts) + verdicts
    request.deliver("solvers", _text(counts, verdicts, versions, request), _record(counts, verdicts, versions, request))


def _rows(*, quick: bool) -> Iterator[Row]:
    for batch in BATCHES[:1] if quick else BATCHES:
        cells = [dense_cell(scale, batch) for scale in DENSE_SCALES[: 1 if quick else None]]
        cells += [conv_cell(scale, batch) for scale in CONV_SCALES[: 1 if quick else None]]
        for cell in cells:
            for mode, tolerance, dtype in TESTS:
                yield Row(cell, mode, tolerance, dtype)


def _ours(row: Row, **options: Any) -> dict[str, Count]:
    counts = {}
    for name, solver in OURS.items():
        if name == "broyden" and row.cell.kind == "conv":  # a matrix of its state's size squared
            continue
        found = solve(row.cell.map(row.dtype), solver, row.cell.zeros(row.dtype), row.options, **options)
        counts[name] = Count(found.nfe, found.njvp, row.excess(found.z))
    return counts


def _torchdeq(rows: list[Row], request: Request) -> tuple[dict[Row, dict[str, Count]], dict[str, str]]:
    arrays: Arrays = {}
    told = []
    for index, row in enumerate(rows):
        cell = f"{row.cell}, batch {row.batch}"
        parts = {"injection": row.cell.injection} | {f"weight{i}": each for i, each in enumerate(row.cell.weights)}
        arrays |= {f"{cell}/{name}": array for name, array in parts.items()}
        test = {"mode": row.mode, "tolerance": row.tolerance, "dtype": row.dtype}
        told.append({"name": str(index), "cell": cell, "kind": row.cell.kind, "arrays": list(parts), **test})
    settings = {"rows": told, "solvers": TORCHDEQ, "max_iter": EVALUATIONS}
    done = run_contestant(
        request.python_of("torchdeq"), "benchmarks.peers.torchdeq_solvers", arrays, settings, threads=request.threads
    )
    counts = {
        row: {
            name: Count(done.report["calls"][f"{i}/{name}"], 0, row.excess(done.arrays[f"{i}/{name}"]))
            for name in TORCHDEQ
        }
        for i, row in enumerate(rows)
    }
    return counts, done.report["versions"]


def _total(counts: dict[Row, dict[str, Count]]) -> dict[str, int]:
    return {name: sum(each[name].work for each in counts.values() if name in each) for name in OURS}


def _text(counts: dict[Row, dict[str, Count]], verdicts: list[str], versions: dict[str, str], request: Request) -> str:
    columns = list(dict.fromkeys(name for each in counts.values() for name in each))
    columns = [name for name in (*OURS, *TORCHDEQ) if name in columns]
    lines = [
        "# Evaluations to a tolerance\n",
        f"{__doc__}",
        f"The dense cell is tanh(z W + u) with {UNITS} units, the number beside it near the spectral radius of W; the "
        "conv cell is the MNIST tutorial's, tanh(W₂ * (tanh(W₁ * z) + u)) on 14×14×64, the number the standard "
        f"deviation of its kernels. At most {EVALUATIONS} evaluations; `broyden` keeps a matrix, not for "
        "the 12,544 elements of that one. *Missed*: the residual of the result, computed by us in float64, is beyond "
        "the tolerance. torchdeq returns f(z) of the iterate that passed its test (Picard, Anderson). "
        "Its Broyden solver looks for progress among the samples where it means the steps, so that after 30 steps it "
        "may end at three times the tolerance; where it did, it was asked for a third, and so ends where it should.\n",
        "`anderson` keeps 6 pairs of differences, as `anderson_solver` does with m=7; its default, m=6, keeps 5. Its "
        "ridge is absolute, which slows it down as residuals get small: with lam=1e-12 for its default 1e-4 it needs "
        "as many evaluations as ours on the dense cells, to within one. The weights are random, so the eigenvalues of "
        "J about fill a disc around zero, for which Picard iteration is hard to beat.\n",
        f"Written by `python -m benchmarks solvers{request.as_typed()}`, {request.threads} threads: "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}.\n",
        "| cell | batch | test | " + " | ".join(columns) + " |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    for row, each in counts.items():
        test = f"{row.mode} {row.tolerance:.0e} {row.dtype}"
        cells = [str(each[name]) if name in each else "–" for name in columns]
        lines.append(f"| {row.cell} | {row.batch} | {test} | " + " | ".join(cells) + " |")
    largest = {name: max(each[name].residual for each in counts.values() if name in each) for name in columns}
    cells = [f"{value:.2g}" for value in largest.values()]
    lines.append("| largest residual / tolerance | | | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {verdict}" for verdict in verdicts)]
    return "\n".join(lines)


def _verdicts(counts: dict[Row, dict[str, Count]]) -> list[str]:
    """Say for each pair of solvers in how many rows ours needs fewer, as many, or more evaluations and products."""
    verdicts = []
    for ours, theirs in PAIRS:
        both = [(each[ours].work, each[theirs].work) for each in counts.values() if ours in each and theirs in each]
        if both:
            fewer, more = sum(a < b for a, b in both), sum(a > b for a, b in both)
            verdicts.append(
                f"{ours} against {theirs}: fewer in {fewer} of {len(both)} rows, as many in "
                f"{len(both) - fewer - more}, more in {more}; {sum(a for a, _ in both)} against "
                f"{sum(b for _, b in both)} in all"
            )
    return verdicts


def _record(
    counts: dict[Row, dict[str, Count]], verdicts: list[str], versions: dict[str, str], request: Request
) -> dict[str, Any]:
    return {
        "versions": versions,
        "threads": request.threads,
        "evaluations": EVALUATIONS,
        "rows": [
            {
                "cell": str(row.cell),
                "batch": row.batch,
                "mode": row.mode,
                "tolerance": row.tolerance,
                "dtype": row.dtype,
                "solvers": {name: asdict(count) for name, count in each.items()},
            }
            for row, each in counts.items()
        ],
        "verdicts": verdicts,
    }
