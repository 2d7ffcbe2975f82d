"""The gradients of torchdeq through given cells: run by `benchmarks.gradients`."""

from __future__ import annotations

from importlib.metadata import version
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch.nn.functional import conv2d
from torchdeq import get_deq

from benchmarks.peers.exchange import Arrays, hand_back, receive


def main() -> None:
    """Take every gradient, some times over; return the gradients, the counts and the times."""
    folder, arrays, settings = receive()
    torch.set_num_threads(settings["threads"])
    found: Arrays = {}
    report: dict[str, dict[str, Any]] = {}
    for told in settings["cells"]:
        cell = _Cell(told, arrays)
        report[told["name"]] = {}
        for way, options in settings["ways"].items():
            takes = [_take(cell, options, settings) for _ in range(settings["repeats"] + 1)]
            # The first run fills caches.
            times = {name: median(each[name] for each in takes[1:]) for name in ("forward", "backward")}
            report[told["name"]][way] = {**takes[-1], **times}
            for i, weight in enumerate(cell.weights):
                found[f"{told['name']}/{way}/weight{i}"] = _ours(weight.grad.numpy())
    versions = {name: version(name) for name in ("torch", "torchdeq")}
    hand_back(folder, found, {"cells": report, "versions": versions})


class _Cell:
    """f, its weights and the cotangent; images have channels first here."""

    def __init__(self, told: dict[str, Any], arrays: Arrays) -> None:
        def take(name: str) -> torch.Tensor:
            return torch.from_numpy(_theirs(arrays[f"{told['name']}/{name}"], kernel=name.startswith("weight")))

        self.kind = told["kind"]
        self.weights = [take(f"weight{i}").requires_grad_() for i in range(told["weights"])]
        self.injection, self.cotangent = take("injection"), take("cotangent")
        self.nfe = self.vjp = 0

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        self.nfe += 1
        if self.kind == "dense":
            y = torch.tanh(z @ self.weights[0] + self.injection)
        else:
            first = torch.tanh(conv2d(z, self.weights[0], padding=1))
            y = torch.tanh(conv2d(first + self.injection, self.weights[1], padding=1))
        if y.requires_grad:
            y.register_hook(self._count)
        return y

    def _count(self, gradient: torch.Tensor) -> None:
        self.vjp += 1


def _take(cell: _Cell, options: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    limits = {"max_iter": settings["max_steps"], "tol": settings["tolerance"], "stop_mode": "rel"}
    deq = get_deq(**{f"{way}_{name}": value for way in "fb" for name, value in limits.items()}, **options)
    cell.nfe = cell.vjp = 0
    for weight in cell.weights:
        weight.grad = None
    begun = perf_counter()
    z = deq(cell, torch.zeros_like(cell.injection))[0][-1]
    middle = perf_counter()
    nfe = cell.nfe
    torch.sum(cell.cotangent * z).backward()
    return {"nfe": nfe, "njvp": 0, "vjp": cell.vjp, "forward": middle - begun, "backward": perf_counter() - middle}


def _theirs(array: np.ndarray, *, kernel: bool) -> np.ndarray:
    order = (3, 2, 0, 1) if kernel else (0, 3, 1, 2)
    return np.ascontiguousarray(np.transpose(array, order)) if array.ndim == 4 else array


def _ours(kernel: np.ndarray) -> np.ndarray:
    return np.transpose(kernel, (2, 3, 1, 0)) if kernel.ndim == 4 else kernel


if __name__ == "__main__":
    main()
