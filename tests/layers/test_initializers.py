from __future__ import annotations

from math import prod, sqrt

import numpy as np
import pytest
import scipy.stats

from equilib.layers import Conv, Dense, KaimingUniform, TruncatedNormal, glorot_uniform, ones, zeros
from equilib.layers.initializers import Initializer
from tests.names import named

SHAPE = (3, 3, 20, 30)
DRAWN: list[Initializer] = [TruncatedNormal(0.01), glorot_uniform, KaimingUniform()]


@pytest.mark.parametrize("initializer", [*DRAWN, zeros, ones], ids=named)
def test_values_are_float32_from_the_generator_alone(initializer: Initializer):
    """The same generator gives the same float32 array of the shape asked for; NumPy's global state plays no part."""
    first, again = (initializer(np.random.default_rng(3), SHAPE) for _ in range(2))
    assert first.shape == SHAPE
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("bound", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("std", [0.01, 1.0])
def test_a_truncated_normal_is_one(std: float, bound: float, rng: np.random.Generator):
    """It has mean 0 and the deviation asked for, is cut where its parent is, and is so distributed."""
    values = TruncatedNormal(std, bound)(rng, (40_000,)).astype(np.float64)
    parent = std / scipy.stats.truncnorm(-bound, bound).std()
    assert np.max(np.abs(values)) <= bound * parent * (1 + 1e-6)
    assert abs(np.mean(values)) < 4 * std / sqrt(values.size)
    assert np.std(values) == pytest.approx(std, rel=0.015)
    assert scipy.stats.kstest(values, scipy.stats.truncnorm(-bound, bound, scale=parent).cdf).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(50, 40), (3, 3, 10, 12), (5, 2, 16, 4)])
def test_uniform_limits(shape: tuple[int, ...], rng: np.random.Generator):
    """Glorot draws from ±√(6 / (fan-in + fan-out)), Kaiming from ±gain·√(3 / fan-in), fans over the kernel's window."""
    window, inputs, outputs = prod(shape[:-2]), shape[-2], shape[-1]
    for initializer, limit in (
        (glorot_uniform, sqrt(6 / (window * inputs + window * outputs))),
        (KaimingUniform(), sqrt(2) * sqrt(3 / (window * inputs))),
        (KaimingUniform(gain=1.0), sqrt(3 / (window * inputs))),
    ):
        values = initializer(rng, shape)
        assert 0.98 * limit < np.max(np.abs(values)) <= limit * (1 + 1e-6)
        assert scipy.stats.kstest(values.ravel(), scipy.stats.uniform(-limit, 2 * limit).cdf).pvalue > 1e-3


def test_layers_use_the_initializer_they_are_given(rng: np.random.Generator):
    """Weights come from `initial_weight`, biases are zeros."""
    for layer in (Dense(3, 4, initial_weight=ones), Conv(3, 4, initial_weight=ones)):
        params = layer.init(rng)
        assert np.all(params["weight"] == 1)
        assert not params["bias"].any()
