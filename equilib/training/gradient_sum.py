"""Sum of a gradient over shares and ranks, in buckets that travel while the rest of the backward pass is computed."""

from __future__ import annotations

from collections.abc import Sequence

from equilib.arrays import Array, Tree, array_namespace, tree_leaves, tree_unflatten, zeros
from equilib.machine.ranks.division import Division
from equilib.machine.ranks.group import Ranks
from equilib.machine.ranks.pending import Pending
from equilib.machine.ranks.tree_sum import TreeSum, added, nodes_of_ranks

BUCKET = 1 << 20
"""Bytes of a bucket at least, unless the leaves are fewer: so much at a time hides the latency of a message."""


class GradientSum:
    """The gradient of one batch: leaves of this rank's shares arrive, and a bucket is sent when those of all are added.

    The buckets are the same on all ranks, and are sent in the same order: that of the backward pass, in which the last
    parameters come first. `params` is the tree that the gradient is like.
    """

    def __init__(self, ranks: Ranks, params: Tree, division: Division) -> None:
        self._ranks, self._params, self._division = ranks, params, division
        self._like = tree_leaves(params)
        self._buckets = buckets(self._like, BUCKET)
        self._sums = [TreeSum(division.shares) for _ in self._buckets]
        self._shares = iter(division.own(ranks.rank))
        self._leaves: list[Array | None] = []
        self._begin()
        self._sent: list[Pending[Array]] = []

    @property
    def own(self) -> list[Array]:
        """What this rank's shares add up to, in pieces."""
        return [each for tree in self._sums for each in tree.sums.values()]

    def arrived(self, number: int, leaf: Array) -> None:
        """Take a leaf of this share's gradient; send what is full, and let go on what is under way."""
        self._leaves[number] = leaf
        for pending in self._sent:
            pending.advance()
        self._take()

    def end_share(self, gradient: Tree) -> None:
        """Take the whole gradient of this share; what arrives from now on is the next one's."""
        self._leaves = list(tree_leaves(gradient))
        self._take()
        self._begin()

    def result(self) -> Tree:
        """Return the sum over all shares."""
        while len(self._sent) < len(self._buckets) and self._ranks.size > 1:
            self._send()
        summed: list[Array | None] = [None] * len(self._like)
        for place, numbers in enumerate(self._buckets):
            tree = self._sums[place]
            flat, start = self._ranks.finish(self._sent[place]) if self._sent else tree.sums[tree.root], 0
            for number in numbers:
                like = self._like[number]
                summed[number] = array_namespace(flat).reshape(flat[start : start + like.size], like.shape)
                start += like.size
        return tree_unflatten(self._params, summed)

    def _begin(self) -> None:
        self._share = next(self._shares, None)
        self._leaves = [None] * len(self._like)
        self._taken = 0

    def _take(self) -> None:
        """Add the buckets of this share that are whole; send those to which no other share is to be added."""
        for numbers in self._buckets[self._taken :]:
            leaves = [self._leaves[number] for number in numbers]
            if self._share is None or any(leaf is None for leaf in leaves):
                return
            xp = array_namespace(*leaves)
            flat = xp.concat([xp.reshape(leaf, (-1,)) for leaf in leaves])
            self._sums[self._taken].put((self._share, self._share + 1), flat)
            self._taken += 1
            if self._ranks.size > 1 and self._share + 1 == self._division.own(self._ranks.rank).stop:
                self._send()

    def _send(self) -> None:
        """Send what this rank's shares add up to: as many rows as the rank with most has, some of zeros."""
        place, division = len(self._sent), self._division
        rows = list(self._sums[place].sums.values())
        most = max(map(len, nodes_of_ranks(division)))
        like = self._like[self._buckets[place][0]]
        size = sum(self._like[number].size for number in self._buckets[place])
        rows += [zeros((size,), like)] * (most - len(rows))
        xp = array_namespace(*rows)
        values = xp.reshape(rows[0], (1, -1)) if most == 1 else xp.stack(rows)
        self._sent.append(self._ranks.start_reduce(values, lambda found: added(found, division)))


def buckets(leaves: Sequence[Array], size: int) -> list[list[int]]:
    """Return the numbers of the leaves that travel together, the last first: `size` bytes at least, of one dtype."""
    found: list[list[int]] = []
    held = size
    for number in reversed(range(len(leaves))):
        if held >= size or leaves[number].dtype != leaves[number + 1].dtype:
            found.append([])
            held = 0
        found[-1].append(number)
        held += leaves[number].size * leaves[number].dtype.itemsize
    return found
