"""Convolution a line of the kernel at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.signal import correlate

from equilib import ops
from equilib.machine import threads as workers
from equilib.ops import convolution
from equilib.ops.host import convolution as lines
from equilib.ops.host.convolution import WIDE
from equilib.ops.windows import Pair

UNIT = (1, 1)
GEOMETRIES = [
    ((3, 3), UNIT, ((1, 1), (1, 1))),
    ((3, 3), UNIT, ((0, 0), (0, 0))),
    ((2, 4), UNIT, ((0, 1), (1, 2))),
    ((5, 1), UNIT, ((2, 2), (0, 0))),
    ((1, 3), UNIT, ((0, 0), (3, 4))),
    ((4, 4), (2, 2), ((1, 1), (1, 1))),
    ((3, 2), (2, 3), ((0, 2), (1, 0))),
    ((2, 3), (3, 2), ((1, 0), (0, 0))),
]


@pytest.fixture(params=[1, 2, 3], ids=lambda count: f"{count} threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Go by lines, in small blocks, and let so many threads share the samples, whatever the size of the arrays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "_count", request.param)
        patch.setattr(workers, "_WORTHWHILE", 0)
        patch.setattr(lines, "_BLOCK", 5_000)
        patch.setattr(convolution, "WIDE", 0)
        yield request.param


@pytest.mark.parametrize(("kernel", "stride", "padding"), GEOMETRIES)
def test_lines_are_a_correlation(
    rng: np.random.Generator, threads: int, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair]
) -> None:
    """Line by line, the result is SciPy's correlation summed over the input channels, whoever computes which sample."""
    x, weight = rng.standard_normal((7, 7, 6, 3)), rng.standard_normal((*kernel, 3, 4))
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    expected = np.stack(
        [
            np.stack([correlate(image, weight[..., k], mode="valid")[..., 0] for k in range(4)], axis=-1)
            for image in padded
        ]
    )[:, :: stride[0], :: stride[1]]
    np.testing.assert_allclose(ops.conv2d(x, weight, stride, padding), expected, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "padding"), GEOMETRIES)
def test_the_transpose_by_lines_is_the_transpose(
    rng: np.random.Generator, threads: int, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair]
) -> None:
    """⟨g, conv2d(x, w)⟩ = ⟨conv2d_weight_transpose(x, g), w⟩, line by line."""
    x, weight = rng.standard_normal((7, 7, 6, 3)), rng.standard_normal((*kernel, 3, 4))
    y = ops.conv2d(x, weight, stride, padding)
    g = rng.standard_normal(y.shape)
    transposed = ops.conv2d_weight_transpose(x, g, kernel, stride, padding)
    np.testing.assert_allclose(np.sum(transposed * weight), np.sum(g * y), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wide_images_give_what_narrow_ones_add_up_to(rng: np.random.Generator, dtype: str) -> None:
    """A convolution over wide lines equals the sum of convolutions over its channels taken a few at a time."""
    channels = WIDE
    x = rng.standard_normal((3, 5, 6, channels)).astype(dtype)
    weight = rng.standard_normal((3, 3, channels, 8)).astype(dtype)
    padding = ((1, 1), (1, 1))
    parts = [ops.conv2d(x[..., c : c + 8], weight[:, :, c : c + 8], (1, 1), padding) for c in range(0, channels, 8)]
    whole = ops.conv2d(x, weight, (1, 1), padding)
    assert whole.dtype == dtype
    assert whole.flags.c_contiguous
    np.testing.assert_allclose(whole, sum(parts), rtol=0, atol=2e-3 if dtype == "float32" else 1e-11)


def test_a_wide_kernel_that_does_not_fit_is_refused(rng: np.random.Generator) -> None:
    """A kernel larger than the image is the same error whichever way the convolution is done."""
    with pytest.raises(ValueError, match="does not fit"):
        ops.conv2d(rng.standard_normal((1, 2, 2, WIDE)), rng.standard_normal((3, 3, WIDE, 1)))


def test_a_nan_stays_in_its_image(rng: np.random.Generator) -> None:
    """A NaN in one image leaves the convolution of the others as it is, bit for bit."""
    x, weight = rng.standard_normal((3, 5, 5, WIDE)), rng.standard_normal((3, 3, WIDE, 4))
    spoiled = x.copy()
    spoiled[1, 2, 2, 0] = np.nan
    clean, dirty = ops.conv2d(x, weight), ops.conv2d(spoiled, weight)
    assert np.array_equal(clean[[0, 2]], dirty[[0, 2]])
    assert np.isnan(dirty[1]).any()
