"""f(0, x) in a cheaper way than by a step from zeros."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import Picard, ops
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.autodiff import static_value, vjp
from equilib.layers import Chain, Conv, Dense, GroupNorm
from equilib.models import Cell, DeepEquilibrium, FromZero, InjectedCell, OneStepGuess, ResidualCell
from equilib.models.random_cell import RandomCell, for_pass
from equilib_experiments.recipes.architecture import SizedCell
from tests.arrays_under_test import lift, lower
from tests.models.multiscale_networks import IMAGES, VECTORS
from tests.models.small import CELL
from tests.models.test_passes import DROPPING

CONV = InjectedCell(
    Chain(Conv(1, 2, padding="same"), ops.tanh),
    Chain(Conv(2, 2, padding="same"), GroupNorm(2, 1), ops.tanh),
    Chain(Conv(2, 2, padding="same"), ops.tanh),
)


@dataclass(frozen=True)
class Plain:
    """A cell that knows nothing but steps."""

    cell: InjectedCell

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the parameters."""
        return self.cell.init(rng)

    def inject(self, params: Any, x: Any) -> Any:
        """Inject."""
        return self.cell.inject(params, x)

    def step(self, params: Any, z: Any, u: Any) -> Any:
        """Step."""
        return self.cell.step(params, z, u)

    def zeros(self, params: Any, u: Any) -> Any:
        """Return zeros."""
        return self.cell.zeros(params, u)


CELLS: dict[str, tuple[Cell, tuple[int, ...]]] = {
    "dense": (CELL, (4,)),
    "images": (CONV, (4, 4, 1)),
    "state of another size": (SizedCell(Dense(4, 5), Dense(3, 5), Chain(Dense(5, 3), ops.tanh), size=3), (4,)),
    "residual": (ResidualCell(CONV, Chain(GroupNorm(2, 2), ops.tanh)), (4, 4, 1)),
    "residual around one that only steps": (ResidualCell(Plain(CELL), Chain(ops.tanh)), (4,)),
    "two scales of vectors": (VECTORS, (3,)),
    "two scales of images": (IMAGES, (4, 4, 1)),
    # Neither scale but the first sees x within one step.
    "scales apart": (replace(VECTORS, mapping=((Chain(), None), (None, Chain()))), (3,)),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("samples", [1, 3])
def test_it_is_a_step_from_zeros_and_so_is_its_derivative(
    name: str, samples: int, xp: ModuleType, rng: np.random.Generator
):
    """The value, and the cotangents of all parameters and of x, are those of step(zeros)."""
    cell, shape = CELLS[name]
    assert isinstance(cell, FromZero)
    params = lift(xp, tree_map(lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape), cell.init(rng)))
    x = lift(xp, rng.standard_normal((samples, *shape)))

    def stepped(params: Any, x: Any) -> Any:
        u = cell.inject(params, x)
        return cell.step(params, cell.zeros(params, u), u)

    expected, expected_pull = vjp(stepped, params, x)
    found, pull = vjp(lambda params, x: cell.from_zero(params, cell.inject(params, x)), params, x)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(lower(found), lower(expected), atol=1e-14)
    assert np.max(np.abs(lower(found))) > 0.01
    cotangent = lift(xp, rng.standard_normal(expected.shape))
    for one, other in zip(tree_leaves(pull(cotangent)), tree_leaves(expected_pull(cotangent)), strict=True):
        np.testing.assert_allclose(lower(one), lower(other), atol=1e-13)


@dataclass(frozen=True)
class Watched(Dense):
    """A dense layer that notes how many samples it is given."""

    sizes: Any = None

    def __call__(self, params: Any, x: Any) -> Any:
        """Note the size of the batch, and apply the layer."""
        self.sizes.append(static_value(x).shape[0])
        return super().__call__(params, x)


def test_what_is_the_same_for_every_sample_is_evaluated_for_one(rng: np.random.Generator):
    """The guess f(0, x) applies `recur` to one sample, and counts as one evaluation; iterates are whole batches."""
    sizes: list[int] = []
    deq = DeepEquilibrium(replace(CELL, recur=Watched(5, 5, sizes=sizes)), Picard(), OneStepGuess(), fixed_depth=2)
    found = deq(deq.init(rng), rng.standard_normal((3, 4)).astype(np.float32))
    assert sizes == [1, 3, 3]
    assert found.nfe == 3


@pytest.mark.parametrize("cell", [DROPPING, ResidualCell(DROPPING, Chain(ops.tanh))], ids=["plain", "residual"])
def test_masks_of_the_samples_stay_their_own(cell: Cell, rng: np.random.Generator):
    """With dropout in it f(0, x) differs between samples with one x, and is that of the masks of the pass."""
    deq = DeepEquilibrium(cell, Picard(), OneStepGuess(), fixed_depth=1)
    params = tree_map(lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape), deq.init(rng))
    x = np.repeat(rng.standard_normal((1, 4)), 20, axis=0)
    found = deq(params, x, rng=np.random.default_rng(0)).z0
    drawn, own = for_pass(cell, params["cell"], x, np.random.default_rng(0))
    assert isinstance(drawn, RandomCell)
    assert not isinstance(drawn, FromZero)
    u = drawn.inject(own, x)
    np.testing.assert_array_equal(found, drawn.step(own, drawn.zeros(own, u), u))
    assert len({row.tobytes() for row in found}) > 1
