"""What a training step costs per sample, in time and in memory, against the size of the batch.

The network of the MNIST tutorial on random images, cross-entropy, gradient with respect to all parameters; forward and
adjoint take a fixed number of steps of Anderson mixing, since the tolerance is zero. *f* is the tutorial's cell alone,
its injection computed before. Every size is a process of its own; memory is the peak of its resident size less that
before the first step.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Arrays, Finished
from benchmarks.race import Contestant, conditions, race
from benchmarks.request import Request
from benchmarks.tutorial import CLASSES, initial_params

BATCHES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
STEPS, ROUNDS, REPEATS = 6, 3, 3
OFTEN = 256
"""Samples of a batch up to which a step is taken REPEATS times; larger ones take less often, and at least once."""
ONE_THREAD = "equilib, one thread"
TITLES = ("µs/sample: step", "times that of the first", "f", "MB of a step", "MB/sample", "nfe", "vjp")


def main(request: Request) -> None:
    """Measure, and print or save the tables."""
    batches = BATCHES[:2] if request.quick else BATCHES
    rounds = request.rounds or (1 if request.quick else ROUNDS)
    settings = {"steps": STEPS}
    ours = Path(sys.executable), "benchmarks.scaling_ours"
    contestants = {"equilib": (*ours, request.threads)}
    if request.threads > 1:
        contestants[ONE_THREAD] = *ours, 1
    if "torchdeq" in request.peers:
        python = request.python_of("torchdeq")
        contestants["torchdeq"] = python, "benchmarks.peers.torchdeq_scaling", request.threads
    params = initial_params()
    rows: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for batch in batches:
        own = {"batch": batch, "repeats": 1 if request.quick else max(1, min(REPEATS, REPEATS * OFTEN // batch))}
        given = [Contestant(name, *place, own, threads) for name, (*place, threads) in contestants.items()]
        runs = race(given, params | _samples(batch), settings, rounds=rounds, threads=request.threads)
        rows += [_row(name, batch, each) for name, each in runs.items()]
        versions |= {name: version for each in runs.values() for name, version in each[-1].report["versions"].items()}
    text = "\n".join(_lines(rows, request, rounds))
    request.deliver("scaling", text, {"settings": settings, "versions": versions, "rows": rows})


def _samples(batch: int) -> Arrays:
    rng = np.random.default_rng(batch)
    images = rng.uniform(size=(batch, 28, 28, 1)).astype(np.float32)
    return {"images": images, "labels": rng.integers(CLASSES, size=batch)}


def _row(name: str, batch: int, runs: list[Finished]) -> dict[str, Any]:
    """Return the medians over the runs of one size."""
    reports = [run.report for run in runs]
    per_sample = {kind: 1e6 * median(median(each[kind]) for each in reports) / batch for kind in ("step", "f")}
    memory = None
    if None not in (each[name] for each in reports for name in ("rss_before_mb", "peak_rss_mb")):
        memory = median(each["peak_rss_mb"] - each["rss_before_mb"] for each in reports)
    return {"library": name, "batch": batch, **per_sample, "mb": memory, **{n: reports[-1][n] for n in ("nfe", "vjp")}}


def _lines(rows: list[dict[str, Any]], request: Request, rounds: int) -> Iterator[str]:
    yield f"# Scaling with the batch\n\n{__doc__}"
    yield f"`python -m benchmarks scaling{request.as_typed()}`: {conditions(request.threads, rounds)}."
    for library in dict.fromkeys(row["library"] for row in rows):
        own = [row for row in rows if row["library"] == library]
        yield f"\n## {library}\n"
        yield "| batch | " + " | ".join(TITLES) + " |\n|---|" + "---|" * len(TITLES)
        for row in own:
            relative = row["step"] / own[0]["step"]
            memory = [_figure(row["mb"], ".0f"), _figure(row["mb"] and row["mb"] / row["batch"], ".2f")]
            cells = [f"{row['step']:.0f}", f"{relative:.2f}", f"{row['f']:.0f}", *memory, row["nfe"], row["vjp"]]
            yield f"| {row['batch']} | " + " | ".join(map(str, cells)) + " |"
        yield ""
        for title, key in (("step", "step"), ("f", "f")):
            yield f"- time of {title} ∝ batch^{_exponent([(row['batch'], row[key] * row['batch']) for row in own]):.2f}"
        if all(row["mb"] for row in own):
            yield f"- memory of a step ∝ batch^{_exponent([(row['batch'], row['mb']) for row in own]):.2f}"

    yield from _speed_up(rows, request.threads)


def _speed_up(rows: list[dict[str, Any]], threads: int) -> Iterator[str]:
    """Yield the table of what more threads than one make of our step."""
    alone = {row["batch"]: row for row in rows if row["library"] == ONE_THREAD}
    if alone:
        yield f"\n## Times as fast with {threads} threads as with one\n\n| batch | step | f |\n|---|---|---|"
    for row in rows:
        if alone and row["library"] == "equilib":
            one = alone[row["batch"]]
            yield f"| {row['batch']} | {one['step'] / row['step']:.2f} | {one['f'] / row['f']:.2f} |"


def _exponent(points: list[tuple[int, float]]) -> float:
    """Return the slope of the least-squares line through the logarithms: 1 is linear."""
    x, y = ([math.log(each) for each in column] for column in zip(*points, strict=True))
    return float(np.polyfit(x, y, 1)[0])


def _figure(value: float | None, spec: str) -> str:
    return "–" if value is None else format(value, spec)
