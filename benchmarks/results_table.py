"""The tables of the page of results, from what is known about runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import mean
from typing import Any

from benchmarks.results_race import race
from benchmarks.results_rows import ROWS, Row

Run = dict[str, Any]
NOTHING = "–"
SCORES = {"accuracy": (".1f", 100.0), "bits": (".2f", 1.0)}
"""How scores are shown, and the factor for it; others with two digits."""


def tables(runs: Sequence[Run]) -> str:
    """Return a heading and a table for each section that has runs, and where they ran."""
    known = {row: [run for run in runs if run["command"] == row.command] for row in ROWS}
    sections = dict.fromkeys(row.section for row in ROWS if known[row])
    parts = [
        _section(name, {row: runs for row, runs in known.items() if row.section == name and runs}) for name in sections
    ]
    if not parts:
        return "Nothing has been run yet."
    return "\n\n".join([*parts, _conditions([run for each in known.values() for run in each])])


def _section(name: str, rows: dict[Row, list[Run]]) -> str:
    score = next((run["score_name"] for runs in rows.values() for run in runs if run["score_name"]), "score")
    titles = [
        "command",
        "solver",
        "test accuracy, %" if score == "accuracy" else f"test {score.replace('_', ' ')}",
        "f per batch (+ J·v)",
        "Jᵀ·w per batch",
        "residual",
        "unconverged, %",
        "training, s",
        "memory, MB",
        "seeds",
    ]
    lines = [f"### {name}", "", "| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    lines += ["| " + " | ".join(_cells(row, runs, score)) + " |" for row, runs in rows.items()]
    notes = [note for row, runs in rows.items() for note in _notes(row, runs)]
    compared = race([run for runs in rows.values() for run in runs])
    parts = [lines, *(part for part in (notes, compared) if part)]
    return "\n\n".join("\n".join(part) for part in parts)


def _cells(row: Row, runs: list[Run], score: str) -> list[str]:
    done = [run for run in runs if run["status"] == "finished"]

    def figure(name: str, form: str, scale: float = 1.0) -> str:
        return spread([scale * run[name] for run in done if run[name] is not None], lambda value: format(value, form))

    work, products = figure("forward_nfe", ".1f"), [run["forward_njvp"] for run in done if run["forward_njvp"]]
    return [
        f"`{row.command}`",
        " ".join(sorted({run["solver"] for run in runs if run["solver"]})) or NOTHING,
        figure("score", *SCORES.get(score, (".2g", 1.0))),
        f"{work} + {figure('forward_njvp', '.1f')}" if products else work,
        figure("adjoint_nfe", ".1f"),
        figure("residual", ".0e"),
        figure("unconverged", ".1f", 100.0),
        figure("seconds", ".0f"),
        figure("peak_memory", ".0f", 1e-6),
        f"{len(done)}" if len(done) == len(runs) else f"{len(done)} of {len(runs)}",
    ]


def _notes(row: Row, runs: list[Run]) -> list[str]:
    """Return a line for each result that has no column, and for each run that did not finish."""
    extras = dict.fromkeys(name for run in runs for name in run["extra"])
    notes = [
        f"- `{row.command}`: {name}: {spread([run['extra'][name] for run in runs if name in run['extra']], _plain)}"
        for name in extras
    ]
    failed = [run for run in runs if run["status"] != "finished"]
    return notes + [f"- `{row.command} --seed {run['seed']}` {run['status']}: {run['error']}" for run in failed]


def spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    """Return the mean and, where they differ as shown, the least and the greatest value."""
    if not values:
        return NOTHING
    least, greatest = show(min(values)), show(max(values))
    return show(mean(values)) if least == greatest else f"{show(mean(values))} ({least} to {greatest})"


def _plain(value: float) -> str:
    return f"{value:.7g}"


def _conditions(runs: Sequence[Run]) -> str:
    """Return where the runs ran, one line for each such place."""

    def place(run: Run) -> str:
        libraries = [f"{name} {run['versions'][name]}" for name in ("numpy", "scipy") if name in run["versions"]]
        compiled = [f"kernels {name}" for name in run.get("kernels", ())]
        cores = f"{run['threads']} BLAS threads"
        return ", ".join([run["machine"], cores, f"Python {run['python']}", *libraries, *compiled])

    lines = []
    for each in dict.fromkeys(place(run) for run in runs):
        here = [run for run in runs if place(run) == each]
        days = sorted({run["started"][:10] for run in here})
        loads = [run["load"] for run in here if run["load"] is not None]
        lines.append(
            f"- {each}; {_range(days)}; load average before a run {spread(loads, lambda value: f'{value:.1f}')}; "
            f"commit {', '.join(_commits(here)) or NOTHING}"
        )
    return "\n".join(["### Where", "", *lines])


def _range(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _commits(runs: Iterable[Run]) -> list[str]:
    return sorted({run["commit"][:10] + (" with changes" if run.get("dirty") else "") for run in runs if run["commit"]})
