"""Mini-batches: every sample once, in an order that the seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from equilib.training.batches import batch_count, batch_of, shuffled


def epoch(count: int, size: int, seed: int = 0) -> list[np.ndarray]:
    """Return the batches of the first epoch of a seed."""
    order = shuffled(count, np.random.default_rng(seed))
    return [batch_of(order, size, index) for index in range(batch_count(count, size))]


@pytest.mark.parametrize(("count", "size"), [(10, 3), (12, 4), (3, 10), (1, 1), (100, 32)])
def test_an_epoch_has_every_sample_once(count: int, size: int) -> None:
    """All batches are full but for the last, which is kept, and together they are a permutation."""
    batches = epoch(count, size)
    assert sorted(np.concatenate(batches)) == list(range(count))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert len(batches[-1]) == (count % size or size)
    assert len(batches) == batch_count(count, size)


def test_the_seed_decides_the_order() -> None:
    """The same seed gives the same batches, another seed others."""
    first, again, other = (np.concatenate(epoch(50, 8, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_epochs_differ() -> None:
    """One generator gives each epoch another order."""
    rng = np.random.default_rng(0)
    first, second = (shuffled(50, rng) for _ in range(2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.arange(50))
