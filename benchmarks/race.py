"""Contestants that train the same network: each a process of its own, in turn, round by round."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Arrays, Finished, run_contestant
from benchmarks.timing import kernels


@dataclass(frozen=True)
class Contestant:
    """A process that trains: `python -m module` in the environment of `python`, with these settings.

    `threads` are those of this contestant alone; None for those of the race.
    """

    name: str
    python: Path
    module: str
    settings: Mapping[str, Any]
    threads: int | None = None


@dataclass(frozen=True)
class Laps:
    """The runs of one contestant.

    `residuals` are those of its last run's final equilibria, computed by us in float64, over the size of the state.
    """

    name: str
    ours: bool
    runs: list[Finished]
    residuals: np.ndarray | None = None

    @property
    def wholes(self) -> list[float]:
        """Seconds from the start of `python` to its end, run by run."""
        return [run.seconds for run in self.runs]

    def epochs(self, phase: str) -> list[float]:
        """Seconds of an epoch, the median of each run."""
        return [
            median(each["seconds"] for each in run.report["epochs"] if each["phase"] == phase)
            for run in self.runs
            if any(each["phase"] == phase for each in run.report["epochs"])
        ]

    def mean(self, key: str) -> float | None:
        """Return the mean of a figure over the epochs of training, in the last run; None where it is not known."""
        figures = [each[key] for each in self.runs[-1].report["epochs"] if each["phase"] == "train"]
        return None if None in figures else sum(figures) / max(len(figures), 1)

    @property
    def accuracies(self) -> list[float]:
        """The accuracy that each run ends with."""
        return [run.report["epochs"][-1]["test_accuracy"] for run in self.runs]

    def largest(self, key: str) -> float | None:
        """Return the largest of a figure of the runs; None where there is none."""
        figures = [run.report[key] for run in self.runs if run.report.get(key) is not None]
        return max(figures, default=None)


def race(
    contestants: Sequence[Contestant], arrays: Arrays, settings: Mapping[str, Any], *, rounds: int, threads: int
) -> dict[str, list[Finished]]:
    """Let every contestant run once per round, each round beginning with another one."""
    runs: dict[str, list[Finished]] = {each.name: [] for each in contestants}
    for index in range(rounds):
        first = index % len(contestants)
        for each in [*contestants[first:], *contestants[:first]]:
            given = {**settings, **each.settings}
            done = run_contestant(each.python, each.module, arrays, given, threads=each.threads or threads)
            runs[each.name].append(done)
            print(f"round {index + 1}/{rounds}: {each.name}: {done.seconds:.1f} s", file=sys.stderr, flush=True)
    return runs


def laps_table(laps: Sequence[Laps], *, tolerance: float | None, phases: Mapping[str, str]) -> str:
    """Return a Markdown table of all contestants; `phases` maps phases to the titles of their columns."""
    titles = ["whole run s (min–max)", *phases.values(), "first batch s", "compiling s"]
    titles += ["forward nfe (+ jvp)", "backward vjp", "accuracy", "peak RSS MB"]
    if tolerance is not None:
        titles.append("residual: median, largest")
    lines = ["| contestant | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for lap in laps:
        cells = [_spread(lap.wholes)]
        cells += [_spread(lap.epochs(phase)) for phase in phases]
        cells += [_figure(lap.largest("first_batch_seconds")), _figure(lap.largest("compile_seconds"))]
        jvp = lap.mean("njvp")
        cells += [_figure(lap.mean("nfe"), ".1f") + (f" + {jvp:.1f}" if jvp else ""), _figure(lap.mean("vjp"), ".1f")]
        cells += [f"{median(lap.accuracies):.3f}", _figure(lap.largest("peak_rss_mb"), ".0f")]
        if tolerance is not None:
            cells.append(_residual(lap.residuals, tolerance))
        lines.append(f"| {lap.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios_table(laps: Sequence[Laps], *, phase: str) -> str:
    """Return the medians of the ratios ours / theirs, round by round: of an epoch, and of the whole run."""
    peers = [lap for lap in laps if not lap.ours]
    lines = ["| epoch, whole run: ours / theirs | " + " | ".join(lap.name for lap in peers) + " |"]
    lines.append("|---|" + "---|" * len(peers))
    for lap in laps:
        if lap.ours:
            cells = []
            for peer in peers:
                both = (lap.epochs(phase), peer.epochs(phase)), (lap.wholes, peer.wholes)
                cells.append(", ".join(f"{_paired(*pair):.2f}" for pair in both))
            lines.append(f"| {lap.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def record(laps: Sequence[Laps]) -> list[dict[str, Any]]:
    """Return all there is about the contestants, as plain values."""
    return [
        {
            "name": lap.name,
            "ours": lap.ours,
            "runs": [{"seconds": run.seconds, **run.report} for run in lap.runs],
            "residuals": None if lap.residuals is None else lap.residuals.tolist(),
        }
        for lap in laps
    ]


def conditions(threads: int, rounds: int) -> str:
    """Return one line about what the times depend on."""
    load = f", load average {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return (
        f"{platform.machine()}, Python {platform.python_version()}, {threads} threads each, {rounds} rounds in turn, "
        f"medians{load}; {kernels()}"
    )


def versions(laps: Sequence[Laps]) -> str:
    """Return the libraries of all contestants."""
    found: dict[str, str] = {}
    for lap in laps:
        found |= lap.runs[-1].report["versions"]
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return median(a / b for a, b in zip(ours, theirs, strict=True)) if ours else float("nan")


def _spread(times: Sequence[float]) -> str:
    return f"{median(times):.2f} ({min(times):.2f}–{max(times):.2f})" if times else "–"


def _figure(value: float | None, spec: str = ".2f") -> str:
    return "–" if value is None else format(value, spec)


def _residual(residuals: np.ndarray | None, tolerance: float) -> str:
    if residuals is None:
        return "–"
    missed = float(np.mean(residuals > 1.05 * tolerance))
    return f"{np.median(residuals):.0e}, {residuals.max():.0e}" + (f" ({100 * missed:.0f} % missed)" if missed else "")
