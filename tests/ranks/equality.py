"""Equality of runs by one to four ranks: `python -m tests.ranks.equality --save` writes results/rank_equality.md.

Every solver trains a small equilibrium, whose gradient travels in several buckets of a few leaves. The network of the
tutorial is trained for a few batches; in float64 its gradient of 1.4 MB is two buckets of 1 MiB, and its solves have
rtol=1e-12. A difference is that of parameters after the run, or of gradients: the largest of any array, relative to the
array's largest element. Gradients are also told relative to the largest of their layer: that of a bias before a
normalization is what is left where the terms of the weight's cancel, so it is small, and its rounding is not.
"""

from __future__ import annotations

import argparse
import json
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
from tests.ranks.gradients import DTYPES
from tests.ranks.launching import MPIEXEC

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "rank_equality.md"
MOST, AGAIN = 4, 5
"""Five ranks stand for four again."""

TITLES = {
    "small": "The small equilibrium, 4 updates, batches of 16 samples and the last of 2",
    "tutorial": "The tutorial's network, 3 updates of pretraining and 3 through the equilibrium",
    "gradients": "Gradients of batches of 11 and 2 samples for the small equilibrium, of 32 and 2 for the tutorial's",
    "whole": "The tutorial's whole run by newton-gmres, as `equilib run mnist --recipe tutorial` has it",
    "resumed": "The tutorial, begun by four ranks, gone on with by two, then by one, beside four to the end",
}
KINDS: dict[str, dict[tuple[str, int], tuple[int, ...]]] = {
    "small": {("float64", 0): (2, 3, 4, AGAIN), ("float32", MOST): (2, 4, AGAIN)},
    "tutorial": dict.fromkeys((("float64", 0), ("float32", 0), ("float32", MOST)), (2, 3, 4, AGAIN)),
}
"""For each model the numbers of ranks that are compared with one process, by dtype and number of shares."""

MAIN = ("newton-gmres", "anderson", "lbroyden", "vcab3")
TUTORIAL = ("mnist", "--recipe", "tutorial", "--limit", "100", "--quiet")
WHOLE = ("mnist", "--recipe", "tutorial", "--quiet")
WHOLE_KINDS = (("float32", MOST), ("float64", 0), ("float32", 0))
OF_GRADIENTS = {"small": (*MAIN, "picard"), "tutorial": MAIN}
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


def layers(gradients: Found) -> Found:
    """Return the arrays of each layer as one."""
    names: dict[str, list[str]] = {}
    for name in gradients:
        names.setdefault(name.rpartition("/")[0], []).append(name)
    return {layer: np.concatenate([gradients[name].ravel() for name in own]) for layer, own in names.items()}


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


def of_gradients(folder: Path) -> Iterator[str]:
    """Yield the table of gradients: how far those that ranks share are from one process's."""
    titles = [f"{dtype}, 2, 3, 4 ranks, by {part}" for dtype in DTYPES for part in ("layer", "array")]
    yield from (f"| | | {' | '.join(titles)} |", "|---" * (2 + len(titles)) + "|")
    for model, solvers in OF_GRADIENTS.items():
        files = [folder / f"gradients-{model}-{ranks}.npz" for ranks in range(1, MOST + 1)]
        for ranks, name in enumerate(files, start=1):
            python(ranks, "-m", "tests.ranks.gradients", name, model, *solvers)
        for solver in solvers:
            cells = []
            for dtype in DTYPES:
                alone, *others = (arrays(name, f"{dtype}:{solver}") for name in files)
                cells.append(", ".join(told(layers(each), layers(alone)) for each in others))
                cells.append(", ".join(told(each, alone) for each in others))
            yield f"| {model} | {solver} | {' | '.join(cells)} |"


def of_whole_runs(folder: Path) -> Iterator[str]:
    """Yield a row for each dtype and number of shares: the tutorial from the beginning to the end, by 1, 2, 4 ranks."""
    yield "| | updates | 2, 4 ranks beside 1 | loss of the last epoch, 1, 2, 4 ranks | test accuracy |"
    yield "|---" * 5 + "|"
    for dtype, shares in WHOLE_KINDS:
        method = ("--dtype", dtype, *(("--shares", shares) if shares else ()))
        outs = [folder / f"whole-{dtype}-{shares}-{ranks}" for ranks in (1, 2, MOST)]
        found = [run(out, n, "run", *WHOLE, *method, "--out", out) for n, out in zip((1, 2, MOST), outs, strict=True)]
        last = [json.loads((out / "metrics.jsonl").read_text().splitlines()[-1]) for out in outs]
        names = f"{dtype}{f', --shares {shares}' if shares else ''}"
        apart = ", ".join(told(each, found[0]) for each in found[1:])
        losses = ", ".join(f"{each['loss']:.6g}" for each in last)
        accuracies = ", ".join(f"{each['test_accuracy']:.1%}" for each in last)
        yield f"| {names} | {last[0]['step']} | {apart} | {losses} | {accuracies} |"


def of_resumption(folder: Path) -> Iterator[str]:
    """Yield a row for each dtype and number of shares: four ranks, then two, then one, beside four all the time."""
    yield from ("| | shares | difference |", "|---|---|---|")
    for dtype, shares in (*KINDS["tutorial"], ("float64", MOST)):
        method = ("--dtype", dtype, *TIGHT[dtype], *(("--shares", shares) if shares else ()))
        first = ("run", *TUTORIAL, *method, "--pretrain-epochs", 1)  # whose learning rate does not hang on the epochs
        out, whole = folder / f"{dtype}-{shares}", folder / f"{dtype}-{shares}-whole"
        expected = run(whole, MOST, *first, "--epochs", 2, "--out", whole)
        run(out, MOST, *first, "--epochs", 0, "--out", out)
        run(out, 2, "resume", out, "--epochs", 1, "--quiet")
        found = run(out, 1, "resume", out, "--epochs", 2, "--quiet")
        yield f"| {dtype} | {shares or '-'} | {told(found, expected)} |"


def table(part: str, folder: Path) -> Iterator[str]:
    """Yield the table of a part of the page."""
    if part == "small":
        known = [each.entry for each in Registry.discover().provided(SolverEntry)]
        yield from of_solvers(folder, part, [each.name for each in known if not each.unavailable])
    elif part == "tutorial":
        yield from of_solvers(folder, part, list(MAIN))
    else:
        yield from {"gradients": of_gradients, "whole": of_whole_runs, "resumed": of_resumption}[part](folder)


def save(tables: Mapping[str, list[str]]) -> None:
    """Write the page with these tables, and those it had of other parts."""
    lines = ["# Runs by one to four ranks", "", (__doc__ or "").partition("\n\n")[2].strip(), ""]
    before = RESULT.read_text(encoding="utf-8").split("\n## ") if RESULT.exists() else []
    known = {title: rest.strip().splitlines() for title, _, rest in (each.partition("\n") for each in before[1:])}
    for part, title in TITLES.items():
        rows = tables.get(part) or known.get(title)
        if rows:
            lines += [f"## {title}", "", *rows, ""]
    RESULT.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")


def main() -> None:
    """Train, compare, and print or save the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="write the page")
    parser.add_argument("--part", action="append", choices=TITLES, help="measure this part only, by default all")
    given = parser.parse_args()
    tables: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        for part in given.part or TITLES:
            print(f"## {TITLES[part]}\n", flush=True)
            tables[part] = []
            for line in table(part, Path(name)):
                print(line, flush=True)
                tables[part].append(line)
    if given.save:
        save(tables)


if __name__ == "__main__":
    main()
