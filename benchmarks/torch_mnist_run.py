"""One training of `benchmarks.torch_mnist`, by either library."""

from __future__ import annotations

import ast
import inspect
import runpy
import sys
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.peers.exchange import hand_back, receive

PROGRAM = Path(__file__).parents[1] / "docs" / "examples" / "torch_mnist.py"
FAR, DEPTH = 5.0, 200
"""Kernels so many times as large are far from the first ones, and iterations of them reach rounding."""


def by_equilib(cell: Any, solver: str, backward: str, tolerance: float, max_steps: int) -> Any:
    """Return the equilibrium of a cell by equilib."""
    from equilib.torch import DeepEquilibrium

    return DeepEquilibrium(cell, solver, adjoint=backward, rtol=tolerance, max_steps=max_steps)


def by_torchdeq(cell: Any, solver: str, backward: str, tolerance: float, max_steps: int) -> Any:
    """Return the equilibrium of a cell by torchdeq."""
    from torch import nn
    from torchdeq import get_deq

    class Equilibrium(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell
            self.deq = get_deq(
                ift=True,
                f_solver=solver,
                f_tol=tolerance,
                f_max_iter=max_steps,
                f_stop_mode="rel",
                b_solver=backward,
                b_tol=tolerance,
                b_max_iter=max_steps,
                b_stop_mode="rel",
            )

        def forward(self, u: Any, z0: Any) -> Any:
            return self.deq(lambda z: self.cell(z, u), z0)[0][-1]

    return Equilibrium()


def main() -> None:
    """Train once, and return the accuracies and how exact gradients can be."""
    folder, _, settings = receive()
    sys.path.append(settings["packages"])  # torch and torchdeq, where our environment has none
    import torch

    torch.set_num_threads(settings["threads"])
    program = runpy.run_path(str(PROGRAM))
    make = by_equilib if settings["library"] == "equilib" else by_torchdeq
    torch.manual_seed(settings["seed"])
    cell = program["Cell"]()
    ways = settings["solver"], settings["backward"]
    net = program["Network"](make(cell, *ways, settings["tolerance"], settings["max_steps"]))
    exact = make(cell, *ways, settings["exact"], settings["exact_steps"])
    x, y = program["digits"]()
    first = slice(program["BATCH"])
    gradient = _gradient_error(net, exact, x[first].double(), y[first]) if settings["seed"] == 0 else None
    seen: list[Any] = []
    net.equilibrium.register_forward_hook(lambda _, given, z: seen.__setitem__(slice(None), (*given, z)))
    torch.manual_seed(settings["seed"])
    start = process_time()
    accuracies = program["train"](net, x, y, settings["images"], settings["epochs"])
    seconds = process_time() - start
    steps = settings["epochs"] * -(-settings["images"] // program["BATCH"])
    u, z = (each.detach() for each in seen)
    with torch.no_grad():
        residual = (cell(z, u) - z).flatten(1).norm(dim=1) / z.flatten(1).norm(dim=1)
    report = {
        "accuracies": accuracies,
        "step_ms": 1e3 * seconds / steps,
        "residual": float(residual.max()),
        "gradient": gradient,
        "lines": _lines(inspect.getsource(make), PROGRAM.read_text(encoding="utf-8")),
        "versions": {name: version(name) for name in ("equilib", "torch", "torchdeq")},
    }
    hand_back(folder, {}, report)


def _gradient_error(net: Any, exact: Any, x: Any, y: Any) -> float:
    """Return ‖difference‖ / ‖gradient‖ of a batch's loss to that of the network unrolled to its equilibrium.

    In float64, the largest of a parameter, with kernels of the cell `FAR` times as large.
    """
    import torch
    from torch.nn.functional import cross_entropy

    net, exact = deepcopy(net).double(), deepcopy(exact).double()
    with torch.no_grad():
        for kernel in exact.cell.parameters():
            kernel.mul_(FAR)
    net.equilibrium = exact
    params = list(net.parameters())
    found, unrolled = (torch.autograd.grad(cross_entropy(net(x, depth)[0], y), params) for depth in (0, DEPTH))
    return max(float((one - other).norm() / other.norm()) for one, other in zip(found, unrolled, strict=True))


def _lines(own: str, program: str) -> tuple[int, int]:
    """Return the lines of code of an equilibrium's body, and of the program with it, its `main` left out."""
    body, *_ = ast.parse(own).body
    assert isinstance(body, ast.FunctionDef)
    few = _count([node for node in body.body if getattr(node, "module", "") != "torch"])  # which the program imports
    whole = [node for node in ast.parse(program).body if getattr(node, "name", "") != "main"]
    return few, few + _count(whole)


def _count(nodes: list[ast.stmt]) -> int:
    """Return the number of lines of code without docstrings, comments and blank lines."""
    tree = ast.Module(nodes, [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return len([line for line in ast.unparse(tree).splitlines() if line.strip()])


if __name__ == "__main__":
    main()
