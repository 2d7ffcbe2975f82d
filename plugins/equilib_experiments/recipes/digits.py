"""The convolutional networks of the experiment `mnist`: ours, and that of the tutorial."""

from __future__ import annotations

from equilib import ops
from equilib.errors import UserError
from equilib.experiments import ImageRecipe
from equilib.layers import Chain, Conv, Dense, Flatten, GlobalMeanPool, GroupNorm, Layer, MaxPool, TruncatedNormal
from equilib.models import InjectedCell
from equilib.training.data import ImageFormat
from equilib.training.plan import Plan
from equilib.training.schedules import Constant
from equilib_experiments.augment import Shift
from equilib_experiments.recipes.architecture import GUESSES, Architecture, one_cycle

SMALL = TruncatedNormal(0.01)


def _same(channels: int) -> Conv:
    """Return a 3×3 convolution that keeps the size, with small weights and no bias."""
    return Conv(channels, channels, (3, 3), padding="same", bias=False, initial_weight=SMALL)


def _tanh_cell(channels: int) -> InjectedCell:
    """Return tanh(conv(tanh(conv z) + tanh(conv x)))."""
    return InjectedCell(*(Chain(_same(channels), ops.tanh) for _ in range(3)))


TUTORIAL = Architecture(
    before=lambda images: Chain(
        Conv(images.channels, 64, (3, 3)), ops.gelu, GroupNorm(64, 64), Conv(64, 64, (4, 4), stride=2, padding=1)
    ),
    cell=lambda _: _tanh_cell(64),
    guess=lambda: Chain(Conv(64, 64, (3, 3), padding="same"), ops.gelu),
    after=lambda images: Chain(GroupNorm(64, 64), ops.relu, GlobalMeanPool(), Dense(64, len(images.classes))),
)


def _head(images: ImageFormat) -> Layer:
    """Return the head of the default network; raise UserError where no window of its pooling fits into an image."""
    height, width = ((side - 4) // 2 // 4 for side in (images.height, images.width))
    if not (height and width):
        raise UserError(
            f"this network reads images of 12×12 pixels at least, not of {images.height}×{images.width}: take "
            "--recipe tutorial or --model dense-deq"
        )
    features = height * width * 32
    return Chain(GroupNorm(32, 32), ops.relu, MaxPool(4), Flatten(), Dense(features, len(images.classes)))


# Half the channels make every product a quarter of the work; the largest value in each part of the image says where
# a stroke is, which a mean over the whole image forgets.
DEFAULT = Architecture(
    before=lambda images: Chain(
        Conv(images.channels, 32, (5, 5)),
        MaxPool(2),
        ops.gelu,
        GroupNorm(32, 32),
        Conv(32, 32, (3, 3), padding="same"),
        ops.gelu,
    ),
    cell=lambda _: _tanh_cell(32),
    guess=lambda: Chain(Conv(32, 32, (3, 3), padding="same"), ops.gelu),
    after=_head,
)


def tutorial(model: str) -> ImageRecipe:
    """Return the recipe of DeepEquilibriumNetworks.jl's basic MNIST tutorial."""
    return ImageRecipe(
        data="mnist",
        network=TUTORIAL.network(model),
        schedule=lambda steps: Constant(5e-4),
        options={"rtol": 1e-3, "atol": 1e-3, "max_steps": 10, "linear_solver.restart": 10},
        plan=Plan(pretrain_epochs=2),
    )


def default(model: str) -> ImageRecipe:
    """Return the recipe with the tutorial's data and epochs, better and faster.

    Four times the steps at a rate that suits 300 would take the cell far beyond a contraction; and with so many images
    it pays to see each of them in other places.
    """
    return ImageRecipe(
        data="mnist",
        network=DEFAULT.network(model),
        schedule=one_cycle(6e-3),
        options={"rtol": 1e-2, "atol": 1e-6, "max_steps": 10, "linear_solver.restart": 10},
        plan=Plan(pretrain_epochs=2),
        with_all={"schedule": one_cycle(2e-3), "transform": Shift(2)},
    )


RECIPES = {
    "default": {model: default(model) for model in GUESSES},
    "tutorial": {model: tutorial(model) for model in GUESSES},
}
