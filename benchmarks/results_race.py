"""How many evaluations of f each model of the polynomial takes to the error with which the plain equilibrium ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import mean
from typing import Any

Run = dict[str, Any]
PLAIN = "polynomial-deq"


def history(epochs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return the training score after each epoch, and the evaluations of f until then.

    `forward_nfe` is the mean of the epoch's batches.
    """
    steps = [0, *(epoch["step"] for epoch in epochs)]
    work = [
        epoch["forward_nfe"] * (after - before)
        for epoch, before, after in zip(epochs, steps[:-1], steps[1:], strict=True)
    ]
    name = next((key for epoch in epochs for key in epoch if key.startswith("train_")), "")
    return {
        "train_score": [float(f"{epoch[name]:.4g}") for epoch in epochs],
        "evaluations": [round(each) for each in accumulate(work)],
    }


def evaluations_to(run: Run, error: float) -> int | None:
    """Return the evaluations of f until the training error was at most `error`; None if it never was."""
    scores, counts = run["history"]["train_score"], run["history"]["evaluations"]
    return next((count for score, count in zip(scores, counts, strict=True) if score <= error), None)


def race(runs: Sequence[Run]) -> list[str]:
    """Return a table of the models of the polynomial; nothing where the plain one has no run."""
    done = [run for run in runs if run["row"].startswith("polynomial-") and run["status"] == "finished"]
    goals = {run["seed"]: run["history"]["train_score"][-1] for run in done if run["row"] == PLAIN}
    names = dict.fromkeys(run["row"] for run in done if run["seed"] in goals)
    if len(names) < 2:
        return []
    lines = [
        "Evaluations of f in training until the training error is that with which `--model deq` ends, in thousands:",
        "",
        "| model | mean | each seed |",
        "|---|---|---|",
    ]
    for name in names:
        counts = [
            evaluations_to(run, goals[run["seed"]]) for run in done if run["row"] == name and run["seed"] in goals
        ]
        reached = [count for count in counts if count is not None]
        average = f"{mean(reached) / 1e3:.0f}" if len(reached) == len(counts) else "–"
        each = ", ".join("never" if count is None else f"{count / 1e3:.0f}" for count in counts)
        lines.append(f"| `{name.removeprefix('polynomial-')}` | {average} | {each} |")
    return lines
