"""Signals at random moments over every command that works on runs: `python -m tests.kills --number 200`.

SIGKILL, SIGTERM and SIGINT take turns. What was killed is resumed, and killed again, until it has ended; then its
metrics and its parameters are those of a run that nobody touched, bit for bit. A command that only reads a run leaves
it as it was, and none leaves half a file. The table says how often each signal met each command, and what was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from equilib.errors import UserError
from equilib.runs.folder import locked
from tests.digits import write_digits
from tests.programs import command, environment

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
COMMANDS = ("run", "resume", "evaluate", "report", "compare")
# A checkpoint every 0.12 seconds, so that many are written in the middle of an epoch.
OFTEN = ("--device=cpu", "--checkpoint-minutes=0.002")
PLAN = ("--limit=100", "--epochs=2", "--batch-size=8", *OFTEN)
EXPERIMENTS = {
    "mnist": (*PLAN, "--pretrain-epochs=1"),
    "bratu": ("--points=8", "--strengths=32", "--epochs=6", *OFTEN),
    "characters": ("--length=8", "--features=8", "--heads=2", "--limit=2000", "--epochs=2", *OFTEN),
    "digits-graph": ("--width=8", "--epochs=4", *OFTEN),
    "lasso": ("--epochs=2", *OFTEN),
    "table": ("--epochs=6", *OFTEN),
}
"""What is run, killed and resumed; the other commands are about the first."""

# The order of sums, and with it the last bits, depends on the number of threads.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
SOLVERS = ("picard", "anderson")
START = 0.05  # seconds in which the interpreter itself begins, whose tracebacks are its own


@dataclass
class Kills:
    """A folder with data and what runs end with that nobody touched, and the count of what happened."""

    folder: Path
    random: random.Random
    done: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # command, signal, what came of it
    wrong: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # that a command takes

    def __post_init__(self) -> None:
        self.data = write_digits(self.folder / "digits")
        for experiment in reversed(EXPERIMENTS):
            self.call(("run", experiment, *self.plan(experiment), f"--out=whole-{experiment}"), f"run {experiment}")
        (self.folder / "whole-mnist").rename(self.folder / "whole")
        self.call(("resume", "whole", "--epochs", "2"), "resume", expected=2)  # there is nothing to do
        self.call(("evaluate", "whole"), "evaluate")
        self.call(("report", "whole", "--out", "page"), "report")
        self.call(("compare", "mnist", "--solvers", ",".join(SOLVERS), *self._to("compared")), "compare")

    def plan(self, experiment: str) -> tuple[str, ...]:
        """Return what a run is asked for, but for its place."""
        return (*EXPERIMENTS[experiment], *(("--data-dir", str(self.data)) if experiment == "mnist" else ()))

    def _to(self, out: str) -> tuple[str, ...]:
        return (*self.plan("mnist"), "--out", out)

    def start(self, argv: tuple[str, ...]) -> subprocess.Popen[str]:
        """Begin a command, in a session of its own as a terminal's."""
        return subprocess.Popen(
            command(*argv),
            cwd=self.folder,
            env=environment(**ONE_THREAD),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, argv: tuple[str, ...], name: str, *, expected: int = 0) -> None:
        """Carry a command out to its end, and note how long it took."""
        begun = time.monotonic()
        with self.start(argv) as process:
            _, errors = process.communicate()
        self.seconds[name] = time.monotonic() - begun
        if process.returncode != expected:
            raise SystemExit(f"equilib {' '.join(argv)} ended with {process.returncode}: {errors}")

    def kill(self, argv: tuple[str, ...], number: signal.Signals, name: str = "") -> bool:
        """Send a command a signal at a random moment; tell whether it was still there, and look at how it ended.

        The moment lies within the time that the command, or what has a `name` of its own, takes.
        """
        begun, name = time.monotonic(), name or argv[0]
        with self.start(argv) as process:
            try:
                _, errors = process.communicate(timeout=self.random.uniform(START, self.seconds[name]))
            except subprocess.TimeoutExpired:
                # A terminal's Ctrl-C reaches all processes, the others only the one.
                os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
                _, errors = process.communicate()
        lines = [line for line in errors.splitlines() if line and not line.startswith("[")]
        allowed = {0, -number, 128 + number}
        quiet = not any("Traceback" in line or "Exception" in line for line in lines)
        if process.returncode == 0:  # it was faster than thought
            self.seconds[name] = time.monotonic() - begun
        if process.returncode not in allowed or not quiet:
            self.complain(argv, number, f"status {process.returncode}: {errors[-500:]}")
        return process.returncode != 0

    def complain(self, argv: tuple[str, ...], number: signal.Signals, what: str) -> None:
        """Note what was wrong."""
        self.done[argv[0], number.name, "wrong"] += 1
        self.wrong.append(f"{number.name} of equilib {' '.join(argv)}: {what}")

    def count(self, argv: tuple[str, ...], number: signal.Signals, *, killed: bool) -> bool:
        """Note a signal, and whether it met its command, which is returned."""
        self.done[argv[0], number.name, "killed" if killed else "had ended"] += 1
        return killed


def numbers() -> Iterator[signal.Signals]:
    """Yield the signals in turn."""
    while True:
        yield from SIGNALS


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ended(run: Path) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Return what no clock decides of a run: metrics and parameters."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    with np.load(run / "model.npz", allow_pickle=False) as model:
        arrays = {name: model[name].tobytes() for name in model}
    return [{name: value for name, value in each.items() if not name.endswith("seconds")} for each in lines], arrays


def status(run: Path) -> str:
    """Return how a run stands; "" before it has begun."""
    record = run / "run.json"
    return str(json.loads(record.read_text(encoding="utf-8"))["status"]) if record.exists() else ""


def until_ended(kills: Kills, run: str, experiment: str, turns: Iterator[signal.Signals], limit: int) -> int:
    """Kill a run and its resumptions at most so many times, end it, and compare it; return how often it was killed."""
    count, place = 0, kills.folder / run
    whole = kills.folder / ("whole" if experiment == "mnist" else f"whole-{experiment}")
    while status(place) != "finished":
        begin = ("run", experiment, *kills.plan(experiment), "--out", run, "--overwrite")
        argv = ("resume", run) if status(place) else begin
        if count < limit:
            number = next(turns)
            count += kills.count(argv, number, killed=kills.kill(argv, number, f"run {experiment}"))
            continue
        with kills.start(argv) as process:
            _, errors = process.communicate()
        if process.returncode:
            kills.complain(argv, SIGNALS[0], f"it does not go on: {errors[-500:]}")
            return count
    if ended(place) != ended(whole) or list(place.rglob("*.part")):
        kills.complain(("resume", run), SIGNALS[0], "it did not end as a run that nobody touched")
    return count


def read_only(kills: Kills, argv: tuple[str, ...], number: signal.Signals) -> bool:
    """Kill a command that reads a run, which is as it was afterwards; what it wrote is whole."""
    run = kills.folder / "whole"
    before = contents(run)
    killed = kills.count(argv, number, killed=kills.kill(argv, number))
    if contents(run) != before:
        kills.complain(argv, number, "the run is not as it was")
    for path in (kills.folder / "page").iterdir():
        content = path.read_bytes()
        whole = {".html": b"</html>", ".png": b"IEND"}.get(path.suffix)
        if whole and whole not in content[-20:]:
            kills.complain(argv, number, f"{path.name} is cut off")
    return killed


def comparison(kills: Kills, place: int, number: signal.Signals) -> bool:
    """Kill a comparison; its runs that have begun go on to the end that they have in one that nobody touched."""
    out = f"compared-{place}"
    argv = ("compare", "mnist", "--solvers", ",".join(SOLVERS), *kills._to(out))
    killed = kills.count(argv, number, killed=kills.kill(argv, number))
    results = kills.folder / out / "compare.json"
    if results.exists():
        json.loads(results.read_text(encoding="utf-8"))
    for solver in SOLVERS:
        run = kills.folder / out / solver
        if not status(run):
            continue
        wait_until_free(run)
        if status(run) != "finished":
            with kills.start(("resume", f"{out}/{solver}")) as process:
                _, errors = process.communicate()
            if process.returncode:
                kills.complain(argv, number, f"{solver} does not go on: {errors[-500:]}")
                continue
        if ended(run) != ended(kills.folder / "compared" / solver):
            kills.complain(argv, number, f"{solver} did not end as in a comparison that nobody touched")
    return killed


def wait_until_free(run: Path) -> None:
    """Wait for the run of a comparison that was killed: it is a process of its own and lives on."""
    while True:
        try:
            with locked(run):
                return
        except UserError:
            time.sleep(0.1)


def table(kills: Kills) -> str:
    """Return how often each signal met each command, had come too late, and what was wrong."""
    kinds = ("killed", "had ended", "wrong")
    lines = ["| command | signal | killed | had ended | wrong |", "|---|---|---|---|---|"]
    for name in COMMANDS:
        for number in SIGNALS:
            found = [kills.done[name, number.name, kind] for kind in kinds]
            lines.append(f"| {name} | {number.name} | {' | '.join(map(str, found))} |")
    return "\n".join(lines)


def main() -> int:
    """Kill so many commands, print the table, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=200, help="how many signals to send")
    parser.add_argument("--seed", type=int, default=0, help="what draws the moments")
    given = parser.parse_args()
    turns, left = numbers(), given.number
    with tempfile.TemporaryDirectory() as folder:
        kills = Kills(Path(folder), random.Random(given.seed))
        place = 0
        while left > 0:
            experiment = list(EXPERIMENTS)[place % len(EXPERIMENTS)]
            left -= until_ended(kills, f"killed-{place}", experiment, turns, min(left, 12))
            for argv in 4 * (("evaluate", "whole"), ("report", "whole", "--out", "page")):
                left -= left > 0 and read_only(kills, argv, next(turns))
            for again in range(3):
                left -= left > 0 and comparison(kills, 3 * place + again, next(turns))
            place += 1
            print(
                f"{given.number - left} of {given.number}, {len(kills.wrong)} wrong",
                file=sys.stderr,
                flush=True,
            )
    print(table(kills))
    print("\n".join(kills.wrong), file=sys.stderr)
    return int(bool(kills.wrong))


if __name__ == "__main__":
    sys.exit(main())
