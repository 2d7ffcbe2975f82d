"""The recipes of the experiment `mnist`: architecture, schedule, solver settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from equilib import ops
from equilib.layers import (
    Chain,
    Conv,
    Dense,
    Flatten,
    GlobalMeanPool,
    GroupNorm,
    MaxPool,
    TruncatedNormal,
)
from equilib.models import InjectedCell
from equilib.protocols import Layer
from equilib.training.optimizers import Adam
from equilib.training.schedules import Constant, OneCycle, Schedule

CLASSES = 10
SMALL = TruncatedNormal(0.01)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the experiment is done.

    Attributes
    ----------
    before, cell, guess, after : callables
        Make the network's parts; `guess` is the layer of the initial guess of `skipdeq`.
    images : int
        Images taken from the start of the training set; the first 80 % train, the others test.
    method : mapping
        Preferred options of the solver and its driver.
    schedule : callable
        Makes the schedule for a number of steps.
    """

    before: Callable[[], Layer]
    cell: Callable[[], InjectedCell]
    guess: Callable[[], Layer]
    after: Callable[[], Layer]
    schedule: Callable[[int], Schedule]
    optimizer: Adam = field(default_factory=Adam)
    images: int = 2500
    batch_size: int = 32
    pretrain_epochs: int = 2
    pretrain_depth: int = 5
    epochs: int = 3
    method: Mapping[str, object] = field(default_factory=dict)


def _same(channels: int) -> Conv:
    """Return a 3×3 convolution that keeps the size, with small weights and no bias."""
    return Conv(channels, channels, (3, 3), padding="same", bias=False, initial_weight=SMALL)


def _tanh_cell(channels: int) -> InjectedCell:
    """Return tanh(conv(tanh(conv z) + tanh(conv x)))."""
    return InjectedCell(*(Chain(_same(channels), ops.tanh) for _ in range(3)))


TUTORIAL = Recipe(
    before=lambda: Chain(Conv(1, 64, (3, 3)), ops.gelu, GroupNorm(64, 64), Conv(64, 64, (4, 4), stride=2, padding=1)),
    cell=lambda: _tanh_cell(64),
    guess=lambda: Chain(Conv(64, 64, (3, 3), padding="same"), ops.gelu),
    after=lambda: Chain(GroupNorm(64, 64), ops.relu, GlobalMeanPool(), Dense(64, CLASSES)),
    schedule=lambda steps: Constant(5e-4),
    method={"rtol": 1e-3, "atol": 1e-3, "max_steps": 10, "restart": 10},
)

# Half the channels make every product a quarter of the work; the largest value in each part of the image says where
# a stroke is, which a mean over the whole image forgets.
DEFAULT = Recipe(
    before=lambda: Chain(
        Conv(1, 32, (5, 5)),
        MaxPool(2),
        ops.gelu,
        GroupNorm(32, 32),
        Conv(32, 32, (3, 3), padding="same"),
        ops.gelu,
    ),
    cell=lambda: _tanh_cell(32),
    guess=lambda: Chain(Conv(32, 32, (3, 3), padding="same"), ops.gelu),
    after=lambda: Chain(GroupNorm(32, 32), ops.relu, MaxPool(4), Flatten(), Dense(3 * 3 * 32, CLASSES)),
    schedule=lambda steps: OneCycle(6e-3, steps),
    method={"rtol": 1e-2, "atol": 1e-6, "max_steps": 10, "restart": 10},
)

RECIPES: dict[str, Recipe] = {"default": DEFAULT, "tutorial": TUTORIAL}
