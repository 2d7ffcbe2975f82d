"""Every byte of the files of a small run, changed one at a time: what reads them refuses, or returns what is right.

`python -m tests.fuzz.positions` tries all of them, `--every 50` each fiftieth.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import equilib
from equilib.errors import RunError, UserError
from equilib.runs.checkpoint_file import read_checkpoint
from equilib.runs.record import RecordedRun
from tests.fuzz.__main__ import working
from tests.fuzz.formats import Case, Ground
from tests.fuzz.judging import typed

CHANGES: dict[str, Callable[[int], bytes]] = {
    "lowest bit": lambda byte: bytes([byte ^ 1]),
    "case": lambda byte: bytes([byte ^ 0x20]),
    "highest bit": lambda byte: bytes([byte ^ 0x80]),
    "deleted": lambda byte: b"",
    "NUL": lambda byte: b"\0",
    "end of line": lambda byte: b"\n",
    "quote before": lambda byte: b'"' + bytes([byte]),
    "nine before": lambda byte: b"9" + bytes([byte]),
    "brace before": lambda byte: b"}" + bytes([byte]),
}
"""What becomes of the byte at a position."""

SELDOM = 40
"""The commands that read a run take turns on each so many-th change; one in 3,000 is a report."""

X = np.ones((2, 1), np.float32)


@dataclass(frozen=True)
class Sound:
    """What is right: the files of a run, what they hold, and what its model predicts."""

    run: Path
    facts: dict[str, Any]
    epochs: list[dict[str, Any]]
    prediction: np.ndarray
    checkpoint: dict[str, np.ndarray]

    @classmethod
    def of(cls, run: Path) -> Sound:
        """Read them, with `run.json` in as few bytes as hold it."""
        record = run / "run.json"
        record.write_bytes(json.dumps(json.loads(record.read_bytes()), separators=(",", ":")).encode())
        read = RecordedRun.read(run)
        return cls(run, read.facts, read.epochs, equilib.load_run(run).predict(X), read_checkpoint(last(run)).arrays)


def last(run: Path) -> Path:
    """Return the last checkpoint of a run."""
    return max((run / "checkpoints").iterdir())


def changed(whole: bytes, every: int) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes with each change at each position, or at each so many-th; and what was changed."""
    for number, (place, name) in enumerate((place, name) for place in range(len(whole)) for name in CHANGES):
        if number % every == 0:
            yield f"{place} {name}", whole[:place] + CHANGES[name](whole[place]) + whole[place + 1 :]


def of_record(sound: Sound, number: int) -> str:
    """Return what is wrong where a changed record is accepted: what decides the numbers is as it was, they are not."""
    read = RecordedRun.read(sound.run)
    read.request(), read.method()
    same = all(read.facts.get(name) == sound.facts.get(name) for name in ("format", "resolved", "method", "experiment"))
    if not same and number % 3:
        return ""
    found = equilib.load_run(sound.run).predict(X)
    return "" if not same or np.array_equal(found, sound.prediction) else "other predictions from the same record"


def of_metrics(sound: Sound, number: int) -> str:
    """Return what is wrong where metrics are read: no other line is another, and what cannot be read is told."""
    read = RecordedRun.read(sound.run)
    lines = (sound.run / "metrics.jsonl").read_bytes().split(b"\n")[:-1]
    if len(read.epochs) != len(lines):
        return f"{len(read.epochs)} epochs of {len(lines)} lines"
    others = [each for each in read.epochs if each not in sound.epochs]
    if len(others) > 2:
        return "several epochs are others"
    unread = sum(not each for each in read.epochs)
    return f"{unread} lines are left out, and {len(read.flaws)} told of" if unread > len(read.flaws) else ""


def of_model(sound: Sound, number: int) -> str:
    """Return what is wrong where a changed model is accepted: it predicts as it did."""
    found = equilib.load_run(sound.run).predict(X)
    return "" if np.array_equal(found, sound.prediction) else "other predictions"


def of_checkpoint(sound: Sound, number: int) -> str:
    """Return what is wrong where a changed checkpoint is accepted: it holds what it held."""
    found = read_checkpoint(last(sound.run)).arrays
    same = found.keys() == sound.checkpoint.keys() and all(
        found[name].tobytes() == each.tobytes() for name, each in sound.checkpoint.items()
    )
    return "" if same else "other arrays"


FILES: dict[str, tuple[Callable[[Path], Path], Callable[[Sound, int], str]]] = {
    "run.json": (lambda run: run / "run.json", of_record),
    "metrics.jsonl": (lambda run: run / "metrics.jsonl", of_metrics),
    "model.npz": (lambda run: run / "model.npz", of_model),
    "checkpoint": (last, of_checkpoint),
}


def judged(sound: Sound, number: int, judge: Callable[[Sound, int], str]) -> tuple[str, str]:
    """Return whether a changed file was "refused" or "read", and what is wrong with that."""
    try:
        return "read", judge(sound, number)
    except (UserError, RunError) as error:
        return "refused", "" if len(str(error)) < 2000 else "the sentence is long"
    except Exception as error:  # which is what is looked for
        return "read", f"{type(error).__name__}: {error}"


def command(ground: Ground, run: Path, number: int) -> Case:
    """Return one of the commands that read a run; a resumption works on a copy."""
    turn = number // SELDOM
    if turn % 75 == 7:
        return Case(argv=("report", str(run), "--limit", "0", "--out", str(ground.root / "page")))
    reading = (("evaluate", str(run)), ("predict", str(run), str(ground.root / "x.npy")), ("resume", str(run)))
    if turn % 4 < 3:
        return Case(argv=reading[turn % 4], folder=run)
    copy = ground.copy(run.name)
    return Case(argv=("resume", str(copy), "--epochs", "3", "--quiet"), folder=copy)


def tried(ground: Ground, sound: Sound, file: str, every: int) -> Iterator[tuple[str, str, str]]:
    """Yield of each change its name, what was done with it, and what is wrong with that, "" where nothing is."""
    where, judge = FILES[file]
    path = where(sound.run)
    whole = path.read_bytes()
    try:
        for number, (name, content) in enumerate(changed(whole, every)):
            path.write_bytes(content)
            done, wrong = judged(sound, number, judge)
            yield f"{file} {name}", done, wrong
            if number % SELDOM == 0:
                case = command(ground, sound.run, number)
                outcome = typed(case)
                yield f"{file} {name}: {case.argv[0]}", f"exit {outcome.status}", "; ".join(outcome.faults)
    finally:
        path.write_bytes(whole)


def main() -> int:
    """Try every change of every file and print how many were read, refused and wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.positions", description=main.__doc__)
    parser.add_argument("--every", type=int, default=1, help="try each so many-th change only")
    parser.add_argument("--file", choices=tuple(FILES), help="of this file only")
    given = parser.parse_args()
    wrong = 0
    with working() as ground:
        sound = Sound.of(ground.root / "line")
        for file in [given.file] if given.file else FILES:
            counts: Counter[str] = Counter()
            for name, done, flaw in tried(ground, sound, file, given.every):
                counts[done] += 1
                if flaw:
                    wrong += 1
                    print(f"{name}: {flaw}", flush=True)
            print(f"{file}: {', '.join(f'{count:,} {done}' for done, count in sorted(counts.items()))}", flush=True)
    print(f"{wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
