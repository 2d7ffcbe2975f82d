"""The neural-ODE tutorial in PyTorch with torchdiffeq, as its experts would write it: run by `benchmarks.node`."""

from __future__ import annotations

from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torchdiffeq import odeint, odeint_adjoint

from benchmarks.peers.exchange import Arrays, hand_back, receive

PLACES = {"before/1": "before.1", "ode/0": "f.0", "ode/2": "f.2", "ode/4": "f.4", "after": "after"}


class RightHandSide(nn.Sequential):
    """f(t, y), counting its evaluations."""

    nfe = 0

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return f(y)."""
        self.nfe += 1
        return super().forward(y)


class Network(nn.Module):
    """The tutorial's network."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 20), nn.Tanh())
        self.f = RightHandSide(nn.Linear(20, 10), nn.Tanh(), nn.Linear(10, 10), nn.Tanh(), nn.Linear(10, 20), nn.Tanh())
        self.after = nn.Linear(20, 10)
        self.integrate = odeint_adjoint if settings["adjoint"] else odeint
        self.tolerances = {"rtol": settings["rtol"], "atol": settings["atol"], "method": "dopri5"}
        self.span = torch.tensor([0.0, 1.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.after(self.integrate(self.f, self.before(x), self.span, **self.tolerances)[-1])


def main() -> None:
    """Train, and return the record of the epochs."""
    folder, arrays, settings = receive()
    torch.set_num_threads(settings["threads"])
    model = Network(settings)
    _load(model, arrays)
    data = {name: torch.from_numpy(array) for name, array in arrays.items() if not name.startswith("params/")}
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["rate"])
    report: dict[str, Any] = {"epochs": [], "versions": {name: version(name) for name in ("torch", "torchdiffeq")}}
    for order in data["order"]:
        report["epochs"].append(_epoch(model, optimizer, data, order, report))
    hand_back(folder, {}, report)


def _epoch(
    model: Network,
    optimizer: torch.optim.Optimizer,
    data: dict[str, torch.Tensor],
    order: torch.Tensor,
    report: dict[str, Any],
) -> dict[str, Any]:
    forward = backward = 0
    start = perf_counter()
    for rows in order:
        model.f.nfe = 0
        loss = cross_entropy(model(data["train_images"][rows]), data["train_labels"][rows])
        forward += model.f.nfe
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # Each evaluation of the adjoint's equation is one of f and one vjp; through the steps, each stage has one.
        backward += model.f.nfe
        optimizer.step()
        report.setdefault("first_batch_seconds", perf_counter() - start)
    seconds = perf_counter() - start
    nfe = forward / len(order)
    vjp = (backward - forward) / len(order) or nfe
    with torch.no_grad():
        right = (model(data["test_images"]).argmax(1) == data["test_labels"]).float().mean()
    figures = {"nfe": nfe, "njvp": 0.0, "vjp": vjp, "loss": float(loss.detach()), "test_accuracy": float(right)}
    return {"phase": "train", "seconds": seconds, **figures}


def _load(model: Network, arrays: Arrays) -> None:
    """Copy our parameters; weights are (inputs, outputs) there."""
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, array in arrays.items():
            if name.startswith("params/"):
                place, leaf = name.removeprefix("params/").rsplit("/", 1)
                own.pop(f"{PLACES[place]}.{leaf}").copy_(torch.from_numpy(np.ascontiguousarray(array.T)))
    if own:
        raise ValueError(f"no values were given for {', '.join(own)}")


if __name__ == "__main__":
    main()
