"""PyTorch's counterparts of `characters` and `digits-graph`, on the data of these experiments and for as many updates.

An explicit block of the transformer and one that is repeated twelve times with tied weights; graph convolutions of two
layers and the implicit network's cell repeated twenty times. They have the sizes, the optimizers and the schedules of
the experiments; their environment is that of the other PyTorch peers. With `--save` each score is kept as soon as it is
known, in published.json, and a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.peers.environments import Environment, home_of_environments
from benchmarks.peers.exchange import Arrays, run_contestant
from benchmarks.request import RESULTS
from equilib.experiments.assembly import Training, assemble
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.reporters import QuietReporter
from equilib.runs.request import RunRequest
from equilib_experiments.graphs import adjacency

MODELS = {
    "characters": {"explicit block": 1, "block, 12 times": 12},
    "digits-graph": {"graph convolutions": 0, "cell, 20 times": 20},
}


def main(argv: Sequence[str]) -> None:
    """Train the models, and print or save the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks published", description=__doc__)
    parser.add_argument("--seeds", default="0,1,2", metavar="0,1,2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--env", type=Path, default=home_of_environments(), help="folder of the peers' environments")
    parser.add_argument("--save", action="store_true", help="write published.md into benchmarks/results")
    parser.add_argument("--again", action="store_true", help="forget the scores that were saved")
    given = parser.parse_args(argv)
    python, seeds = Environment("torch", given.env).make(), [int(seed) for seed in given.seeds.split(",")]
    saved = RESULTS / "published.json"
    known = json.loads(saved.read_text(encoding="utf-8")) if saved.exists() and not given.again else {}
    lines = ["| experiment | PyTorch model | parameters | score on test data, each seed |", "|---|---|---|---|"]
    for experiment, models in MODELS.items():
        for name, depth in models.items():
            found = []
            for seed in seeds:
                key = f"{experiment}, {name}, seed {seed}"
                if key not in known:
                    known[key] = _trained(python, experiment, depth, seed, given.threads)
                if given.save:
                    saved.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
                found.append(known[key])
            scores = [each["score"] for each in found]
            shown = f"{mean(scores):.2f} ({', '.join(f'{score:.2f}' for score in scores)})"
            lines.append(f"| `{experiment}` | {name} | {found[0]['parameters']:,} | {shown} |")
            print(lines[-1], flush=True)
    lines += ["", f"Bits a character, accuracy in %; PyTorch {found[0]['version']}, seeds {given.seeds}."]
    if given.save:
        (RESULTS / "published.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _trained(python: Path, experiment: str, depth: int, seed: int, threads: int) -> dict[str, Any]:
    """Train a model and return what it reports: its score, the number of its parameters and PyTorch's version."""
    arrays, settings = _told(experiment, seed)
    settings |= {"experiment": experiment, "depth": depth, "seed": seed}
    return run_contestant(python, "benchmarks.peers.torch_published", arrays, settings, threads=threads).report


def _told(experiment: str, seed: int) -> tuple[Arrays, dict[str, Any]]:
    """Return the data of an experiment and what its recipe says."""
    request = RunRequest(experiment=experiment, seed=seed, device="cpu")
    training: Training = assemble(RunContext(request=request, registry=Registry.discover(), reporter=QuietReporter()))
    plan, samples = training.recipe.plan, training.trainer.data.train_inputs.shape[0]
    arrays = dict(training.trainer.data.arrays())
    if experiment == "digits-graph":
        graph = adjacency(training.experiment.neighbours).tocoo()
        arrays |= {"places": np.stack([graph.row, graph.col]), "entries": graph.data}
    rates = plan.rates(training.recipe.schedule, samples)
    arrays["rates"] = np.array([rates(step) for step in range(plan.steps(samples))])
    options = {name: value for name, value in vars(training.experiment).items() if isinstance(value, int)}
    return arrays, {**options, "epochs": plan.epochs, "batch_size": plan.batch_size}
