"""Mini-batches: every sample once, in an order that the seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from equilib.options import OptionError
from equilib.training.plan import Plan, batches
from tests.training.small import trainer


def epoch(count: int, size: int, seed: int = 0) -> list[np.ndarray]:
    """Return the batches of the first epoch of a seed."""
    order = np.random.default_rng(seed).permutation(count)
    return [order[place] for place in batches(count, size)]


@pytest.mark.parametrize(("count", "size"), [(10, 3), (12, 4), (3, 10), (1, 1), (100, 32)])
def test_an_epoch_has_every_sample_once(count: int, size: int) -> None:
    """All batches are full but for the last, which is kept, and together they are a permutation."""
    found = epoch(count, size)
    assert sorted(np.concatenate(found)) == list(range(count))
    assert [len(batch) for batch in found[:-1]] == [size] * (len(found) - 1)
    assert len(found[-1]) == (count % size or size)
    assert len(found) == -(-count // size)
    assert batches(count, size)[-1].stop == count  # the array API leaves places beyond the end undefined


def test_the_seed_decides_the_order() -> None:
    """The same seed gives the same batches, another seed others."""
    first, again, other = (np.concatenate(epoch(50, 8, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_epochs_differ() -> None:
    """A trainer gives each epoch another order."""
    subject, orders = trainer(), []
    subject.after_batch = lambda: orders.append(subject.state().order)
    list(subject.epochs())
    assert not np.array_equal(orders[0], orders[7])
    assert not np.array_equal(orders[0], np.arange(50))


@pytest.mark.parametrize("epochs", [0, 1])
def test_no_depth_of_pretraining_is_refused(epochs: int) -> None:
    """Zero applications of the cell pretrain nothing, whether there is pretraining or not."""
    with pytest.raises(OptionError, match="'pretrain_depth' expects an int >= 1, got 0"):
        Plan(epochs=1, batch_size=2, pretrain_depth=0, pretrain_epochs=epochs)
