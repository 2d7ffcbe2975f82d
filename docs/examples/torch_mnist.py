"""The classifier of the MNIST tutorial in PyTorch: a deep equilibrium model of 64 channels on the first images.

EQUILIB_DATA_DIR names the folder with the data; without it they are downloaded once.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from equilib.torch import DeepEquilibrium
from equilib_experiments.data.mnist import Mnist

CHANNELS, BATCH = 64, 32


class Cell(nn.Module):
    """z ↦ tanh(conv(tanh(conv z) + u))."""

    def __init__(self) -> None:
        super().__init__()
        self.recur, self.mix = (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False) for _ in range(2))
        for each in (self.recur, self.mix):
            nn.init.trunc_normal_(each.weight, std=0.01, a=-0.02, b=0.02)

    def forward(self, z: Tensor, u: Tensor) -> Tensor:
        """Return the next state."""
        return torch.tanh(self.mix(torch.tanh(self.recur(z)) + u))


def network(**how: object) -> nn.Sequential:
    """Return the network; `how` goes to the equilibrium."""
    return nn.Sequential(
        nn.Conv2d(1, CHANNELS, 3),
        nn.GELU(),
        nn.GroupNorm(CHANNELS, CHANNELS),
        nn.Conv2d(CHANNELS, CHANNELS, 4, stride=2, padding=1),
        DeepEquilibrium(Cell(), **how),
        nn.GroupNorm(CHANNELS, CHANNELS),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(CHANNELS, 10),
    )


def main(images: int = 2000, epochs: int = 5) -> float:
    """Train, and return the accuracy on as many test images as a quarter of `images`."""
    torch.manual_seed(0)
    mnist = Mnist().load(None, lambda line: print(line, file=sys.stderr))
    x, y = torch.from_numpy(mnist.train_images / 255.0).float()[:, None], torch.from_numpy(mnist.train_labels).long()
    cut = images // 4
    net = network(solver="anderson", rtol=1e-3)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for epoch in range(epochs):
        for rows in torch.randperm(images).split(BATCH):
            loss = cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            found = net(x[images : images + cut]).argmax(1)
        accuracy = (found == y[images : images + cut]).float().mean().item()
        print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}, {net[4].solution}")
    return accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
