"""Shares of a batch: who computes what, with which random numbers, and how gradients are put together."""

from __future__ import annotations

import numpy as np
import pytest

from equilib.autodiff import value_and_grad
from equilib.errors import RunError, UserError
from equilib.machine.ranks.group import Ranks
from equilib.machine.ranks.launched import Launched, launched, not_launched
from equilib.training.finite import check_finite
from equilib.training.gradient_sum import GradientSum, buckets
from equilib.training.sample_draws import SampleDraws
from equilib.training.shares import Share
from tests.training.small import network


class Only:
    """The communicator of a rank whose mates all have gradients of zero."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.sums = rank, size, []

    def gather(self, data: bytes):
        """Return this rank's bytes for all."""
        yield lambda: True
        return [data] * self.size

    def sum(self, values: np.ndarray):
        """Return the array, when it has been asked for often enough."""
        self.sums.append(values)
        answers = iter([False, False, True])
        yield lambda: next(answers)
        return values


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no watcher."""
    monkeypatch.setenv("EQUILIB_RANK_PATIENCE", "0")


@pytest.mark.parametrize("samples", [0, 1, 3, 4, 10])
def test_shares_are_a_partition(samples: int, unwatched: None) -> None:
    """Every sample has one rank, in their order; shares differ by one sample, and the first ranks have most."""
    shares = [Ranks(Only(rank, 4)).share(samples) for rank in range(4)]
    sizes = [share.stop - share.start for share in shares]
    assert [place for share in shares for place in range(samples)[share]] == list(range(samples))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1


def test_ranks_draw_what_one_process_would() -> None:
    """The rows of all ranks together are the arrays of one process, which is then at the same place."""
    whole, rows = np.random.default_rng(1), [slice(0, 4), slice(4, 7), slice(7, 10)]
    ranks = [SampleDraws(np.random.default_rng(1), 10, each) for each in rows]
    sizes = [each.stop - each.start for each in rows]

    def draws(rng: np.random.Generator, count: int) -> list[np.ndarray]:
        normal, scale = rng.standard_normal((count, 5)), rng.uniform(0.9, 1.1)
        return [normal, np.full((count, 1), scale), rng.integers(0, 9, size=count), rng.random((count, 2), np.float32)]

    expected = draws(whole, 10)
    found = [draws(rng, size) for rng, size in zip(ranks, sizes, strict=True)]
    for number, each in enumerate(expected):
        np.testing.assert_array_equal(np.concatenate([part[number] for part in found]), each)
    assert {rng.bit_generator.state["state"]["state"] for rng in (whole, *ranks)} == {
        whole.bit_generator.state["state"]["state"]
    }


def test_what_cannot_be_divided_is_refused() -> None:
    """A permutation of the batch has no rows that belong to samples."""
    with pytest.raises(UserError, match=r"rng\.permutation in a layer or a transform"):
        SampleDraws(np.random.default_rng(), 10, slice(0, 4)).permutation(10)


def test_ranks_that_are_out_of_step_are_refused() -> None:
    """Ranks whose random numbers are not at one place would go on with other batches."""
    one, other = (Share(np.arange(2), 5, SampleDraws(np.random.default_rng(n), 5, slice(0, 2))) for n in (1, 2))
    with pytest.raises(UserError, match="different random numbers"):
        one.settle([one.drawn(), other.drawn()])


def test_a_rank_without_samples_follows_the_others() -> None:
    """It has drawn nothing, and goes on from where those are that have."""
    rng, mate = np.random.default_rng(1), np.random.default_rng(1)
    full = Share(np.arange(1), 1, SampleDraws(mate, 1, slice(0, 1)))
    full.rng.random((1, 3))
    empty = Share(np.arange(0), 1, SampleDraws(rng, 1, slice(1, 1)))
    empty.settle([full.drawn(), empty.drawn()])
    assert rng.random() == mate.random()


def test_buckets_hold_every_leaf_once() -> None:
    """The last leaves travel first, a bucket has one dtype, and what is small travels with others."""
    leaves = [np.zeros(n, dtype) for n, dtype in ((3, "f4"), (9, "f4"), (1, "f4"), (2, "f8"), (2, "f8"))]
    assert buckets(leaves, 8) == [[4], [3], [2, 1], [0]]
    assert buckets(leaves, 1 << 20) == [[4, 3], [2, 1, 0]]
    assert buckets([], 8) == []


def test_leaves_arrive_before_the_backward_pass_has_ended(unwatched: None) -> None:
    """The gradient of the last layer is sent while the others are computed, and each arrives once, as it ends up."""
    model = network()
    params, x = model.init(np.random.default_rng(0)), np.ones((3, 4), np.float32)
    came: list[tuple[int, np.ndarray]] = []
    loss = lambda params: (model(params, x)[0] ** 2).sum()  # noqa: E731
    _, gradient = value_and_grad(loss, arrived=lambda number, leaf: came.append((number, leaf)))(params)
    whole = GradientSum(Ranks(Only(0, 1)), gradient)
    leaves = dict(came)
    assert len(leaves) == len(came) == len(whole._like)
    for number, leaf in leaves.items():
        np.testing.assert_array_equal(leaf, whole._like[number])
    assert came[0][0] > came[-1][0]


def test_a_gradient_comes_back_as_it_was_sent(unwatched: None) -> None:
    """Whether leaves arrived early or not, the sum with zeros is the gradient, in its structure."""
    like = {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32([1, 2]), np.ones(())]}
    total = GradientSum(Ranks(Only(0, 4)), like)
    total.arrived(2, like["b"][1])
    found = total.result(like)
    np.testing.assert_array_equal(found["a"], like["a"])
    np.testing.assert_array_equal(found["b"][0], like["b"][0])
    assert found["b"][1].shape == ()


@pytest.mark.parametrize(
    "given",
    [
        {"PMI_RANK": "2", "PMI_SIZE": "3"},
        {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "2"},
        {"PMIX_RANK": "2", "SLURM_STEP_NUM_TASKS": "3"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_launchers_are_known(given: dict[str, str]) -> None:
    """Each says by variables which process is which; what a rank starts is none itself."""
    assert launched(given) == Launched(2, 3)
    assert launched(not_launched(given | {"PATH": "/bin"})) is None


@pytest.mark.parametrize("given", [{}, {"PMI_RANK": "0", "PMI_SIZE": "1"}, {"PMI_RANK": "x", "PMI_SIZE": "2"}])
def test_a_program_by_itself_is_no_rank(given: dict[str, str]) -> None:
    """One process is what it always was, as is one in a batch script of Slurm."""
    assert launched(given | {"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}) is None


def test_the_rank_whose_loss_is_not_finite_is_named(unwatched: None) -> None:
    """All ranks refuse the batch in the same words, which say whose samples it was and how their solves ended."""
    model = network()
    _, record = model(model.init(np.random.default_rng(0)), np.ones((3, 4), np.float32))
    mates = Ranks(Only(1, 2))
    with pytest.raises(RunError, match=r"the loss became nan at batch 3 on rank 0 of 2 \(samples: 3 converged\)"):
        check_finite(np.nan, 1.0, place="batch 3", ranks=mates, own=(np.nan, {}, record))
    with pytest.raises(RunError, match=r"norm became inf at batch 3 \(by the sum of all ranks\)"):
        check_finite(1.0, np.inf, place="batch 3", ranks=mates, own=(1.0, {"a": np.ones(2)}, record))
