"""Schemas of what is recorded: `run.json`, a line of `metrics.jsonl`, the header of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, NotRequired, TypedDict

from equilib.options.schema import Flaw, flaw
from equilib.training.metrics import METRICS

Plain = str | int | float | bool | None
"""A value that JSON holds and that holds no others."""


class Chosen(TypedDict):
    """A part by name, with its options by dotted names."""

    name: str
    options: dict[str, Any]
    exact: NotRequired[bool]


class Method(TypedDict, total=False):
    """How it was solved."""

    solver: Chosen | None
    integrator: Chosen | None
    adjoint: Chosen | None
    fallback: list[Chosen] | None
    solve: dict[str, Plain] | None


class Results(TypedDict, total=False):
    """What a run, or an epoch, ended with: numbers by name, and those of the test."""

    phase: str | None
    epoch: int | None
    step: int | None
    test: dict[str, Any] | None
    status: dict[str, int] | None


class Record(TypedDict, total=False):
    """The content of `run.json`; what else stands there may be anything."""

    id: str | None
    format: int | None
    experiment: str | None
    argv: list[str] | None
    request: dict[str, Any] | None
    resolved: dict[str, Any] | None
    options: dict[str, Any] | None
    method: Method | None
    optimizer: Chosen | None
    seed: int | None
    device: str | None
    data: str | None
    data_digest: str | None
    versions: dict[str, str] | None
    python: str | None
    platform: str | None
    kernels: dict[str, str] | None
    blas: dict[str, Any] | None
    ranks: dict[str, Any] | None
    git: dict[str, Any] | None
    started: str | None
    ended: str | None
    status: str | None
    error: str | None
    peak_memory: int | float | None
    results: Results | None
    best: dict[str, Plain] | None
    resumed: list[dict[str, Any]] | None


class Progress(TypedDict):
    """How far training is."""

    step: int
    epochs_done: int
    batches: int
    seconds: float
    rng: dict[str, Any]
    metrics: dict[str, Any]
    best: dict[str, Any] | None
    sums: Any


class Header(TypedDict):
    """The header of a checkpoint."""

    run: str
    request: dict[str, Any]
    options: NotRequired[dict[str, Any]]
    method: NotRequired[Method]
    data_digest: NotRequired[str]
    versions: NotRequired[dict[str, str]]
    progress: Progress


def flaw_of_record(facts: Any) -> Flaw:
    """Return what of the content of `run.json` is not as `equilib run` writes it; None where nothing is."""
    if not isinstance(facts, dict):
        return "it holds no object"
    found = flaw(facts, Record, "")
    return found or next((f"'results.{text[1:]}" for text, _ in odd_metrics(facts.get("results") or {})), None)


def odd_metrics(epoch: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield for each known metric of an epoch whose value is of another kind a sentence, and its place."""
    scores = [name.partition("_")[2] for name in epoch if name.startswith(("test_", "train_"))]
    for row in chain.from_iterable([each.called(s) for s in scores] if each.is_score else [each] for each in METRICS):
        kind: Any = int | float | None if row.is_number else dict[str, int] | None
        for place in {row.path(test=test) for test in (False, True)}:
            value: Any = epoch
            for key in place:
                value = value.get(key) if isinstance(value, dict) else None
            text = flaw(value, kind, ".".join(place))
            if text:
                yield text, place
