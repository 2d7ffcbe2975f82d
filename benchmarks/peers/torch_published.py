"""A transformer's block and a graph network in PyTorch: run by `benchmarks.published`."""

from __future__ import annotations

from importlib.metadata import version
from math import log
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.exchange import Arrays, hand_back, receive


class Characters(nn.Module):
    """Embedding and positions, a block that is repeated on z + inject(x), a head."""

    def __init__(self, settings: dict[str, Any], size: int) -> None:
        super().__init__()
        features = settings["features"]
        self.depth = settings["depth"]
        self.embedding = nn.Embedding(size, features)
        self.positions = nn.Parameter(0.5 * torch.randn(settings["length"], features))
        self.inject, self.head = nn.Linear(features, features), nn.Linear(features, size)
        self.block = nn.TransformerEncoderLayer(
            features, settings["heads"], 2 * features, dropout=0.0, activation=functional.silu, batch_first=True
        )
        self.mask = nn.Transformer.generate_square_subsequent_mask(settings["length"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the next characters."""
        u = self.inject(self.embedding(x) + self.positions)
        z = torch.zeros_like(u)
        for _ in range(self.depth):
            z = self.block(z + u, src_mask=self.mask, is_causal=True)
        return self.head(z)


class Graph(nn.Module):
    """tanh(A Z W + X U + b), repeated; or two graph convolutions (Kipf & Welling 2017) for the depth 0."""

    def __init__(self, settings: dict[str, Any], arrays: Arrays) -> None:
        super().__init__()
        width, self.depth = settings["width"], settings["depth"]
        nodes, pixels = arrays["train_inputs"].shape[1:]
        self.graph = torch.sparse_coo_tensor(arrays["places"], arrays["entries"], (nodes, nodes)).to_sparse_csr()
        self.inject, self.recur = nn.Linear(pixels, width), nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 10)
        nn.init.normal_(self.recur.weight, std=0.05)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the nodes."""
        x = x[0]
        if not self.depth:
            hidden = torch.relu(self.graph @ self.inject(x))
            return (self.graph @ self.head(hidden))[None]
        u = self.inject(x)
        z = torch.zeros_like(u)
        for _ in range(self.depth):
            z = torch.tanh(self.recur(self.graph @ z) + u)
        return self.head(z)[None]


def main() -> None:
    """Train a model; return its score on the test data."""
    folder, arrays, settings = receive()
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    inputs, targets = (torch.tensor(arrays[f"train_{name}"]) for name in ("inputs", "targets"))
    text = settings["experiment"] == "characters"
    model = Characters(settings, int(arrays["train_inputs"].max()) + 1) if text else Graph(settings, arrays)
    matrices = [each for each in model.parameters() if each.ndim > 1]
    others = [each for each in model.parameters() if each.ndim <= 1]
    decay = 0.0 if text else 1.0
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    )
    rates, size = iter(arrays["rates"]), settings["batch_size"]
    for _ in range(settings["epochs"]):
        order = torch.randperm(len(inputs))
        for rows in order.split(size):
            rate = float(next(rates))
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            _loss(model(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        prediction = torch.cat([model(each) for each in torch.tensor(arrays["test_inputs"]).split(100)])
    target = torch.tensor(arrays["test_targets"])
    known = target >= 0
    right = 100 * float((prediction.argmax(-1) == target)[known].double().mean())
    score = float(_loss(prediction, target)) / log(2) if text else right
    count = sum(each.numel() for each in model.parameters())
    hand_back(folder, {"score": np.array(score)}, {"score": score, "parameters": count, "version": version("torch")})


def _loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(prediction.flatten(0, -2), target.flatten(), ignore_index=-1)


if __name__ == "__main__":
    main()
