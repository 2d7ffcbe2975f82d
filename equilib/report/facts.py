"""Facts of runs, side by side."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from markupsafe import Markup

from equilib.machine.blas import Blas
from equilib.report import numbers
from equilib.report.run import ReportedRun
from equilib.runs.flags import TRAINING, Flag
from equilib.runs.request import FLAGS
from equilib.training import number_formats
from equilib.training.metric import ALL_EPOCHS, PROCESS, TEST, Metric
from equilib.training.metrics import METRICS

Cell = Callable[[ReportedRun], Markup | str | None]
_CODE = Markup("<code>{}</code>")


@dataclass(frozen=True)
class Row:
    """One fact: its name, and what it is for each run."""

    name: str
    cells: tuple[Markup | str, ...]

    @property
    def differs(self) -> bool:
        """Whether it is not the same for all runs."""
        return len(set(self.cells)) > 1


def groups(runs: Sequence[ReportedRun]) -> list[tuple[str, list[Row]]]:
    """Return the facts by what they are about; those that no run has are left out."""
    made = {"Outcome": _outcome, "Method": _method, "Experiment": _experiment, "Where it ran": _place}
    found = [(title, [_row(name, cell, runs) for name, cell in make(runs)]) for title, make in made.items()]
    return [(title, known) for title, rows in found if (known := [row for row in rows if row is not None])]


def _row(name: str, cell: Cell, runs: Sequence[ReportedRun]) -> Row | None:
    cells = [cell(run) for run in runs]
    if all(each is None for each in cells):
        return None
    return Row(name, tuple(numbers.MISSING if each is None else each for each in cells))


def _outcome(runs: Sequence[ReportedRun]) -> Iterator[tuple[str, Cell]]:
    yield "status", lambda run: run.status
    yield "error", _fact("error")
    yield "epochs recorded", lambda run: run.progress()
    scores = dict.fromkeys(run.score_name for run in runs if run.score_name)
    for row in METRICS:
        for named in [row.called(score) for score in scores] if row.is_score else [row]:
            yield named.title, _metric(named)
            if row.is_score:
                yield f"best {named.title}", _number(named.show, "best", *named.path(test=True))
                yield f"training {named.short}", _number(named.show, "results", *named.path())
    for name in dict.fromkeys(name for run in runs for name in _concluded(run)):
        yield name, _number(number_formats.plain, "results", name)
    yield "started", _fact("started")
    yield "ended", _fact("ended")


def _concluded(run: ReportedRun) -> list[str]:
    """Return the names of what an experiment measured at the end."""
    known = run.epochs[-1].keys() if run.epochs else {"test", f"test_{run.score_name}"}
    return [name for name in run.facts.get("results") or {} if name not in known]


def _metric(row: Metric) -> Cell:
    """Return the value of a metric that stands for the run; what is of all epochs has no place in `run.json`."""
    place = {PROCESS: row.name, ALL_EPOCHS: None}.get(row.of, ".".join(("results", *row.path(test=row.of == TEST))))

    def cell(run: ReportedRun) -> Markup | str | None:
        value = run.value(row)
        if row.is_number:
            return numbers.number(value, row.show, place) if isinstance(value, int | float) else None
        return row.show(value) if value else None

    return cell


def _method(runs: Sequence[ReportedRun]) -> Iterator[tuple[str, Cell]]:
    for part in ("solver", "integrator", "adjoint"):
        yield part, _fact("method", part, show=_chosen)
    yield "fallback", lambda run: ", then ".join(run.method()["fallback"]) or None
    yield "solve", _fact("method", "solve", show=_options)
    yield "optimizer", _fact("optimizer", show=_chosen)
    resolved = {name for run in runs for name in run.facts.get("options") or {}} | {"optimizer"}
    for flag in FLAGS:
        if flag.group == TRAINING and flag.name not in resolved:
            yield flag.name.replace("_", " "), _asked(flag)


def _asked(flag: Flag) -> Cell:
    """Return what a run was asked for; None where that is the default."""
    return _fact("request", flag.name, show=lambda asked: None if asked == flag.default else str(asked))


def _chosen(chosen: dict[str, Any]) -> str | None:
    if not chosen:
        return None
    options = _options(chosen.get("options") or {})
    approximate = " — an approximate gradient" if chosen.get("exact") is False else ""
    return f"{chosen['name']}{f' ({options})' if options else ''}{approximate}"


def _options(given: dict[str, Any]) -> str | None:
    return ", ".join(f"{name}={value}" for name, value in given.items() if value is not None) or None


def _experiment(runs: Sequence[ReportedRun]) -> Iterator[tuple[str, Cell]]:
    yield "command", _fact("argv", show=lambda argv: _CODE.format(f"equilib {shlex.join(map(str, argv))}"))
    yield "experiment", _fact("experiment")
    for name in dict.fromkeys(name for run in runs for name in run.facts.get("options") or {}):
        yield name.replace("_", " "), _option(name)
    yield "seed", _number(str, "seed")
    yield "data", _fact("data")
    yield "digest of the data", _fact("data_digest", show=_CODE.format)


def _option(name: str) -> Cell:
    number = _number(lambda value: f"{value:,}", "options", name)
    other = _fact("options", name, show=lambda value: ("no", "yes")[value] if isinstance(value, bool) else str(value))
    return lambda run: number(run) or other(run)


def _place(runs: Sequence[ReportedRun]) -> Iterator[tuple[str, Cell]]:
    yield "device", _fact("device")
    yield "platform", _fact("platform")
    yield "Python", _fact("python")
    for package in dict.fromkeys(name for run in runs for name in run.facts.get("versions") or {}):
        yield package, _fact("versions", package)
    yield "kernels", _fact("kernels", show=lambda found: ", ".join(found) or "none")
    yield "BLAS", _fact("blas", show=_blas)
    yield "commit", _fact("git", show=_commit)
    yield "folder", lambda run: _CODE.format(run.path)
    yield "id", _fact("id", show=_CODE.format)


def _blas(found: dict[str, Any]) -> str | None:
    known = {field.name: found[field.name] for field in fields(Blas) if field.name in found}
    return str(Blas(**known)) if {"library", "version"} <= known.keys() else None


def _commit(git: dict[str, Any]) -> Markup | None:
    if not git.get("commit"):
        return None
    return _CODE.format(git["commit"][:12]) + (" with changes" if git.get("dirty") else "")


def _fact(*path: str, show: Callable[[Any], Markup | str | None] = str) -> Cell:
    """Return what stands there in `run.json`; for "results", what is known of a run that did not end."""

    def cell(run: ReportedRun) -> Markup | str | None:
        value: Any = run.facts | {"results": run.results}
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return None if value is None else show(value)

    return cell


def _number(show: Callable[[Any], str], *path: str) -> Cell:
    def shown(value: Any) -> Markup | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return numbers.number(value, show, ".".join(path)) if is_number else None

    return _fact(*path, show=shown)
