"""One training of `benchmarks.torch_mnist`, by either library."""

from __future__ import annotations

import ast
import inspect
import runpy
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.peers.exchange import hand_back, receive

PROGRAM = Path(__file__).parents[1] / "docs" / "examples" / "torch_mnist.py"


def by_equilib(cell: Any, solver: str, backward: str, tolerance: float, max_steps: int) -> Any:
    """Return the equilibrium of a cell by equilib."""
    from equilib.torch import DeepEquilibrium

    return DeepEquilibrium(cell, solver, adjoint=backward, rtol=tolerance, max_steps=max_steps)


def by_torchdeq(cell: Any, solver: str, backward: str, tolerance: float, max_steps: int) -> Any:
    """Return the equilibrium of a cell by torchdeq."""
    import torch
    from torch import nn
    from torchdeq import get_deq

    class Equilibrium(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell
            limits = {"max_iter": max_steps, "tol": tolerance, "stop_mode": "rel"}
            both = {f"{way}_{name}": value for way in "fb" for name, value in limits.items()}
            self.deq = get_deq(ift=True, f_solver=solver, b_solver=backward, **both)

        def forward(self, u: Any) -> Any:
            found, _ = self.deq(lambda z: self.cell(z, u), torch.zeros_like(u))
            return found[-1]

    return Equilibrium()


def main() -> None:
    """Train once, and return the accuracies."""
    folder, _, settings = receive()
    sys.path.append(settings["packages"])  # torch and torchdeq, where our environment has none
    import torch

    torch.set_num_threads(settings["threads"])
    program = runpy.run_path(str(PROGRAM))
    make = by_equilib if settings["library"] == "equilib" else by_torchdeq
    torch.manual_seed(settings["seed"])
    cell = program["Cell"]()
    how = (settings[name] for name in ("solver", "backward", "tolerance", "max_steps"))
    net = program["network"](make(cell, *how))
    seen: list[Any] = []
    net[4].register_forward_hook(lambda _, given, z: seen.__setitem__(slice(None), (given[0].detach(), z.detach())))
    torch.manual_seed(settings["seed"])
    start = perf_counter()
    accuracies = program["train"](net, settings["images"], settings["epochs"])
    steps = settings["epochs"] * -(-settings["images"] // program["BATCH"])
    u, z = seen
    with torch.no_grad():
        residual = (cell(z, u) - z).flatten(1).norm(dim=1) / z.flatten(1).norm(dim=1)
    own = _lines(inspect.getsource(make))
    report = {
        "accuracies": accuracies,
        "step_ms": 1e3 * (perf_counter() - start) / steps,
        "residual": float(residual.max()),
        "lines": (own, own + _lines(PROGRAM.read_text(encoding="utf-8"), without="main")),
        "versions": {name: version(name) for name in ("equilib", "torch", "torchdeq")},
    }
    hand_back(folder, {}, report)


def _lines(source: str, without: str = "") -> int:
    """Return the number of lines of code without docstrings, comments, blank lines, and a function."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if getattr(node, "name", "") != without or not without]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return len([line for line in ast.unparse(tree).splitlines() if line.strip()])


if __name__ == "__main__":
    main()
