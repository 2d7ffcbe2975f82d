"""Several ranks: strong and weak scaling beside an α–β model, and what the model says of a thousand.

`python -m benchmarks ranks --save` measures on this machine, with one BLAS thread for each rank. Strong scaling divides
a batch of 32, weak scaling gives each rank 32 samples. What the model takes from measurements: the latency and the
bandwidth of sums, and the time of a batch of a rank's share in one process; with more ranks than cores it takes turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.ranks_model import INFINIBAND, NVLINK, Link, fitted, in_order, on_gpus, statistics
from benchmarks.results_machine import machine

RESULT = Path(__file__).parent / "results" / "ranks.md"
SIZES = [4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20]
TUTORIAL = {"experiment": "mnist", "values": {"recipe": "tutorial"}, "pretrain_epochs": 0}
BATCH = 32
LARGE = 400_000_000
"""Bytes of the gradient of a model of 100 million parameters, in float32."""

PLAN = (1, 2, 8, 16, 64, 256, 1000)


def measure(ranks: int, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what is measured in so many processes of one thread each."""
    launcher = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run(
        [*launcher, sys.executable, "-m", "benchmarks.ranks_ours", json.dumps(asked)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def per_batch(found: dict[str, Any]) -> float:
    """Return the seconds of a batch in the fastest epoch but the first, in which code is compiled."""
    return float(min(found["seconds"][1:] or found["seconds"]) / found["batches"])


def rows_of(asked: dict[str, Any], counts: list[int], link: Link, small: float, *, weak: bool) -> list[str]:
    """Return a row for each number of ranks: time of a batch, efficiency, waits, memory, and what the model says."""
    cores, rows = len(os.sched_getaffinity(0)), []
    base = 0.0
    for ranks in counts:
        found = measure(ranks, {**asked, "batch_size": BATCH * ranks if weak else BATCH})
        share = BATCH if weak else max(1, BATCH // ranks)
        compute = per_batch(found if ranks == 1 else measure(1, {**asked, "batch_size": share}))
        time = per_batch(found)
        base = base or time
        turns = max(1.0, ranks / cores)
        model = compute * turns + in_order(ranks, found["gradient"], link) + statistics(ranks, small)
        ideal = base * turns if weak else base / min(ranks, cores)
        waited = found["waited"][-1] / found["batches"]
        rows.append(
            f"| {ranks} | {1e3 * time:.1f} ms | {ideal / time:.2f} | {1e3 * waited:.2f} ms | {1e3 * model:.1f} ms | "
            f"{max(found['memory']) / 2**20:.0f} MiB |"
        )
    return rows


def measured(counts: list[int], epochs: int, limit: int) -> list[str]:
    """Return the lines about this machine."""
    ranks = max(counts)
    pairs = measure(2, {"sums": SIZES})
    link = fitted(SIZES, pairs["sums"], 2)
    most = measure(ranks, {"sums": SIZES}) if ranks > 2 else pairs
    sums = ", ".join(f"{size >> 10} KiB {1e3 * time:.2f}" for size, time in zip(SIZES, pairs["sums"], strict=True))
    lines = [
        f"Two ranks of this machine: α = {1e6 * link.latency:.0f} µs, β = 1 / ({link.bandwidth / 1e9:.2f} GB/s); a sum "
        f"of {sums} ms. The statistics of a batch take {1e3 * pairs['gather']:.2f} ms, those of {ranks} ranks "
        f"{1e3 * most['gather']:.2f} ms.",
    ]
    asked = {**TUTORIAL, "values": {**TUTORIAL["values"], "limit": limit}, "epochs": epochs}
    for title, weak in (("Strong scaling", False), ("Weak scaling", True)):
        lines += [
            "",
            f"{title} of the tutorial:",
            "",
            *HEADER,
            *rows_of(asked, counts, link, pairs["gather"], weak=weak),
        ]
    return lines


HEADER = (
    "| ranks | time of a batch | efficiency | of which waits | model | memory of a rank |",
    "|---|---|---|---|---|---|",
)


def planned() -> list[str]:
    """Return the table to a thousand ranks: communication of a batch on GPUs, and the batch for which it is a tenth."""
    sizes = {"tutorial, 0.7 MB": 0.7e6, "cifar10 source, 0.7 MB": 0.68e6, "100 M parameters, 400 MB": LARGE}
    links = (
        f"{name}: {1e6 * link.latency:.1f} µs, {link.bandwidth / 1e9:.0f} GB/s ({link.source})"
        for name, link in (("NVLink", NVLINK), ("InfiniBand", INFINIBAND))
    )
    lines = [
        f"On hosts of 8 GPUs. {'. '.join(links)}. Times in ms: NCCL's sum / that in the order of the ranks, all of it "
        "on InfiniBand beyond a host; then the statistics of a batch, and the least time of a batch on a GPU for an "
        "efficiency of 0.9 without overlap.",
        "",
        "| ranks | " + " | ".join(sizes) + " | statistics | least batch, 0.7 MB | least batch, 400 MB |",
        "|" + "---|" * (len(sizes) + 4),
    ]
    for ranks in PLAN:
        link = NVLINK if ranks <= 8 else INFINIBAND
        small = 2 * link.latency
        cells = [
            f"{1e3 * on_gpus(ranks, size):.2f} / {1e3 * in_order(ranks, size, link):.2f}" for size in sizes.values()
        ]
        extra = statistics(ranks, small)
        least = [9e3 * (on_gpus(ranks, size) + extra) for size in (0.7e6, LARGE)]
        lines.append(f"| {ranks} | {' | '.join(cells)} | {1e3 * extra:.2f} | {least[0]:.1f} | {least[1]:.1f} |")
    return lines


def main(argv: list[str]) -> None:
    """Measure, compare with the model, and print or save the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ranks", description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write results/ranks.md")
    parser.add_argument("--quick", action="store_true", help="measure one or two ranks on few images: for a try")
    parser.add_argument("--model", action="store_true", help="measure nothing, print the plan")
    given = parser.parse_args(argv)
    lines = ["# Several ranks", ""]
    if not given.model:
        here = machine(1)
        lines += [f"{here['machine']}, one thread for each rank, Python {here['python']}.", ""]
        counts, epochs, limit = ([1, 2], 2, 300) if given.quick else ([1, 2, 3, 4], 3, 1280)
        lines += [*measured(counts, epochs, limit), "", "## To a thousand", ""]
    text = "\n".join([*lines, *planned(), ""])
    if given.save:
        RESULT.write_text(text, encoding="utf-8")
    print(text)
