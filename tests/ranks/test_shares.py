"""Shares of a batch: who computes what, with which random numbers, and how gradients are put together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from equilib.autodiff import value_and_grad
from equilib.errors import RunError, UserError
from equilib.fixed_points.options import SolveOptions
from equilib.machine.ranks.division import Division
from equilib.machine.ranks.group import ALONE, Ranks
from equilib.machine.ranks.launched import Launched, launched, not_launched
from equilib.machine.ranks.tree_sum import TreeSum, added, nodes_of_ranks
from equilib.runs.agreement import check_shares
from equilib.training.finite import check_finite
from equilib.training.gradient_sum import GradientSum, buckets
from equilib.training.sample_draws import SampleDraws
from equilib.training.shares import Share, own_shares, settle
from tests.ranks.gradients import batch_gradient
from tests.ranks.program import doubled
from tests.training.small import network, trainer


class Only:
    """The communicator of a rank whose mates all have gradients of zero."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.sums = rank, size, []

    def gather(self, data: bytes):
        """Return this rank's bytes for all."""
        yield lambda: True
        return [data] * self.size

    def reduce(self, values: np.ndarray, add: Callable[[np.ndarray], np.ndarray]):
        """Return what is added, when it has been asked for often enough."""
        self.sums.append(values)
        answers = iter([False, False, True])
        yield lambda: next(answers)
        rows = np.zeros((self.size, *values.shape), values.dtype)
        rows[self.rank] = values
        return add(rows)


@pytest.mark.parametrize("shares", [1, 4, 7])
@pytest.mark.parametrize("samples", [1, 3, 4, 10])
def test_a_division_is_a_partition(samples: int, shares: int) -> None:
    """Every sample has one share and one rank, in their order; shares differ by one sample, and the first have most."""
    division = Division(samples, shares, 3)
    rows = [division.rows(share) for share in range(division.shares)]
    sizes = [share.stop - share.start for share in rows]
    assert [place for share in rows for place in range(samples)[share]] == list(range(samples))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1 <= sizes[-1]
    assert [share for rank in range(3) for share in division.own(rank)] == list(range(division.shares))
    assert [each for rank in range(3) for each in division.rows_of(rank)] == rows


@pytest.mark.parametrize("shares", [1, 2, 3, 5, 8, 12])
def test_a_sum_does_not_depend_on_the_ranks(shares: int) -> None:
    """It has the same bits whoever added which part of it, and is the sum."""
    values = np.random.default_rng(shares).standard_normal((shares, 40), np.float32)
    sums = []
    for ranks in range(1, shares + 3):
        division = Division(1000, shares, ranks)
        nodes = nodes_of_ranks(division)
        rows = np.zeros((ranks, max(map(len, nodes)), 40), np.float32)
        for rank in range(ranks):
            tree = TreeSum(shares)
            for share in division.own(rank):
                tree.put((share, share + 1), values[share])
            assert tuple(tree.sums) == nodes[rank]
            for place, each in enumerate(tree.sums.values()):
                rows[rank, place] = each
        sums.append(added(rows, division))
    np.testing.assert_array_equal(sums, [sums[0]] * len(sums))
    np.testing.assert_allclose(sums[0], values.sum(0), rtol=1e-4, atol=1e-5)


def test_more_ranks_than_shares_are_refused() -> None:
    """A rank that never has anything to do is a mistake; of a small batch that is how it is."""
    check_shares(4, Ranks(Only(0, 4)))
    check_shares(None, Ranks(Only(0, 5)))
    with pytest.raises(UserError, match=r"5 ranks have 4 shares of a batch \(--shares\): start 4 ranks at most"):
        check_shares(4, Ranks(Only(0, 5)))


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
        settle(np.random.default_rng(1), [one.drawn(), other.drawn()])


def test_a_rank_without_samples_follows_the_others() -> None:
    """It has drawn nothing, and goes on from where those are that have."""
    rng, mate, division = np.random.default_rng(1), np.random.default_rng(1), Division(1, 2, 2)
    (full,) = own_shares(np.arange(1), division, 0, mate)
    full.rng.random((1, 3))
    assert list(own_shares(np.arange(1), division, 1, rng)) == []
    settle(rng, [full.drawn()])
    assert rng.random() == mate.random()


def test_shares_of_one_rank_draw_what_one_process_would() -> None:
    """Each begins where the first began, and keeps the numbers of its own samples."""
    rng, whole = np.random.default_rng(1), np.random.default_rng(1)
    expected = whole.random((10, 3))
    found = [share.rng.random((share.rows.size, 3)) for share in own_shares(np.arange(10), Division(10, 4), 0, rng)]
    np.testing.assert_array_equal(np.concatenate(found), expected)
    assert rng.random() == whole.random()


def test_buckets_hold_every_leaf_once() -> None:
    """The last leaves travel first, a bucket has one dtype, and what is small travels with others."""
    leaves = [np.zeros(n, dtype) for n, dtype in ((3, "f4"), (9, "f4"), (1, "f4"), (2, "f8"), (2, "f8"))]
    assert buckets(leaves, 8) == [[4], [3], [2, 1], [0]]
    assert buckets(leaves, 1 << 20) == [[4, 3], [2, 1, 0]]
    assert buckets([], 8) == []


def test_leaves_arrive_before_the_backward_pass_has_ended() -> None:
    """The gradient of the last layer is sent while the others are computed, and each arrives once, as it ends up."""
    model = network()
    params, x = model.init(np.random.default_rng(0)), np.ones((3, 4), np.float32)
    came: list[tuple[int, np.ndarray]] = []
    loss = lambda params: (model(params, x)[0] ** 2).sum()  # noqa: E731
    _, gradient = value_and_grad(loss, arrived=lambda number, leaf: came.append((number, leaf)))(params)
    whole = GradientSum(Ranks(Only(0, 1)), gradient, Division(3, 1))
    leaves = dict(came)
    assert len(leaves) == len(came) == len(whole._like)
    for number, leaf in leaves.items():
        np.testing.assert_array_equal(leaf, whole._like[number])
    assert came[0][0] > came[-1][0]


def test_a_gradient_comes_back_as_it_was_sent() -> None:
    """Whether leaves arrived early or not, the sum with zeros is the gradient, in its structure."""
    like = {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32([1, 2]), np.ones(())]}
    total = GradientSum(Ranks(Only(0, 4)), like, Division(9, 4, 4))
    total.arrived(2, like["b"][1])
    total.end_share(like)
    found = total.result()
    np.testing.assert_array_equal(found["a"], like["a"])
    np.testing.assert_array_equal(found["b"][0], like["b"][0])
    assert found["b"][1].shape == ()


@pytest.mark.parametrize(("shares", "ranks"), [(3, 3), (5, 2), (4, 1)])
def test_the_gradient_of_a_batch_is_that_of_one_process(shares: int, ranks: int) -> None:
    """What shares of 10 samples give is added to the gradient of their mean loss, to the rounding of float64."""
    subject = doubled(trainer(network(options=SolveOptions(rtol=1e-14, on_failure="record"))))

    def gradient(division: Division, ranks: Ranks) -> np.ndarray:
        leaves = batch_gradient(subject, np.arange(10), division, ranks).values()
        return np.concatenate([leaf.ravel() for leaf in reversed(list(leaves))])

    expected, division = gradient(Division(10, 1), ALONE), Division(10, shares, ranks)
    if ranks == 1:
        found = gradient(division, ALONE)
    else:
        mates = [Only(rank, ranks) for rank in range(ranks)]
        for each in mates:
            gradient(division, Ranks(each))
        found = added(np.stack([np.concatenate(each.sums, axis=1) for each in mates]), division)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


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


def test_the_rank_whose_loss_is_not_finite_is_named() -> None:
    """All ranks refuse the batch in the same words, which say whose samples it was and how their solves ended."""
    model = network()
    _, record = model(model.init(np.random.default_rng(0)), np.ones((3, 4), np.float32))
    mates = Ranks(Only(1, 2))
    with pytest.raises(RunError, match=r"the loss became nan at batch 3 on rank 0 of 2 \(samples: 3 converged\)"):
        check_finite(np.nan, 1.0, place="batch 3", ranks=mates, gradient={}, own=[(1.0, record), (np.nan, record)])
    with pytest.raises(RunError, match=r"norm became inf at batch 3 \(by the sum of all shares\)"):
        check_finite(1.0, np.inf, place="batch 3", ranks=mates, gradient={"a": np.ones(2)}, own=[(1.0, record)])
