"""The facts of runs, side by side."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from equilib.machine.blas import Blas
from equilib.report import numbers
from equilib.report.html import Html, element, joined
from equilib.report.run import ReportedRun

Cell = Callable[[ReportedRun], Html | str | None]


@dataclass(frozen=True)
class Row:
    """One fact: its name, and what it is for each run."""

    name: str
    cells: tuple[Html | str, ...]

    @property
    def differs(self) -> bool:
        """Whether it is not the same for all runs."""
        return len(set(self.cells)) > 1


def groups(runs: Sequence[ReportedRun]) -> list[tuple[str, list[Row]]]:
    """Return the facts by what they are about; those that no run has are left out."""
    return [
        (title, rows)
        for title, make in (
            ("Outcome", _outcome),
            ("Method", _method),
            ("Experiment", _experiment),
            ("Where it ran", _place),
        )
        if (rows := [row for row in (_row(name, cell, runs) for name, cell in make(runs)) if row is not None])
    ]


def _row(name: str, cell: Cell, runs: Sequence[ReportedRun]) -> Row | None:
    cells = [cell(run) for run in runs]
    if all(each is None for each in cells):
        return None
    return Row(name, tuple(numbers.MISSING if each is None else each for each in cells))


def _outcome(runs: Sequence[ReportedRun]) -> Iterator[tuple[str, Cell]]:
    yield "status", lambda run: run.status
    yield "error", lambda run: run.facts.get("error")
    yield "epochs recorded", lambda run: run.progress()
    for score in dict.fromkeys(run.score_name for run in runs if run.score_name):
        yield f"test {score.replace('_', ' ')}", _score(score, "results", f"test_{score}")
        yield f"best test {score.replace('_', ' ')}", _score(score, "best", f"test_{score}")
        yield f"training {score.replace('_', ' ')}", _score(score, "results", f"train_{score}")
    yield "training loss", _number(numbers.plain, "results", "loss")
    yield "test residual", _number(numbers.small, "results", "test", "residual")
    yield "test samples unconverged", _number(numbers.share, "results", "test", "unconverged")
    yield "evaluations of f, per batch of training", _number(numbers.count, "results", "forward_nfe")
    yield "products J·v, per batch of training", _number(numbers.count, "results", "forward_njvp")
    yield "products Jᵀ·w, per batch of training", _number(numbers.count, "results", "adjoint_nfe")
    yield "adjoint solves unconverged", _number(numbers.share, "results", "adjoint_unconverged")
    for name in dict.fromkeys(name for run in runs for name in _concluded(run)):
        yield name, _number(numbers.plain, "results", name)
    yield "updates", _number(numbers.count, "results", "step")
    yield "time for training", _training_time
    yield "peak memory of the host", _number(numbers.memory, "peak_memory")
    yield "started", _text("started")
    yield "ended", _text("ended")


def _concluded(run: ReportedRun) -> list[str]:
    """Return the names of what an experiment measured at the end."""
    known = run.epochs[-1].keys() if run.epochs else {"test", f"test_{run.score_name}"}
    return [name for name in run.facts.get("results") or {} if name not in known]


def _method(runs: Sequence[ReportedRun]) -> Iterator[tuple[str, Cell]]:
    yield "solver", lambda run: _chosen(run.facts, "solver")
    yield "integrator", lambda run: _chosen(run.facts, "integrator")
    yield "adjoint", lambda run: _chosen(run.facts, "adjoint")
    yield "fallback", lambda run: ", then ".join(run.record.fallback_specs()) or None
    yield "solve", lambda run: _options((run.facts.get("method") or {}).get("solve"))
    for name, nothing in (("warm_start", "none"), ("loosen", 1.0)):
        yield name.replace("_", " "), _saving(name, nothing)


def _saving(name: str, nothing: object) -> Cell:
    """Return what made training cheaper; None where it was not asked for."""

    def cell(run: ReportedRun) -> str | None:
        asked = (run.facts.get("request") or {}).get(name, nothing)
        return None if asked == nothing else str(asked)

    return cell


def _chosen(facts: dict[str, Any], part: str) -> str | None:
    chosen = (facts.get("method") or {}).get(part)
    if not chosen:
        return None
    options = _options(chosen.get("options"))
    approximate = " — an approximate gradient" if chosen.get("exact") is False else ""
    return f"{chosen['name']}{f' ({options})' if options else ''}{approximate}"


def _options(given: dict[str, Any] | None) -> str | None:
    return ", ".join(f"{name}={value}" for name, value in (given or {}).items() if value is not None) or None


def _experiment(runs: Sequence[ReportedRun]) -> Iterator[tuple[str, Cell]]:
    yield "command", _command
    yield "experiment", _text("experiment")
    for name in dict.fromkeys(name for run in runs for name in run.facts.get("options") or {}):
        yield name.replace("_", " "), _option(name)
    yield "seed", _number(str, "seed")
    yield "data", _text("data")
    yield "digest of the data", _code("data_digest")


def _command(run: ReportedRun) -> Html | None:
    argv = run.facts.get("argv")
    return element("code", f"equilib {shlex.join(map(str, argv))}") if argv else None


def _option(name: str) -> Cell:
    def cell(run: ReportedRun) -> Html | str | None:
        value = (run.facts.get("options") or {}).get(name)
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, int | float):
            return numbers.number(value, lambda each: f"{each:,}", f"options.{name}")
        return value if value is None else str(value)

    return cell


def _place(runs: Sequence[ReportedRun]) -> Iterator[tuple[str, Cell]]:
    yield "device", _text("device")
    yield "platform", _text("platform")
    yield "Python", _text("python")
    for package in dict.fromkeys(name for run in runs for name in run.facts.get("versions") or {}):
        yield package, _version(package)
    yield "BLAS", _blas
    yield "commit", _commit
    yield "folder", lambda run: element("code", run.record.path)
    yield "id", _code("id")


def _version(package: str) -> Cell:
    return lambda run: (run.facts.get("versions") or {}).get(package)


def _blas(run: ReportedRun) -> str | None:
    found = run.facts.get("blas") or {}
    known = {field.name: found[field.name] for field in fields(Blas) if field.name in found}
    return str(Blas(**known)) if {"library", "version"} <= known.keys() else None


def _commit(run: ReportedRun) -> Html | None:
    git = run.facts.get("git") or {}
    if not git.get("commit"):
        return None
    return joined([element("code", git["commit"][:12]), " with changes" if git.get("dirty") else ""])


def _text(name: str) -> Cell:
    return lambda run: None if run.facts.get(name) is None else str(run.facts[name])


def _code(name: str) -> Cell:
    return lambda run: None if run.facts.get(name) is None else element("code", run.facts[name])


def _number(show: Callable[[Any], str], *path: str) -> Cell:
    """Return the number that stands there in `run.json`; for "results", what is known of a run that did not end."""

    def cell(run: ReportedRun) -> Html | None:
        value: Any = run.facts | {"results": run.results}
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return numbers.number(value, show, ".".join(path)) if isinstance(value, int | float) else None

    return cell


def _score(name: str, *path: str) -> Cell:
    return _number(lambda value: numbers.score(name, value), *path)


def _training_time(run: ReportedRun) -> Html | None:
    if not run.epochs:
        return None
    return numbers.number(sum(epoch.get("seconds") or 0.0 for epoch in run.epochs), numbers.seconds)
