"""The MNIST tutorial in PyTorch with torchdeq, as its experts would write it: run by `benchmarks.mnist`.

The injection is computed once per solve, the adjoint is torchdeq's implicit one (`ift=True`, or `hook_ift=True`).
"""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torchdeq import get_deq

from benchmarks.peers.exchange import Arrays, hand_back, receive

CHANNELS, SIDE, CLASSES, CHECKED = 64, 13, 10, 100
# Names of our parameters, and of the modules here.
PLACES = {
    "before/0": "before.0",
    "before/2": "before.2",
    "before/3": "before.3",
    "deq/cell/inject/0": "inject",
    "deq/cell/recur/0": "recur",
    "deq/cell/after/0": "mix",
    "after/0": "norm",
    "after/3": "classify",
}
LEAVES = {"weight": "weight", "bias": "bias", "scale": "weight", "shift": "bias"}


class Tutorial(nn.Module):
    """The tutorial's network, `regdeq`: z0 = f(0, x)."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        same = {"kernel_size": 3, "padding": 1, "bias": False}
        self.before = nn.Sequential(
            nn.Conv2d(1, CHANNELS, 3),
            nn.GELU(approximate="tanh"),
            nn.GroupNorm(CHANNELS, CHANNELS),
            nn.Conv2d(CHANNELS, CHANNELS, 4, stride=2, padding=1),
        )
        self.inject, self.recur, self.mix = (nn.Conv2d(CHANNELS, CHANNELS, **same) for _ in range(3))
        self.norm = nn.GroupNorm(CHANNELS, CHANNELS)
        self.classify = nn.Linear(CHANNELS, CLASSES)
        limits = {"max_iter": settings["max_steps"], "tol": settings["tolerance"], "stop_mode": "rel"}
        self.deq = get_deq(
            ift=not settings.get("hook_ift", False),
            hook_ift=settings.get("hook_ift", False),
            **{f"{way}_{name}": value for way in "fb" for name, value in limits.items()},
            f_solver=settings["solver"],
            b_solver=settings["backward"],
        )
        self.counts: Counter[str] = Counter()

    def forward(
        self, x: torch.Tensor, depth: int = 0, start: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits, equilibrium and initial guess; a positive `depth` iterates instead of solving.

        A solve starts at `start` instead of the guess, in the samples where that is not nan.
        """
        u = torch.tanh(self.inject(self.before(x)))

        def f(z: torch.Tensor) -> torch.Tensor:
            self.counts["nfe"] += 1
            y = torch.tanh(self.mix(torch.tanh(self.recur(z)) + u))
            if y.requires_grad and depth == 0:
                y.register_hook(self._count_vjp)
            return y

        # What is made of z = 0 before u is added is the same for every sample.
        guess = z = f(torch.zeros_like(u[:1]))
        if depth:
            for _ in range(depth):
                z = f(z)
        else:
            if start is not None:
                z = torch.where(start.isnan(), guess.detach(), start)
            found, _ = self.deq(f, z)
            z = found[-1]
        return self.classify(torch.relu(self.norm(z)).mean((2, 3))), z, guess

    def _count_vjp(self, gradient: torch.Tensor) -> None:
        self.counts["vjp"] += 1


def main() -> None:
    """Train, and return the record of the epochs, the parameters and some equilibria."""
    folder, arrays, settings = receive()
    torch.set_num_threads(settings["threads"])
    model = Tutorial(settings)
    load(model, arrays)
    data = {name: torch.from_numpy(array) for name, array in arrays.items() if not name.startswith("params/")}
    layout = torch.channels_last if settings.get("channels_last", True) else torch.contiguous_format
    model.to(memory_format=layout)
    for name in ("train_images", "test_images"):
        data[name] = data[name].permute(0, 3, 1, 2).contiguous(memory_format=layout)
    if settings.get("warm", False):
        size = (len(data["train_images"]), CHANNELS, SIDE, SIDE)
        data["equilibria"] = torch.full(size, torch.nan).contiguous(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["rate"])
    report: dict[str, Any] = {"epochs": [], "versions": _versions()}
    for index in range(len(data["order"])):
        report["epochs"].append(_epoch(model, optimizer, data, settings, index, report))
    with torch.no_grad():
        _, z, _ = model(data["test_images"][:CHECKED])
    found = {"z": z.permute(0, 2, 3, 1).contiguous().numpy(), **_params(model, arrays)}
    hand_back(folder, found, report)


def _epoch(
    model: Tutorial,
    optimizer: torch.optim.Optimizer,
    data: dict[str, torch.Tensor],
    settings: dict[str, Any],
    index: int,
    report: dict[str, Any],
) -> dict[str, Any]:
    pretraining = index < settings["pretrain_epochs"]
    depth = settings["depth"] if pretraining else 0
    known = None if pretraining else data.get("equilibria")
    model.train()
    model.counts.clear()
    start = perf_counter()
    for rows in data["order"][index]:
        x, y = data["train_images"][rows], data["train_labels"][rows]
        logits, z, guess = model(x, depth, None if known is None else known[rows])
        loss = cross_entropy(logits, y) + 0.01 * mse_loss(z, guess)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if known is not None:
            known[rows] = z.detach()
        report.setdefault("first_batch_seconds", perf_counter() - start)
    seconds = perf_counter() - start
    batches = len(data["order"][index])
    counts = {name: model.counts[name] / batches for name in ("nfe", "vjp")}
    return {
        "phase": "pretrain" if pretraining else "train",
        "seconds": seconds,
        **counts,
        "njvp": 0.0,
        "loss": float(loss.detach()),
        "test_accuracy": _accuracy(model, data, depth),
    }


@torch.no_grad()
def _accuracy(model: Tutorial, data: dict[str, torch.Tensor], depth: int) -> float:
    model.eval()
    batches = zip(data["test_images"].split(100), data["test_labels"].split(100), strict=True)
    right = sum(int((model(x, depth)[0].argmax(1) == y).sum()) for x, y in batches)
    return right / len(data["test_labels"])


def load(model: Tutorial, arrays: Arrays) -> None:
    """Copy our parameters; kernels are (height, width, in, out) there."""
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, array in arrays.items():
            if name.startswith("params/"):
                place, leaf = name.removeprefix("params/").rsplit("/", 1)
                value = np.transpose(array, (3, 2, 0, 1)) if array.ndim == 4 else array.T
                own.pop(f"{PLACES[place]}.{LEAVES[leaf]}").copy_(torch.from_numpy(np.ascontiguousarray(value)))
    if own:
        raise ValueError(f"no values were given for {', '.join(own)}")


def _params(model: Tutorial, arrays: Arrays) -> Arrays:
    """Return the parameters in our layout."""
    own = {name: value.detach().numpy() for name, value in model.named_parameters()}
    found = {}
    for name in arrays:
        if name.startswith("params/"):
            place, leaf = name.removeprefix("params/").rsplit("/", 1)
            value = own[f"{PLACES[place]}.{LEAVES[leaf]}"]
            found[name] = np.transpose(value, (2, 3, 1, 0)) if value.ndim == 4 else value.T
    return found


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "torchdeq")}


if __name__ == "__main__":
    main()
