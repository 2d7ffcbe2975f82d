"""Small equilibria of two scales, for digits and for photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from equilib import ops
from equilib.layers import (
    Chain,
    Conv,
    Dense,
    Flatten,
    Fork,
    GroupNorm,
    MaxPool,
    Merge,
    TruncatedNormal,
    Upsample,
)
from equilib.layers.protocol import Layer
from equilib.models import DEQChain, InitialGuess, InjectedCell, LayerGuess, MultiScaleCell, ZeroGuess
from equilib.plugin.choice import Method
from equilib.training.schedules import OneCycle
from equilib_experiments.augment import Shift
from equilib_experiments.recipes.recipe import Recipe, equilibrium

MODELS = ("mdeq", "skip-mdeq")
CLASSES = 10
SMALL = TruncatedNormal(0.01)


@dataclass(frozen=True)
class TwoScales:
    """A small network of two scales, of side × side and of half of it; their branches begin as contractions.

    Parameters
    ----------
    colours : int
        Channels of the image.
    kernel : int
        Side of the first convolution's kernels; it is followed by a pooling by 2.
    side, fine, coarse : int
        Side of the first scale, a multiple of `regions`, and the channels of both.
    regions : int
        The head sees the largest value in each of regions × regions parts of a scale.
    together : int
        Channels that are normalized together: 1 takes away how bright a channel is, which of a digit says nothing and
        of a photograph much.
    """

    colours: int
    kernel: int
    padding: int
    side: int
    fine: int
    coarse: int
    regions: int
    together: int = 1

    def network(self, model: str) -> Callable[[Method], DEQChain]:
        """Return what makes the network `model`, one of `MODELS`, given the method."""
        start: Callable[[], InitialGuess] = ZeroGuess if model == "mdeq" else lambda: LayerGuess(self.guess())
        return lambda method: DEQChain(self.before(), equilibrium(self.cell(), start(), method), self.after())

    def before(self) -> Layer:
        """Return what makes x of the image."""
        first = Conv(self.colours, self.fine, (self.kernel, self.kernel), padding=self.padding)
        return Chain(first, MaxPool(2), ops.gelu, self._norm(self.fine), _conv(self.fine), ops.gelu)

    def cell(self) -> MultiScaleCell:
        """Return the cell: a tanh after every convolution within a scale, sums of both scales in a tanh."""
        fine, coarse, half = self.fine, self.coarse, self.side // 2
        return MultiScaleCell(
            first=InjectedCell(*(Chain(_small(fine), ops.tanh) for _ in range(3))),
            rest=(Chain(_small(coarse), ops.tanh),),
            mapping=(
                (Chain(), Conv(fine, coarse, (3, 3), stride=2, padding=1)),
                (Chain(Conv(coarse, fine, (1, 1)), Upsample(2)), Chain()),
            ),
            shapes=((self.side, self.side, fine), (half, half, coarse)),
            fuse=(Chain(ops.tanh), Chain(ops.tanh)),
        )

    def guess(self) -> Layer:
        """Return the layer that guesses both scales."""
        coarse = Conv(self.fine, self.coarse, (3, 3), stride=2, padding=1)
        return Fork(Chain(_conv(self.fine), ops.tanh), Chain(coarse, ops.tanh))

    def after(self) -> Layer:
        """Return the head: the sum of what each scale says."""

        def voice(channels: int, side: int) -> Layer:
            features = self.regions**2 * channels
            return Chain(
                self._norm(channels),
                ops.relu,
                MaxPool(side // self.regions),
                Flatten(),
                Dense(features, CLASSES, initial_weight=SMALL),
            )

        return Merge(voice(self.fine, self.side), voice(self.coarse, self.side // 2))

    def _norm(self, channels: int) -> GroupNorm:
        return GroupNorm(channels, channels // self.together)


def _conv(channels: int) -> Conv:
    return Conv(channels, channels, (3, 3), padding="same")


def _small(channels: int) -> Conv:
    return Conv(channels, channels, (3, 3), padding="same", bias=False, initial_weight=SMALL)


DIGITS = TwoScales(colours=1, kernel=5, padding=0, side=12, fine=24, coarse=32, regions=3)
PHOTOGRAPHS = TwoScales(colours=3, kernel=3, padding=1, side=16, fine=32, coarse=48, regions=2, together=8)


def digits(model: str) -> Recipe:
    """Return the recipe for MNIST, with the data and epochs of the tutorial."""
    return Recipe(
        network=DIGITS.network(model),
        schedule=lambda steps: OneCycle(4e-3, steps),
        method={"rtol": 1e-2, "atol": 1e-6, "max_steps": 15, "restart": 10},
        pretrain_epochs=2,
        with_all={"schedule": lambda steps: OneCycle(2e-3, steps), "transform": Shift(2)},
    )


def photographs(model: str) -> Recipe:
    """Return a recipe for CIFAR-10 that shows within minutes that the network learns.

    Its rate is low: a step of Adam must stay small beside the small weights that the cell begins with.
    """
    return Recipe(
        network=PHOTOGRAPHS.network(model),
        schedule=lambda steps: OneCycle(6e-4, steps),
        method={"rtol": 1e-2, "atol": 1e-6, "max_steps": 15, "restart": 10},
        images=4000,
        pretrain_epochs=2,
        epochs=6,
        transform=Shift(2, mirror=True),
    )
