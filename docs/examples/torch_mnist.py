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


def network(equilibrium: nn.Module) -> nn.Sequential:
    """Return the network around an equilibrium of the cell."""
    return nn.Sequential(
        nn.Conv2d(1, CHANNELS, 3),
        nn.GELU(),
        nn.GroupNorm(CHANNELS, CHANNELS),
        nn.Conv2d(CHANNELS, CHANNELS, 4, stride=2, padding=1),
        equilibrium,
        nn.GroupNorm(CHANNELS, CHANNELS),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(CHANNELS, 10),
    )


def train(net: nn.Module, images: int, epochs: int) -> list[float]:
    """Train on the first images, and return the accuracy on the next quarter as many after each epoch."""
    mnist = Mnist().load(None, lambda line: print(line, file=sys.stderr))
    x, y = torch.from_numpy(mnist.train_images / 255.0).float()[:, None], torch.from_numpy(mnist.train_labels).long()
    test = slice(images, images + images // 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    accuracies = []
    for _ in range(epochs):
        net.train()
        for rows in torch.randperm(images).split(BATCH):
            loss = cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            found = net(x[test]).argmax(1)
        accuracies.append((found == y[test]).float().mean().item())
    return accuracies


def main(images: int = 2000, epochs: int = 5) -> float:
    """Train, and return the accuracy at the end."""
    torch.manual_seed(0)
    deq = DeepEquilibrium(Cell(), "anderson", rtol=1e-3)
    accuracies = train(network(deq), images, epochs)
    print(f"accuracy {', '.join(f'{each:.3f}' for each in accuracies)}; {deq.solution}")
    return accuracies[-1]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
