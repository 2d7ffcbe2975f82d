"""`python -m benchmarks results`: the tables of docs/results.md.

Every row is one `equilib run` with several seeds, each in a process of its own, one after another. What is known stands
in results/experiments.json and is not run again; the page is written after every run, so that it can be stopped and
continued at any time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.results_machine import machine
from benchmarks.results_race import history
from benchmarks.results_rows import ROWS, Row
from benchmarks.results_table import tables
from equilib.commands.combinations import Combination
from equilib.commands.compare import read_result
from equilib.errors import UserError
from equilib.runs.files import json_values
from equilib.runs.folder import RUN
from equilib.runs.record import RecordedRun

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
RECORD = Path(__file__).parent / "results" / "experiments.json"
BEGIN, END = "<!-- tables: python -m benchmarks results -->", "<!-- end of tables -->"
PROGRAM = (sys.executable, "-c", "import sys; from equilib.cli import main; sys.exit(main())")
SEEDS = (0, 1, 2)

Run = dict[str, Any]


def main(argv: Sequence[str]) -> None:
    """Run what is missing, and write the page."""
    given = _parse(argv)
    rows = [row for row in ROWS if any(fnmatch(row.name, pattern) for pattern in given.only or ("*",))]
    if not rows:
        sys.exit(f"no row is called {', '.join(given.only)}; there are {', '.join(row.name for row in ROWS)}")
    record = Record(given.json)
    wanted = [(row, seed) for seed in given.seeds for row in rows]  # every row has something after the first round
    missing = [] if given.table else [each for each in wanted if given.again or not record.has(*each)]
    with _folder(given.keep) as folder:
        for number, (row, seed) in enumerate(missing, 1):
            print(f"[{number}/{len(missing)}] {row.command} --seed {seed}", file=sys.stderr, flush=True)
            done = run(row, seed, folder, threads=given.threads)
            record.add(done)
            write_page(given.page, record.runs)
            print(f"    {done['status']} {done['score']} {done['error'] or ''}", file=sys.stderr, flush=True)
    write_page(given.page, record.runs)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks results", epilog=f"Rows: {', '.join(row.name for row in ROWS)}"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="rows, by name or pattern; may be repeated")
    parser.add_argument("--seeds", type=_seeds, default=SEEDS, metavar="0,1,2", help="seeds of every row")
    parser.add_argument("--again", action="store_true", help="run what is there already, too")
    parser.add_argument("--table", action="store_true", help="run nothing: write the page from what is there")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of each run (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the run folders there")
    parser.add_argument("--json", type=Path, default=RECORD, metavar="FILE", help="what is known (%(default)s)")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="the page to write (%(default)s)")
    return parser.parse_args(argv)


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(seed) for seed in text.split(","))


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep


def run(row: Row, seed: int, folder: Path, *, threads: int) -> Run:
    """Run a row with one seed, and return what is known about it as plain values."""
    out = folder / f"{row.name}-{seed}"
    log = out.with_name(f"{out.name}.log")
    threads_of = {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    (out / RUN).unlink(missing_ok=True)  # an earlier run's record must not be taken for this one's
    started = {
        "row": row.name,
        "command": row.command,
        "seed": seed,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "started": datetime.now(UTC).isoformat(),
    }
    with log.open("wb") as file:
        done = subprocess.run(
            [*PROGRAM, *row.words, "--seed", str(seed), "--out", str(out), "--overwrite"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **threads_of},
            check=False,
        )
    combination = Combination(name=row.name, solver=row.solver or "", adjoint=None)
    result = read_result(combination, out, log, done.returncode).describe()
    known: Run = json_values({**started, **result, **_facts(out), **machine(threads)})
    return known


def _facts(out: Path) -> dict[str, Any]:
    """Return what the record of a run has besides: its solver, its versions, and the results that have sentences."""
    try:
        record = RecordedRun.read(out)
    except UserError:  # it was refused before it began; the result says why
        return {"extra": {}, "versions": {}, "commit": None, "history": {"train_score": [], "evaluations": []}}
    facts = record.facts
    results, method, git = facts.get("results") or {}, facts.get("method") or {}, facts.get("git") or {}
    return {
        "solver": (method.get("solver") or {}).get("name", ""),
        "extra": {name: value for name, value in results.items() if " " in name},
        "versions": facts.get("versions") or {},
        "kernels": sorted(facts.get("kernels") or {}),
        "commit": git.get("commit"),
        "dirty": git.get("dirty"),
        "history": history(record.epochs),
    }


class Record:
    """The runs that are known, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.runs: list[Run] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    def has(self, row: Row, seed: int) -> bool:
        """Tell whether a row was run with a seed, by the command that it has now, to the end."""
        return any((run["command"], run["seed"], run["status"]) == (row.command, seed, "finished") for run in self.runs)

    def add(self, done: Run) -> None:
        """Add a run in place of an earlier one, and save all."""
        others = [run for run in self.runs if (run["row"], run["seed"]) != (done["row"], done["seed"])]
        names = [row.name for row in ROWS]
        order = {name: number for number, name in enumerate(names)}
        self.runs = sorted([*others, done], key=lambda run: (order.get(run["row"], len(names)), run["seed"]))
        lines = [json.dumps(run, ensure_ascii=False, allow_nan=False) for run in self.runs]
        text = "[\n" + ",\n".join(lines) + "\n]\n"
        beside = self._path.with_suffix(".part")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self._path)


def write_page(page: Path, runs: Sequence[Run]) -> None:
    """Put the tables between the marks of the page."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        sys.exit(f"{page} lacks the lines {BEGIN!r} and {END!r}, between which the tables go")
    head, _, rest = text.partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n\n{tables(runs)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
