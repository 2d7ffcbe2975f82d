"""Small equilibria of two scales, for digits and for photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from equilib import ops
from equilib.errors import UserError
from equilib.experiments import ImageRecipe
from equilib.layers import (
    Chain,
    Conv,
    Dense,
    Flatten,
    Fork,
    GroupNorm,
    Layer,
    MaxPool,
    Merge,
    TruncatedNormal,
    Upsample,
)
from equilib.models import DEQChain, InjectedCell, MultiScaleCell
from equilib.training.data import ImageFormat
from equilib.training.plan import Plan
from equilib_experiments.augment import Shift
from equilib_experiments.recipes.architecture import Architecture, one_cycle

MODELS = ("mdeq", "skip-mdeq")
SMALL = TruncatedNormal(0.01)


@dataclass(frozen=True)
class TwoScales:
    """A small network of two scales, the second of half the size; their branches begin as contractions."""

    kernel: int  # side of the first convolution's kernels; it is followed by a pooling by 2
    padding: int
    fine: int  # channels of the first scale
    coarse: int  # channels of the second
    regions: int  # the head sees the largest value in each of regions × regions parts of a scale
    # Channels that are normalized together: 1 takes away how bright a channel is, which of a digit says nothing and of
    # a photograph much.
    together: int = 1

    def network(self, model: str) -> Callable[..., DEQChain]:
        """Return what makes the network `model`, one of `MODELS`, given the method and what it reads."""
        return Architecture(
            before=lambda images: self.before(images.channels),
            cell=lambda images: self.cell(*self._shape(images)),
            guess=self.guess,
            after=lambda images: self.after(*self._shape(images), len(images.classes)),
        ).network(model)

    def _shape(self, images: ImageFormat) -> tuple[int, int]:
        shrunk = 2 * self.padding + 1 - self.kernel
        return even((images.height + shrunk) // 2, (images.width + shrunk) // 2)

    def before(self, channels: int) -> Layer:
        """Return what makes x of an image."""
        first = Conv(channels, self.fine, (self.kernel, self.kernel), padding=self.padding)
        return Chain(first, MaxPool(2), ops.gelu, self._norm(self.fine), _conv(self.fine), ops.gelu)

    def cell(self, height: int, width: int) -> MultiScaleCell:
        """Return the cell: a tanh after every convolution within a scale, sums of both scales in a tanh."""
        fine, coarse = self.fine, self.coarse
        return MultiScaleCell(
            first=InjectedCell(*(Chain(_small(fine), ops.tanh) for _ in range(3))),
            rest=(Chain(_small(coarse), ops.tanh),),
            mapping=(
                (Chain(), Conv(fine, coarse, (3, 3), stride=2, padding=1)),
                (Chain(Conv(coarse, fine, (1, 1)), Upsample(2)), Chain()),
            ),
            shapes=((height, width, fine), (height // 2, width // 2, coarse)),
            fuse=(Chain(ops.tanh), Chain(ops.tanh)),
        )

    def guess(self) -> Layer:
        """Return the layer that guesses both scales."""
        coarse = Conv(self.fine, self.coarse, (3, 3), stride=2, padding=1)
        return Fork(Chain(_conv(self.fine), ops.tanh), Chain(coarse, ops.tanh))

    def after(self, height: int, width: int, classes: int) -> Layer:
        """Return the head: the sum of what each scale says."""

        def branch(channels: int, height: int, width: int) -> Layer:
            window = max(1, min(height, width) // self.regions)
            features = (height // window) * (width // window) * channels
            return Chain(
                self._norm(channels),
                ops.relu,
                MaxPool(window),
                Flatten(),
                Dense(features, classes, initial_weight=SMALL),
            )

        return Merge(branch(self.fine, height, width), branch(self.coarse, height // 2, width // 2))

    def _norm(self, channels: int) -> GroupNorm:
        return GroupNorm(channels, channels // self.together)


def even(height: int, width: int) -> tuple[int, int]:
    """Return the size of the first scale, of which the second has half; raises UserError if it has no half."""
    if min(height, width) < 2 or height % 2 or width % 2:
        raise UserError(
            f"the second scale has half the size of the first, which from these images would be {height}×{width}: "
            "take another --model or other images"
        )
    return height, width


def _conv(channels: int) -> Conv:
    return Conv(channels, channels, (3, 3), padding="same")


def _small(channels: int) -> Conv:
    return Conv(channels, channels, (3, 3), padding="same", bias=False, initial_weight=SMALL)


DIGITS = TwoScales(kernel=5, padding=0, fine=24, coarse=32, regions=3)
PHOTOGRAPHS = TwoScales(kernel=3, padding=1, fine=32, coarse=48, regions=2, together=8)


def digits(model: str) -> ImageRecipe:
    """Return the recipe for MNIST, with the data and epochs of the tutorial."""
    return ImageRecipe(
        data="mnist",
        network=DIGITS.network(model),
        schedule=one_cycle(4e-3),
        options={"rtol": 1e-2, "atol": 1e-6, "max_steps": 15, "linear_solver.restart": 10},
        plan=Plan(pretrain_epochs=2),
        with_all={"schedule": one_cycle(2e-3), "transform": Shift(2)},
    )


def photographs(model: str) -> ImageRecipe:
    """Return a recipe for CIFAR-10 that shows within minutes that the network learns.

    Its rate is low: a step of Adam must stay small beside the small weights that the cell begins with.
    """
    return ImageRecipe(
        data="cifar10",
        network=PHOTOGRAPHS.network(model),
        schedule=one_cycle(6e-4),
        options={"rtol": 1e-2, "atol": 1e-6, "max_steps": 15, "linear_solver.restart": 10},
        plan=Plan(pretrain_epochs=2, epochs=6),
        limit=4000,
        transform=Shift(2, mirror=True),
    )
