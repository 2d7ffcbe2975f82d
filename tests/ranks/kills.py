"""Kills of random ranks at random moments: `python -m tests.ranks.kills --number 30 --ranks 3`.

Each time a run is started, one of its ranks is killed, and the run is resumed; it must end within 30 s with one
sentence that names the rank, leave no file half written, and go on to the bits of a run that nobody touched.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.programs import EQUILIB, environment
from tests.ranks.launching import command
from tests.ranks.test_runs import content, ranks_of

RUN = ("run", "polynomial", "--epochs", "3", "--quiet")
ENVIRONMENT = environment(OPENBLAS_NUM_THREADS="1")


@dataclass(frozen=True)
class Kill:
    """What came of one kill: the moment, the rank, how long all took to end, and what was wrong."""

    after: float
    rank: int
    took: float
    wrong: tuple[str, ...]
    resumed: str


def start(ranks: int, *arguments: object) -> subprocess.Popen[str]:
    """Start `equilib` in so many processes."""
    program = command(ranks, "-c", EQUILIB, *arguments)
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def kill(ranks: int, run: Path, after: float, rank: int) -> tuple[float, str, bool]:
    """Start a run and kill one of its ranks; return how long it took to end, its errors, and whether it was killed."""
    launched = start(ranks, *RUN, "--out", run)
    time.sleep(after)
    try:
        processes = ranks_of(launched.pid)
        subprocess.run(["kill", f"-{signal.SIGKILL}", str(processes[rank])], check=True, stderr=subprocess.DEVNULL)
        killed = True
    except (subprocess.CalledProcessError, ValueError, IndexError):  # it has ended, or not begun
        killed = False
    begun = time.monotonic()
    _, errors = launched.communicate(timeout=120)
    return time.monotonic() - begun, errors, killed


def untouched(ranks: int, run: Path) -> tuple[float, float]:
    """Let a run end, and return the seconds after which its record was there, and after which it ended."""
    begun, launched = time.monotonic(), start(ranks, *RUN, "--out", run)
    while not (run / "run.json").exists():
        time.sleep(0.01)
    recorded = time.monotonic() - begun
    launched.communicate(timeout=300)
    return recorded, time.monotonic() - begun


def trial(ranks: int, run: Path, expected: tuple[bytes, list[dict[str, object]]], after: float) -> Kill:
    """Kill once and resume."""
    rank = random.randrange(ranks)
    shutil.rmtree(run, ignore_errors=True)
    took, errors, killed = kill(ranks, run, after, rank)
    wrong = []
    if took > 30:
        wrong.append("it took more than 30 s")
    watched = "Ranks" in errors or "error:" in errors
    if killed and watched and f"rank {rank} of {ranks}" not in errors:
        wrong.append(f"rank {rank} is not named: {errors[:200]!r}")
    parts = [path.name for path in run.rglob("*.part")] if run.exists() else []
    status = json.loads((run / "run.json").read_text())["status"] if (run / "run.json").exists() else "not begun"
    if status == "finished":
        how = "finished"
    elif status == "not begun":
        how = "not begun"
    else:
        _, errors = start(ranks, "resume", run, "--quiet").communicate(timeout=120)
        how = "resumed"
        parts = [path.name for path in run.rglob("*.part")]
        if not (run / "model.npz").exists() or content(run) != expected:
            wrong.append(f"it does not end as it would have ({errors[:200]!r})")
    if parts and how == "resumed":
        wrong.append(f"half written: {parts}")
    return Kill(after, rank, took, tuple(wrong), how)


def main() -> None:
    """Kill as often as was asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=30)
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random.seed(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorded, ended = untouched(given.ranks, folder / "untouched")
        expected, kills = content(folder / "untouched"), []
        print("| killed after, s | rank | all ended after, s | then | wrong |\n|---|---|---|---|---|", flush=True)
        for _ in range(given.number):
            after = random.uniform(0.8 * recorded, ended)  # seldom before there is anything to lose
            each = trial(given.ranks, folder / "run", expected, after)
            kills.append(each)
            wrong = "; ".join(each.wrong) or "-"
            print(f"| {each.after:.2f} | {each.rank} | {each.took:.2f} | {each.resumed} | {wrong} |", flush=True)
    counts = Counter(each.resumed for each in kills)
    print(f"\n{len(kills)} kills: {dict(counts)}, longest end {max(each.took for each in kills):.2f} s")
    sys.exit(any(each.wrong for each in kills))


if __name__ == "__main__":
    main()
