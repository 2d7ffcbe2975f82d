"""What the user asked of a benchmark, and where its results go."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import OF_PEER, Environment, home_of_environments

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Request:
    """The options of a benchmark that can be run beside peers.

    Attributes
    ----------
    peers : tuple of str
        The other libraries to run beside us.
    quick : bool
        Whether to try the whole way on little work; the figures then mean nothing.
    rounds : int or None
        Alternations; None for the benchmark's own number.
    threads : int
        Threads and cores of every contestant.
    environments : Path
        Where the peers' environments are made.
    save : bool
        Whether to write the results into benchmarks/results.
    json : Path or None
        A further file for the figures.
    only : tuple of str
        The contestants to run, by name; all of them where it is empty.
    """

    peers: tuple[str, ...] = ()
    quick: bool = False
    rounds: int | None = None
    threads: int = 1
    environments: Path = field(default_factory=home_of_environments)
    save: bool = False
    json: Path | None = None
    only: tuple[str, ...] = ()

    def chosen(self, names: Collection[str]) -> list[str]:
        """Return the contestants that are to run.

        Raises
        ------
        SystemExit
            If one was asked for that there is not.
        """
        unknown = [name for name in self.only if name not in names]
        if unknown:
            raise SystemExit(f"there is no contestant {unknown[0]!r}; there are {', '.join(map(repr, names))}")
        return [name for name in names if not self.only or name in self.only]

    def python_of(self, peer: str) -> Path:
        """Return the interpreter of a peer's environment, made if need be."""
        return Environment(OF_PEER[peer], self.environments).make()

    def as_typed(self) -> str:
        """Return the options that change the figures, as they stand on a command line."""
        peers = f" --peers {','.join(self.peers)}" if self.peers else ""
        only = "".join(f' --only "{name}"' for name in self.only)
        return f"{peers}{only}{' --quick' if self.quick else ''}"

    def deliver(self, name: str, text: str, figures: Mapping[str, Any]) -> None:
        """Print a result, and write it where it was asked for."""
        print(text)
        places = [self.json] if self.json is not None else []
        if self.save:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
            places.append(RESULTS / f"{name}.json")
        for place in places:
            place.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def parse(name: str, argv: Sequence[str]) -> Request:
    """Return what the arguments after a benchmark's name ask for."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}")
    parser.add_argument(
        "--peers", default="", metavar="A,B", help=f"libraries to run beside us: {', '.join(OF_PEER)} (default: none)"
    )
    parser.add_argument("--quick", action="store_true", help="little work, to see that everything runs")
    parser.add_argument("--rounds", type=int, help="alternations of the contestants")
    parser.add_argument("--threads", type=int, default=_cores(), help="threads of each contestant (default: all cores)")
    parser.add_argument(
        "--env", type=Path, default=home_of_environments(), help="folder of the peers' environments (%(default)s)"
    )
    parser.add_argument("--save", action="store_true", help=f"write {name}.md and {name}.json into benchmarks/results")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="run this contestant of a race; may be repeated"
    )
    given = parser.parse_args(argv)
    peers = tuple(filter(None, given.peers.split(",")))
    for peer in peers:
        if peer not in OF_PEER:
            parser.error(f"there is no peer {peer!r}; there are {', '.join(OF_PEER)}")
    where = given.env.expanduser()
    return Request(peers, given.quick, given.rounds, given.threads, where, given.save, given.json, tuple(given.only))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
