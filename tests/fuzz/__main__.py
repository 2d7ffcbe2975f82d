"""Command of the fuzzer: `python -m tests.fuzz --seconds 60 --seed 1`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from equilib.runs.request import DATA_VARIABLE
from tests.fuzz.formats import FORMATS, Ground, cases, make
from tests.fuzz.judging import Outcome, typed


def main() -> int:
    """Try cases until the time is over; print the table, and each fault with the name of its case."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="try cases for so long")
    parser.add_argument("--cases", type=int, default=10**9, help="and so many at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", metavar="FORMAT:SEED:NUMBER", help="try one case again, and show what it does")
    parser.add_argument("--format", choices=tuple(FORMATS), help="try this format only")
    parser.add_argument("--process", type=int, default=0, metavar="N", help="try each N-th case in its own process")
    given = parser.parse_args()
    with working() as ground:
        if given.case:
            name, seed, number = given.case.rsplit(":", 2)
            case = make(ground, name, int(seed), int(number))
            outcome = typed(case, process=bool(given.process))
            print(case, outcome, sep="\n")
            return bool(outcome.faults)
        return fuzzed(ground, given)


def fuzzed(ground: Ground, given: argparse.Namespace) -> int:
    """Try cases and print what came of them; return whether there were faults."""
    statuses: defaultdict[str, Counter[int | None]] = defaultdict(Counter)
    faults: Counter[str] = Counter()
    malformed: Counter[str] = Counter()
    slowest: defaultdict[str, float] = defaultdict(float)
    end, count = monotonic() + given.seconds, 0
    for name, number in cases(given.seed):
        if monotonic() > end or count >= given.cases:
            break
        if given.format not in (None, name):
            continue
        count += 1
        process = given.process and count % given.process == 0
        outcome, wrong = attempt(ground, name, given.seed, number, process=process)
        statuses[name][outcome.status] += 1
        malformed[name] += wrong
        slowest[name] = max(slowest[name], outcome.seconds)
        if outcome.faults:
            faults[name] += 1
            print(
                f"{name}:{given.seed}:{number}: {'; '.join(outcome.faults)}\n    {outcome.err.strip()[-600:]!r}",
                flush=True,
            )
    print("\n".join(table(statuses, malformed, slowest, faults)))
    return bool(faults.total())


def attempt(ground: Ground, name: str, seed: int, number: int, *, process: bool = False) -> tuple[Outcome, bool]:
    """Try one case; return what came of it, and whether it was wrong beyond doubt."""
    case = make(ground, name, seed, number)
    return typed(case, process=process and not case.call and _can_be_given(case.argv)), case.malformed


def _can_be_given(argv: Sequence[str]) -> bool:
    """Tell whether a program can be given these words: no NUL, and no half of a character that was no byte."""
    try:
        return b"\0" not in b"".join(map(os.fsencode, argv))
    except UnicodeEncodeError:
        return False


def table(
    statuses: dict[str, Counter[int | None]], malformed: Counter[str], slowest: dict[str, float], faults: Counter[str]
) -> Iterator[str]:
    """Yield the lines of a table by format."""
    yield "| format | cases | wrong beyond doubt | exit 0 | 1 | 2 | other | slowest | faults |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in [each for each in FORMATS if each in statuses]:
        seen = statuses[name]
        rest = seen.total() - sum(seen[each] for each in (0, 1, 2))
        counts = f"{seen.total():,} | {malformed[name]:,} | {seen[0]:,} | {seen[1]:,} | {seen[2]:,} | {rest:,}"
        yield f"| {name} | {counts} | {slowest[name]:.1f} s | {faults[name]} |"
    every = sum(statuses.values(), Counter())
    rest = every.total() - sum(every[each] for each in (0, 1, 2))
    counts = f"{every.total():,} | {malformed.total():,} | {every[0]:,} | {every[1]:,} | {every[2]:,} | {rest:,}"
    yield f"| all | {counts} | {max(slowest.values(), default=0):.1f} s | {faults.total()} |"


@contextmanager
def working() -> Iterator[Ground]:
    """Work in a folder of its own, without the settings of the caller."""
    here, data = Path.cwd(), os.environ.pop(DATA_VARIABLE, None)
    compiled, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the time of a file is too coarse for it
    with tempfile.TemporaryDirectory(prefix="equilib-fuzz-") as folder:
        os.chdir(folder)
        try:
            ground = Ground(Path(folder))
            ground.prepare()
            yield ground
        finally:
            os.chdir(here)
            sys.dont_write_bytecode = compiled
            os.environ.update({} if data is None else {DATA_VARIABLE: data})


if __name__ == "__main__":
    sys.exit(main())
