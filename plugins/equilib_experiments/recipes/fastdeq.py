"""FastDEQ's network for CIFAR-10 with 170,000 parameters (branch ap/paper, cifar10/tiny.yml).

Group norm takes the place of batch norm, which would tie the samples of a batch together.
"""

from __future__ import annotations

from equilib import ops
from equilib.experiments import ImageRecipe
from equilib.layers import (
    Chain,
    Conv,
    Dense,
    Dropout,
    Fork,
    GlobalMeanPool,
    GroupNorm,
    Layer,
    Merge,
    Parallel,
    TruncatedNormal,
    Upsample,
    WeightNorm,
)
from equilib.models import InjectedCell, MultiScaleCell, Regularization, ResidualCell
from equilib.training.objectives import Classification
from equilib.training.plan import Plan
from equilib.training.schedules import Cosine
from equilib_experiments.recipes.architecture import Architecture
from equilib_experiments.recipes.two_scales import even

WIDTH, EXPANSION, DROPPED = 24, 5, 0.2
SMALL = TruncatedNormal(0.01)


def _normed(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> Layer:
    padding = 1 if kernel == 3 else 0
    return WeightNorm(Conv(inputs, outputs, (kernel, kernel), stride, padding, initial_weight=SMALL))


def _norm(channels: int) -> GroupNorm:
    return GroupNorm(channels, 8)


def _to_scale(stride: int) -> Chain:
    return Chain(_normed(WIDTH, WIDTH, stride=stride), _norm(WIDTH), ops.gelu)


def _stem(channels: int) -> Layer:
    return Chain(Conv(channels, WIDTH, (3, 3), padding=1), _norm(WIDTH), ops.gelu, _to_scale(stride=1))


def _inner() -> Chain:
    wide = EXPANSION * WIDTH
    return Chain(_normed(WIDTH, wide), _norm(wide), ops.gelu, _normed(wide, WIDTH), Dropout(DROPPED, (1, 1, WIDTH)))


def _fastdeq_cell(height: int, width: int) -> MultiScaleCell:
    return MultiScaleCell(
        first=ResidualCell(InjectedCell(Chain(), _inner(), _norm(WIDTH)), Chain(ops.gelu, _norm(WIDTH))),
        rest=(Chain(Parallel(Chain(_inner(), _norm(WIDTH)), Chain()), ops.gelu, _norm(WIDTH)),),
        mapping=(
            (Chain(), Chain(_normed(WIDTH, WIDTH, stride=2), _norm(WIDTH))),
            (Chain(_normed(WIDTH, WIDTH, kernel=1), _norm(WIDTH), Upsample(2)), Chain()),
        ),
        shapes=((height, width, WIDTH), (height // 2, width // 2, WIDTH)),
        fuse=tuple(Chain(ops.gelu, _normed(WIDTH, WIDTH, kernel=1), _norm(WIDTH)) for _ in range(2)),
    )


def _bottleneck(planes: int) -> Layer:
    out = 4 * planes
    layers = (
        Chain(Conv(WIDTH, planes, (1, 1)), _norm(planes), ops.gelu),
        Chain(Conv(planes, planes, (3, 3), padding=1), _norm(planes), ops.gelu),
        Chain(Conv(planes, out, (1, 1)), _norm(out)),
    )
    return Chain(Parallel(Chain(*layers), Chain(Conv(WIDTH, out, (1, 1)), _norm(out))), ops.gelu)


def _head(classes: int) -> Layer:
    fine = Chain(_bottleneck(8), Conv(32, 64, (3, 3), stride=2, padding=1), _norm(64), ops.gelu)
    final = Chain(Conv(64, 200, (1, 1)), _norm(200), ops.gelu, GlobalMeanPool(), Dense(200, classes))
    return Chain(Merge(fine, _bottleneck(16)), final)


NETWORK = Architecture(
    before=lambda images: _stem(images.channels),
    cell=lambda images: _fastdeq_cell(*even(images.height, images.width)),
    guess=lambda: Fork(_to_scale(stride=1), _to_scale(stride=2)),
    after=lambda images: _head(len(images.classes)),
)


def fastdeq(model: str) -> ImageRecipe:
    """Return FastDEQ's recipe for CIFAR-10: 20,000 steps of 128 images, the first 3,000 unrolled."""
    return ImageRecipe(
        data="cifar10",
        network=NETWORK.network(model),
        schedule=lambda steps: Cosine(1e-3, steps),
        solver="vcab3",
        options={"rtol": 5e-2, "atol": 1e-6, "max_steps": 18},
        objective=Classification(Regularization(guess=0.0 if model == "mdeq" else 0.01)),
        optimizer="adam:weight_decay=2.5e-5",
        plan=Plan(pretrain_epochs=8, epochs=43, batch_size=128),
        limit=None,
    )
