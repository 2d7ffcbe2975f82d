"""Several ranks: efficiency, strong and weak scaling beside an α–β model, and what the model says of a thousand.

`python -m benchmarks ranks --save` measures on this machine, with one BLAS thread for each rank; `--part NAME` measures
a part of that. Strong scaling divides a batch of 32, weak scaling gives each rank 32 samples. What the model takes from
measurements: the latency and the bandwidth of sums, and the time of a batch of a rank's share in one process; with more
ranks than cores it takes turns. What was measured before, parts that are not asked for, is kept in results/ranks.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ranks_model import Link, fitted, in_order, planned, statistics
from benchmarks.results_machine import machine

RESULT = Path(__file__).parent / "results" / "ranks.md"
SIZES = [4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20]
TUTORIAL = {"experiment": "mnist", "values": {"recipe": "tutorial"}}
SHORT = {**TUTORIAL, "values": {"recipe": "tutorial", "limit": 1280}, "pretrain_epochs": 0, "epochs": 3}
SOURCE = {
    "experiment": "cifar10",
    "values": {"recipe": "source", "limit": 40},
    "batch_size": 32,
    "pretrain_epochs": 0,
    "epochs": 1,
}
COUNTS, BATCH, ROUNDS = (1, 2, 3, 4), 32, 2

Measured = dict[str, Any]


def measure(ranks: int, asked: dict[str, Any]) -> Measured:
    """Return what is measured in so many processes of one thread each."""
    launcher = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run(
        [*launcher, sys.executable, "-m", "benchmarks.ranks_ours", json.dumps(asked)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise SystemExit(f"{ranks} ranks failed: {done.stderr}")
    found: Measured = json.loads(done.stdout.splitlines()[-1])
    return {"ranks": ranks, **found}


def measure_sums() -> list[Measured]:
    """Measure sums and statistics between two ranks, and as many as there are at most."""
    return [measure(ranks, {"sums": SIZES}) for ranks in (2, max(COUNTS))]


def in_turn(asked: dict[str, Any], rounds: int) -> list[Measured]:
    """Measure one rank and two, in turn."""
    return [measure(ranks, asked) for _ in range(rounds) for ranks in (1, 2)]


def scaling(*, weak: bool) -> list[Measured]:
    """Measure all numbers of ranks, and one process with a rank's share of a batch."""
    found = []
    for ranks in COUNTS:
        share = BATCH if weak else max(1, BATCH // ranks)
        one = measure(ranks, {**SHORT, "batch_size": BATCH * ranks if weak else BATCH})
        found.append({**one, "alone": per_batch(measure(1, {**SHORT, "batch_size": share}))})
    return found


PARTS: dict[str, Callable[[], list[Measured]]] = {
    "sums": measure_sums,
    "tutorial": lambda: in_turn(TUTORIAL, ROUNDS),
    "tutorial without kernels": lambda: in_turn({**TUTORIAL, "kernels": "none"}, 1),
    "strong": lambda: scaling(weak=False),
    "weak": lambda: scaling(weak=True),
    "cifar10 source": lambda: in_turn(SOURCE, 1),
    "100 M": lambda: in_turn({"large": 7000, "samples": 16}, 1),
}


def per_batch(found: Measured) -> float:
    """Return the seconds of a batch in the fastest epoch but the first, in which code is loaded."""
    return float(min(found["seconds"][1:] or found["seconds"]) / found["batches"])


def page(known: dict[str, list[Measured]]) -> list[str]:
    """Return the lines about what is known, and the plan."""
    lines: list[str] = []
    if "sums" in known:
        lines += _sums(*known["sums"])
    for name in ("tutorial", "tutorial without kernels"):
        if name in known:
            lines += ["", *_efficiency(name, known[name])]
    for name, title in (("strong", "Strong scaling"), ("weak", "Weak scaling")):
        if name in known and "sums" in known:
            lines += ["", f"{title} of the tutorial, epochs through the equilibrium:", "", *HEADER]
            lines += _rows(known[name], *_links(known), weak=name == "weak")
    if {"cifar10 source", "100 M"} <= known.keys() and "sums" in known:
        lines += ["", "Larger models, one batch, divided among two ranks:", "", *LARGER]
        lines += [_larger(name, known[name], *_links(known)) for name in ("cifar10 source", "100 M")]
    return [*lines, "", "## To a thousand", "", *planned()]


HEADER = (
    "| ranks | time of a batch | efficiency | of which waits | model | memory of a rank |",
    "|---|---|---|---|---|---|",
)
LARGER = (
    "| model | gradient | batch | one rank | two | efficiency | of which waits | sum by the model | memory of a rank |",
    "|---|---|---|---|---|---|---|---|---|",
)


def _links(known: dict[str, list[Measured]]) -> tuple[Link, float]:
    pair = known["sums"][0]
    return fitted(SIZES, pair["sums"], 2), pair["gather"]


def _sums(pair: Measured, most: Measured) -> list[str]:
    link = fitted(SIZES, pair["sums"], 2)
    sums = ", ".join(f"{size >> 10} KiB {1e3 * time:.2f}" for size, time in zip(SIZES, pair["sums"], strict=True))
    return [
        f"Two ranks of this machine: α = {1e6 * link.latency:.0f} µs, β = 1 / ({link.bandwidth / 1e9:.2f} GB/s); a sum "
        f"of {sums} ms. The statistics of a batch take {1e3 * pair['gather']:.2f} ms, those of {most['ranks']} ranks "
        f"{1e3 * most['gather']:.2f} ms.",
    ]


def _efficiency(name: str, runs: list[Measured]) -> list[str]:
    """Return a sentence on whole runs of one rank and of two."""
    training, whole, waits = [], [], []
    for one, two in zip(runs[::2], runs[1::2], strict=True):
        training.append(sum(one["seconds"]) / sum(two["seconds"]) / 2)
        whole.append(one["whole"] / two["whole"] / 2)
        waits.append(sum(two["waited"]) / (sum(two["seconds"]) + sum(two["tests"])))
    one, two = [round(median(sum(run["seconds"]) for run in each), 1) for each in (runs[::2], runs[1::2])]
    memory = [max(run["memory"]) >> 20 for run in runs[:2]]
    rates = ", ".join(f"{each:.3f}" for each in sorted(training))
    return [
        f"The {name}, all epochs, one rank and two in turn, {len(training)}×: {one} s and {two} s, "
        f"efficiency {median(training):.2f} ({rates}), with the start of the processes {median(whole):.2f}. Two ranks "
        f"wait for each other and for messages for {100 * median(waits):.1f} % of their time. {memory[0]} and "
        f"{memory[1]} MiB a rank.",
    ]


def _rows(runs: list[Measured], link: Link, small: float, *, weak: bool) -> list[str]:
    """Return a row for each number of ranks: time of a batch, efficiency, waits, memory, and what the model says."""
    cores, rows, base = len(os.sched_getaffinity(0)), [], per_batch(runs[0])
    for found in runs:
        ranks, time = found["ranks"], per_batch(found)
        turns = max(1.0, ranks / cores)
        model = found["alone"] * turns + in_order(ranks, found["gradient"], link) + statistics(ranks, small)
        ideal = base * turns if weak else base / min(ranks, cores)
        waited = found["waited"][-1] / found["batches"]
        rows.append(
            f"| {ranks} | {1e3 * time:.1f} ms | {ideal / time:.2f} | {1e3 * waited:.2f} ms | {1e3 * model:.1f} ms | "
            f"{max(found['memory']) >> 20} MiB |"
        )
    return rows


def _larger(name: str, runs: list[Measured], link: Link, small: float) -> str:
    one, two = (per_batch(run) for run in runs)
    waited = runs[1]["waited"][-1] / runs[1]["batches"]
    size, summed = runs[0]["gradient"], in_order(2, runs[0]["gradient"], link) + statistics(2, small)
    return (
        f"| {name} | {size / 1e6:.1f} MB | {runs[0]['batch']} | {one:.2f} s | {two:.2f} s | {one / two / 2:.2f} | "
        f"{waited:.2f} s | {1e3 * summed:.1f} ms | {max(runs[0]['memory']) >> 20}, {max(runs[1]['memory']) >> 20} MiB |"
    )


def main(argv: list[str]) -> None:
    """Measure, compare with the model, and print or save the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ranks", description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write results/ranks.md and what was measured")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="measure this only; may be repeated")
    parser.add_argument("--model", action="store_true", help="measure nothing, write the page of what is known")
    given = parser.parse_args(argv)
    kept = RESULT.with_suffix(".json")
    known = json.loads(kept.read_text("utf-8")) if kept.exists() else {"parts": {}}
    for name in [] if given.model else given.part or PARTS:
        known |= machine(1)
        known["parts"][name] = PARTS[name]()
        if given.save:
            kept.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    where = f"{known['machine']}, one thread for each rank, Python {known['python']}." if known["parts"] else ""
    text = "\n".join(["# Several ranks", "", where, "", *page(known["parts"]), ""])
    if given.save:
        RESULT.write_text(text, encoding="utf-8")
    print(text)
