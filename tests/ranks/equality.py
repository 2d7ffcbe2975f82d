"""Equality of runs by one to four ranks: `python -m tests.ranks.equality --save` writes results/rank_equality.md.

Every solver trains a small equilibrium, whose gradient travels in several buckets of a few leaves. The network of the
tutorial is trained for a few batches; in float64 its gradient of 1.4 MB is two buckets of 1 MiB, and its solves have
rtol=1e-12. A difference is that of parameters after the run: the largest of any array, relative to the array's largest
element.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from equilib.plugin import SolverEntry
from equilib.plugin.registry import Registry
from tests.programs import EQUILIB
from tests.ranks.launching import MPIEXEC

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "rank_equality.md"
MOST, AGAIN = 4, 5
"""Five ranks stand for four again."""

PARTS = ("small", "tutorial", "resumed")
KINDS: dict[str, dict[tuple[str, int], tuple[int, ...]]] = {
    "small": {("float64", 0): (2, 3, 4, AGAIN), ("float32", MOST): (2, 4, AGAIN)},
    "tutorial": dict.fromkeys((("float64", 0), ("float32", 0), ("float32", MOST)), (2, 3, 4, AGAIN)),
}
"""For each model the numbers of ranks that are compared with one process, by dtype and number of shares."""

MAIN = ("newton-gmres", "anderson", "lbroyden", "vcab3")
TUTORIAL = ("mnist", "--recipe", "tutorial", "--limit", "100", "--quiet")
TIGHT = {"float64": ("-o", "rtol=1e-12", "-o", "atol=0", "-o", "max_steps=2000"), "float32": ()}

Found = Mapping[str, np.ndarray]


def python(ranks: int, *arguments: object) -> None:
    """Run Python with arguments in so many processes of one thread each, to its end."""
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run(
        [*launcher, sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise SystemExit(f"{ranks} ranks failed: {done.stderr}")


def arrays(path: Path, solver: str = "") -> Found:
    """Return the parameters in a file, those of a training with the solver if it is of several."""
    with np.load(path) as found:
        names = (name for name in found if name.startswith(f"{solver}:") or not solver)
        return {name: found[name] for name in names if ":metrics/" not in name}


def difference(found: Found, expected: Found) -> float:
    """Return the largest difference of any array, relative to its largest element."""
    pairs = [(found[name].astype(float), value.astype(float)) for name, value in expected.items()]
    return max(float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs)


def told(found: Found, expected: Found) -> str:
    """Return how far apart parameters are, for the table."""
    if all(found[name].tobytes() == value.tobytes() for name, value in expected.items()):
        return "same bits"
    return f"{difference(found, expected):.0e}"


def of_solvers(folder: Path, model: str, solvers: list[str]) -> Iterator[str]:
    """Yield the table of a model that is trained with each solver: how far numbers of ranks are from one process."""
    kinds, files = KINDS[model], {}
    for (dtype, shares), counts in kinds.items():
        for ranks in (1, *counts):
            files[dtype, shares, ranks] = name = folder / f"{model}-{dtype}-{shares}-{ranks}.npz"
            python(min(ranks, MOST), "-m", "tests.ranks.program", name, model, dtype, shares, *solvers)
    titles = [
        f"{dtype}{f', --shares {shares}' if shares else ''}, {', '.join(map(str, counts[:-1]))} ranks | {MOST} again"
        for (dtype, shares), counts in kinds.items()
    ]
    yield from (f"| | {' | '.join(titles)} |", "|---" * (1 + 2 * len(titles)) + "|")
    for solver in solvers:
        cells = []
        for kind, counts in kinds.items():
            alone, *others = (arrays(files[*kind, ranks], solver) for ranks in (1, *counts))
            cells.append(", ".join(told(each, alone) for each in others[:-1]))
            cells.append(told(others[-1], others[-2]))
        yield f"| {solver} | {' | '.join(cells)} |"


def run(folder: Path, ranks: int, *arguments: object) -> Found:
    """Return the parameters with which a run, or the rest of one, ends."""
    python(ranks, "-c", EQUILIB, *arguments)
    return arrays(folder / "model.npz")


def of_resumption(folder: Path) -> Iterator[str]:
    """Yield a row for each dtype and number of shares: four ranks, then two, then one, beside four all the time."""
    for dtype, shares in (*KINDS["tutorial"], ("float64", MOST)):
        method = ("--dtype", dtype, *TIGHT[dtype], *(("--shares", shares) if shares else ()))
        first = ("run", *TUTORIAL, *method, "--pretrain-epochs", 1)  # whose learning rate does not hang on the epochs
        out, whole = folder / f"{dtype}-{shares}", folder / f"{dtype}-{shares}-whole"
        expected = run(whole, MOST, *first, "--epochs", 2, "--out", whole)
        run(out, MOST, *first, "--epochs", 0, "--out", out)
        run(out, 2, "resume", out, "--epochs", 1, "--quiet")
        found = run(out, 1, "resume", out, "--epochs", 2, "--quiet")
        yield f"| {dtype} | {shares or '-'} | {told(found, expected)} |"


def page(folder: Path, parts: list[str]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield from ("# Runs by one to four ranks", "", __doc__.partition("\n\n")[2].strip(), "")
    if "small" in parts:
        known = [each.entry for each in Registry.discover().provided(SolverEntry)]
        yield from ("The small equilibrium, 4 updates, batches of 16 samples and the last of 2:", "")
        yield from (*of_solvers(folder, "small", [each.name for each in known if not each.unavailable]), "")
    if "tutorial" in parts:
        yield from ("The tutorial's network, 3 updates of pretraining and 3 through the equilibrium:", "")
        yield from (*of_solvers(folder, "tutorial", list(MAIN)), "")
    if "resumed" in parts:
        yield from ("The tutorial, begun by four ranks, gone on with by two, then by one, beside four to the end:", "")
        yield from ("| | shares | difference |", "|---|---|---|", *of_resumption(folder))


def main() -> None:
    """Train, compare, and print or save the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="write the page")
    parser.add_argument("--part", action="append", choices=PARTS)
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        for line in page(Path(name), given.part or list(PARTS)):
            print(line, flush=True)
            lines.append(line)
    if given.save:
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
