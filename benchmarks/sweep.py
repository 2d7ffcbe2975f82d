"""What the benchmarks that try every solver share: their options, the solvers, and processes that share the work."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from threadpoolctl import threadpool_limits

from equilib import Solver
from equilib.plugin import SolverEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry

RESULTS = Path(__file__).parent / "results"

SEED = 11
"""Of what the committed tables were drawn with."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Sweep:
    """The options of such a benchmark.

    Attributes
    ----------
    quick : bool
        Whether to do a tenth of the work.
    save : bool
        Whether to write the table into benchmarks/results.
    workers : int
        Processes that share the work; the results do not depend on it.
    solvers, families : tuple of str
        Names of those to try; all of them where empty.
    seed : int
        Of what is drawn at random.
    rounds : int or None
        How often it is drawn, by default as often as the benchmark says.
    """

    quick: bool = False
    save: bool = False
    workers: int = 1
    solvers: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    seed: int = SEED
    rounds: int | None = None

    def map(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        """Do the work on every task, in processes where there are several; return the results in order."""
        if self.workers == 1:
            _alone()
            return [work(task) for task in tasks]
        # spawn: BLAS's threads do not survive a fork.
        with ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=_alone) as pool:
            return list(pool.map(work, tasks))

    def deliver(self, name: str, text: str) -> None:
        """Print a table, and write it where that was asked for."""
        print(text)
        if self.save:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")

    @property
    def as_typed(self) -> str:
        """The options that change the figures, as they stand on a command line."""
        chosen = [("--solver", self.solvers), ("--family", self.families)]
        seed = "" if self.seed == SEED else f" --seed {self.seed}"
        return (
            (" --quick" if self.quick else "")
            + seed
            + ("" if self.rounds is None else f" --rounds {self.rounds}")
            + "".join(f' {flag} "{each}"' for flag, names in chosen for each in names)
        )


def parse(name: str, argv: Sequence[str], *, seeded: bool = False) -> Sweep:
    """Return what the arguments after a benchmark's name ask for; `seeded` ones draw their problems."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}")
    parser.add_argument("--quick", action="store_true", help="do a tenth of the work")
    parser.add_argument("--save", action="store_true", help=f"write {name}.md into benchmarks/results")
    parser.add_argument("--workers", type=int, default=_cores(), help="processes (default: one for each core)")
    parser.add_argument("--solver", action="append", default=[], metavar="NAME", help="try this one; may be repeated")
    parser.add_argument("--family", action="append", default=[], metavar="NAME", help="try this one; may be repeated")
    if seeded:
        parser.add_argument("--rounds", type=int, help="draw so many problems of each family")
        parser.add_argument("--seed", type=int, default=SEED, help=f"draw other problems (default: {SEED})")
    given = parser.parse_args(argv)
    names = tuple(given.solver), tuple(given.family)
    drawn = (given.seed, given.rounds) if seeded else ()
    return Sweep(given.quick, given.save, given.workers, *names, *drawn)


def chosen_names(wanted: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return the wanted ones of the names, all of them where none is wanted.

    Raises
    ------
    SystemExit
        If there is none of that name.
    """
    wanted = tuple(wanted)
    for each in wanted:
        if each not in names:
            raise SystemExit(f"there is no {each!r}; there are {', '.join(names)}")
    return [name for name in names if not wanted or name in wanted]


def installed_solvers(wanted: Iterable[str] = ()) -> dict[str, Solver]:
    """Return every solver that is installed and can be used here, by name, with its default options."""
    registry = Registry.discover()
    names = [each.entry.name for each in registry.provided(SolverEntry) if not each.entry.unavailable]
    return {name: build_named(registry, SolverEntry, name).part for name in chosen_names(wanted, names)}


def _alone() -> None:
    """Leave the other cores to the other processes, and say nothing of what libraries warn of far from a solution."""
    threadpool_limits(1)
    warnings.simplefilter("ignore")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
