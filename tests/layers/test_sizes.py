"""What layers refuse where they are made: sizes that are none, and parts that are neither layers nor functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equilib.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Chain,
    Conv,
    Conv1d,
    ConvTranspose,
    Dense,
    Dropout,
    Embedding,
    Fork,
    GlobalMeanPool,
    GroupNorm,
    KaimingUniform,
    Layer,
    LayerNorm,
    MaxPool,
    Merge,
    MultiHeadAttention,
    Parallel,
    RMSNorm,
    TruncatedNormal,
    Upsample,
    WeightNorm,
)
from tests.names import named

IMAGE = (2, 5, 6, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(3, 3, padding="valid"), "padding must be 'same' or a number of pixels, got 'valid'"),
        (lambda: Conv(3, 3, padding=-1), "padding must be 'same' or a number of pixels, got -1"),
        (lambda: Conv(0, 3), "inputs of Conv must be a positive whole number, got 0"),
        (lambda: Conv(3, 3, (0, 3)), r"kernel of Conv must be a positive whole number or several, got \(0, 3\)"),
        (lambda: Conv(3, 3, (3, 3, 3)), r"kernel of Conv must be one size or two, got \(3, 3, 3\)"),
        (lambda: Conv(3, 3, stride=0), "stride of Conv must be a positive whole number, got 0"),
        (lambda: Conv(4, 6, groups=4), "4 groups do not divide 4 inputs and 6 outputs"),
        (lambda: Conv1d(3, 3, padding="valid"), "padding must be 'same', 'causal' or a number of zeros, got 'valid'"),
        (lambda: Conv1d(3, 3, dilation=0), "dilation of Conv1d must be a positive whole number, got 0"),
        (
            lambda: ConvTranspose(3, 3, padding=-1),
            "padding of ConvTranspose must be a whole number, not negative",
        ),
        (lambda: ConvTranspose(3, 3, stride=2, output_padding=2), r"the output padding must be in \[0, stride\)"),
        (lambda: MultiHeadAttention(6, 4), "4 heads do not divide 6 features"),
        (lambda: Embedding(0, 4), "count of Embedding must be a positive whole number, got 0"),
        (lambda: GroupNorm(4, 3), "3 groups do not divide 4 channels"),
        (lambda: GroupNorm(4, 0), "groups of GroupNorm must be a positive whole number, got 0"),
        (lambda: Upsample(0), "factor of Upsample must be a positive whole number, got 0"),
        (lambda: Dropout(1.0, (3,)), r"rate of Dropout must be a number in \[0, 1\), got 1.0"),
        (lambda: Conv(3, 3, padding="same", stride=2), "'same' keeps the size, which a stride of 2 does not: give the"),
        (lambda: Conv1d(3, 3, padding="same", stride=3), "'same' keeps the size, which a stride of 3 does not"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(make: Callable[[], Layer], message: str):
    """A layer that cannot work is refused when it is made."""
    with pytest.raises(ValueError, match=message):
        make()


NUMBERS: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "epsilon of LayerNorm": (lambda each: LayerNorm(4, epsilon=each), (-1, -1e-9, np.inf)),
    "epsilon of RMSNorm": (lambda each: RMSNorm(4, each), (-1,)),
    "epsilon of GroupNorm": (lambda each: GroupNorm(4, 2, each), (-1,)),
    "epsilon of BatchNorm": (lambda each: BatchNorm(4, epsilon=each), (-1,)),
    "momentum of BatchNorm": (lambda each: BatchNorm(4, each), (0, 1.5)),
    "rate of Dropout": (lambda each: Dropout(each, (4,)), (-0.1, 1.0)),
    "std of TruncatedNormal": (TruncatedNormal, (-1.0,)),
    "bound of TruncatedNormal": (lambda each: TruncatedNormal(1.0, each), (0.0, -2.0)),
    "gain of KaimingUniform": (KaimingUniform, (-1.0,)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_out_of_range_are_refused_where_they_are_given(name: str):
    """A number that an option cannot be is refused by its name, and so are nan, texts and truth values."""
    make, outside = NUMBERS[name]
    for each in (*outside, np.nan):
        with pytest.raises(ValueError, match=f"{name} must be a number in .*, got"):
            make(each)
    for each in ("0.1", None, True):
        with pytest.raises(TypeError, match=f"{name} must be a number in .*, got"):
            make(each)
    make(np.float32(0.5))


MADE: dict[str, Callable[[Any], Layer]] = {
    "inputs of Dense": lambda size: Dense(size, 3),
    "outputs of Dense": lambda size: Dense(3, size),
    "inputs of Conv": lambda size: Conv(size, 3),
    "outputs of Conv": lambda size: Conv(3, size),
    "kernel of Conv": lambda size: Conv(3, 3, size),
    "stride of Conv": lambda size: Conv(3, 3, stride=size),
    "dilation of Conv": lambda size: Conv(3, 3, dilation=size),
    "groups of Conv": lambda size: Conv(3, 3, groups=size),
    "inputs of Conv1d": lambda size: Conv1d(size, 3),
    "kernel of Conv1d": lambda size: Conv1d(3, 3, size),
    "groups of Conv1d": lambda size: Conv1d(3, 3, groups=size),
    "outputs of ConvTranspose": lambda size: ConvTranspose(3, size),
    "kernel of ConvTranspose": lambda size: ConvTranspose(3, 3, (3, size)),
    "stride of ConvTranspose": lambda size: ConvTranspose(3, 3, stride=size),
    "features of Embedding": lambda size: Embedding(3, size),
    "channels of GroupNorm": lambda size: GroupNorm(size, 1),
    "groups of GroupNorm": lambda size: GroupNorm(4, size),
    "channels of BatchNorm": BatchNorm,
    "shape of LayerNorm": lambda size: LayerNorm((3, size)),
    "features of RMSNorm": RMSNorm,
    "heads of MultiHeadAttention": lambda size: MultiHeadAttention(4, size),
    "window of MaxPool": MaxPool,
    "stride of AveragePool": lambda size: AveragePool(2, size),
    "factor of Upsample": Upsample,
    "shape of Dropout": lambda size: Dropout(0.5, (3, size)),
}


@pytest.mark.parametrize("name", MADE)
def test_sizes_are_positive_whole_numbers(name: str):
    """A size that is zero, negative, a fraction, a text or a truth value is refused by its name, by every layer."""
    for size, error in ((0, ValueError), (-1, ValueError), (3.0, TypeError), ("3", TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"{name} must be a positive whole number.*, got"):
            MADE[name](size)


def test_sizes_may_be_numbers_of_numpy(rng: np.random.Generator):
    """A size that NumPy counted is a size."""
    assert Dense(np.int64(3), np.uint8(2)).init(rng)["weight"].shape == (3, 2)


def test_one_number_is_both_sides_of_a_kernel(rng: np.random.Generator):
    """`kernel=3` is `kernel=(3, 3)`: the same layer, which draws the same parameters."""
    for layer in (Conv, ConvTranspose):
        assert layer(2, 4, 3) == layer(2, 4, (3, 3))
        assert layer(2, 4, kernel=5).init(rng)["weight"].shape[:2] == (5, 5)
    x = rng.standard_normal(IMAGE).astype(np.float32)
    params = Conv(4, 2, (3, 3)).init(rng)
    np.testing.assert_array_equal(Conv(4, 2, 3)(params, x), Conv(4, 2, (3, 3))(params, x))


@pytest.mark.parametrize("container", [Chain, Fork, Parallel, Merge])
def test_what_is_composed_are_layers_and_functions(container: Callable[..., Layer]):
    """A container says of a number, a list or a class that it is no layer, where it is made."""
    for part, found in ((3, "got an int"), ([Dense(2, 2)], "got a list"), (None, "got None")):
        with pytest.raises(TypeError, match=f"a part of {container.__name__} must be a layer or function, {found}"):
            container(Dense(2, 2), part)
    with pytest.raises(TypeError, match=r"must be a layer or function, not a class; write Dense\(...\)"):
        container(Dense)


def test_parts_are_what_a_layer_makes_of_them():
    """What a layer applies, normalizes or combines with is refused where it is something else."""
    with pytest.raises(TypeError, match="what Activation applies must be a function, got an int"):
        Activation(3)
    with pytest.raises(TypeError, match="the layer of WeightNorm must be a layer, got an int"):
        WeightNorm(3)
    with pytest.raises(TypeError, match="combine must be a function, got 'add'"):
        Parallel(Dense(2, 2), combine="add")
    with pytest.raises(TypeError, match=r"the shape of dropout is that of one sample, as \(4,\), got 4"):
        Dropout(0.5, 4)


@pytest.mark.parametrize("layer", [MaxPool(2), AveragePool(2), GlobalMeanPool(), Upsample(2), Conv(4, 2)], ids=named)
def test_layers_of_images_take_images(layer: Layer, rng: np.random.Generator):
    """What is no batch of images is refused by a sentence with its shape."""
    with pytest.raises(ValueError, match=r"images have the shape \(batch, height, width, channels\), not \(2, 5, 4\)"):
        layer(layer.init(rng), np.ones((2, 5, 4)))
