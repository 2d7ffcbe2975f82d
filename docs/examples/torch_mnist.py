"""The classifier of `equilib run mnist` in PyTorch: a deep equilibrium model of 32 channels on the first images.

EQUILIB_DATA_DIR names the folder with the data; without it they are downloaded once.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from equilib.torch import DeepEquilibrium
from equilib_experiments.data.mnist import Mnist

CHANNELS, BATCH, PRETRAINED, DEPTH = 32, 32, 2, 5


def small() -> nn.Conv2d:
    """Return a 3×3 convolution that keeps the size, with weights small enough to begin as a contraction."""
    conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
    nn.init.trunc_normal_(conv.weight, std=0.01, a=-0.02, b=0.02)
    return conv


class Cell(nn.Module):
    """z ↦ tanh(conv(tanh(conv z) + u))."""

    def __init__(self) -> None:
        super().__init__()
        self.recur, self.mix = small(), small()

    def forward(self, z: Tensor, u: Tensor) -> Tensor:
        """Return the next state."""
        return torch.tanh(self.mix(torch.tanh(self.recur(z)) + u))


class Network(nn.Module):
    """The network around an equilibrium, a module with a `cell`, of the injection u and the initial guess z0."""

    def __init__(self, equilibrium: nn.Module) -> None:
        super().__init__()
        seen = nn.Sequential(nn.Conv2d(1, CHANNELS, 5), nn.MaxPool2d(2), nn.GELU(), nn.GroupNorm(CHANNELS, CHANNELS))
        mixed = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.GELU())
        self.inject = nn.Sequential(seen, mixed, small(), nn.Tanh())
        self.equilibrium = equilibrium
        pooled = nn.Sequential(nn.GroupNorm(CHANNELS, CHANNELS), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten())
        self.classify = nn.Sequential(pooled, nn.Linear(9 * CHANNELS, 10))

    def forward(self, x: Tensor, depth: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, z and its guess f(0, x); z is the equilibrium, or what `depth` steps make of the guess."""
        u, cell = self.inject(x), self.equilibrium.cell
        guess = z = cell(torch.zeros_like(u), u)
        for _ in range(depth):
            z = cell(z, u)
        z = z if depth else self.equilibrium(u, z0=guess)
        return self.classify(z), z, guess


def digits() -> tuple[Tensor, Tensor]:
    """Return MNIST's training images, shape (60000, 1, 28, 28), and their labels."""
    mnist = Mnist().load(None, lambda line: print(line, file=sys.stderr))
    return torch.from_numpy(mnist.train_images / 255.0).float()[:, None], torch.from_numpy(mnist.train_labels).long()


def train(net: Network, x: Tensor, y: Tensor, images: int, epochs: int) -> list[float]:
    """Train on the first images, and return the accuracy on the next quarter as many after each epoch.

    The first epochs are of a fixed depth; then the equilibrium is trained, and pulled to its guess.
    """
    test = slice(images, images + images // 4)
    optimizer = torch.optim.Adam(net.parameters())
    steps = epochs * -(-images // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps, pct_start=0.3, cycle_momentum=False)
    accuracies = []
    for epoch in range(epochs):
        depth = DEPTH if epoch < PRETRAINED else 0
        net.train()
        for rows in torch.randperm(images).split(BATCH):
            logits, z, guess = net(x[rows], depth)
            loss = cross_entropy(logits, y[rows]) + 0.01 * mse_loss(z, guess)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            found = net(x[test], depth)[0].argmax(1)
        accuracies.append((found == y[test]).float().mean().item())
    return accuracies


def main(images: int = 2000, epochs: int = 5) -> float:
    """Train, and return the accuracy at the end."""
    torch.manual_seed(0)
    deq = DeepEquilibrium(Cell(), "anderson", rtol=1e-2)
    accuracies = train(Network(deq), *digits(), images, epochs)
    print(f"accuracy {', '.join(f'{each:.3f}' for each in accuracies)}; {deq.solution}")
    return accuracies[-1]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
