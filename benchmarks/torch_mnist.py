"""The classifier of `equilib run mnist` in PyTorch, by `equilib.torch` and by torchdeq: accuracy, time, lines of code.

The program is docs/examples/torch_mnist.py: 2,000 images of MNIST, the next 500 to test, two epochs at a fixed depth
and three through the equilibrium. Model code, initial parameters and batches of a seed are the same for all; so are the
tolerance, 1e-2 of the state, forward and backward, and the limit of 30 steps; the equilibrium alone differs. A step is
the processor's time of a whole training step, evaluation included, as the median of the runs. Residuals are those of
the last test images, relative, the largest of a sample. Gradients are those of the first batch in float64, to a
tolerance of 1e-11 with the same solvers, beside the network unrolled 200 steps, the kernels of the cell 5 times their
initial ones, so that it is no weak contraction: the largest relative difference of a parameter. Lines of code are those
of the equilibrium, and of the whole program with it, without docstrings and blank lines.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.race import Contestant, conditions, race
from benchmarks.request import Request

IMAGES, EPOCHS, SEEDS = 2000, 5, (0, 1, 2)
WAYS: dict[str, dict[str, Any]] = {
    "equilib anderson": {"library": "equilib", "solver": "anderson", "backward": "gmres"},
    "equilib anderson, anderson": {
        "library": "equilib",
        "solver": "anderson",
        "backward": "implicit:solver=anderson",
    },
    "equilib newton-gmres": {"library": "equilib", "solver": "newton-gmres", "backward": "gmres"},
    "torchdeq anderson": {"library": "torchdeq", "solver": "anderson", "backward": "anderson"},
    "torchdeq fixed_point_iter": {
        "library": "torchdeq",
        "solver": "fixed_point_iter",
        "backward": "fixed_point_iter",
    },
}


def main(request: Request) -> None:
    """Train, and print or save the table.

    Raises
    ------
    SystemExit
        If torchdeq is not asked for.
    """
    if "torchdeq" not in request.peers:
        raise SystemExit("PyTorch comes with a peer here: python -m benchmarks torch_mnist --peers torchdeq")
    (packages,) = request.python_of("torchdeq").parents[1].glob("lib/python*/site-packages")
    seeds = SEEDS[: request.rounds or (1 if request.quick else len(SEEDS))]
    images, epochs = (64, 3) if request.quick else (IMAGES, EPOCHS)
    settings = {
        "packages": str(packages),
        "images": images,
        "epochs": epochs,
        "tolerance": 1e-2,
        "max_steps": 30,
        "exact": 1e-11,
        "exact_steps": 300,
    }
    ways = {name: WAYS[name] for name in request.chosen(WAYS)}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for seed in seeds:
        told = {**settings, "seed": seed}
        contestants = [
            Contestant(name, Path(sys.executable), "benchmarks.torch_mnist_run", way) for name, way in ways.items()
        ]
        for name, runs in race(contestants, {}, told, rounds=1, threads=request.threads).items():
            found[name].append(runs[0].report)
    lines = [f"# The MNIST classifier in PyTorch\n\n{__doc__}"]
    versions = ", ".join(f"{name} {number}" for name, number in next(iter(found.values()))[0]["versions"].items())
    typed = f"`python -m benchmarks torch_mnist{request.as_typed()}`"
    lines.append(f"{typed}: {conditions(request.threads, len(seeds))}; {versions}.\n")
    seeded = f"accuracy, seeds {seeds[0]}–{seeds[-1]} (least–most)"
    titles = seeded, "processor's ms a step", "largest residual", "gradient's difference", "lines: equilibrium, program"
    lines.append("| equilibrium | " + " | ".join(titles) + " |\n|---|" + "---|" * len(titles))
    for name, runs in found.items():
        accuracies = [run["accuracies"][-1] for run in runs]
        spread = f"{mean(accuracies):.3f} ({min(accuracies):.3f}–{max(accuracies):.3f})"
        step, residual = median(run["step_ms"] for run in runs), max(run["residual"] for run in runs)
        gradient = runs[0]["gradient"]
        own, whole = runs[0]["lines"]
        lines.append(f"| {name} | {spread} | {step:.1f} | {residual:.0e} | {gradient:.0e} | {own}, {whole} |")
    request.deliver("torch_mnist", "\n".join(lines), {"settings": settings, "found": found})
