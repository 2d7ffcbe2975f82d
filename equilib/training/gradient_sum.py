"""Sum of a gradient over the ranks, in buckets that travel while the rest of the backward pass is computed."""

from __future__ import annotations

from collections.abc import Sequence

from equilib.arrays import Array, Tree, array_namespace, tree_leaves, tree_unflatten, zeros_like
from equilib.machine.ranks.group import Ranks
from equilib.machine.ranks.pending import Pending

BUCKET = 1 << 20
"""Bytes of a bucket at least, unless the leaves are fewer: so much at a time hides the latency of a message."""


class GradientSum:
    """The gradient of one batch: leaves arrive, and a bucket of them is sent when it is full.

    The buckets are the same on all ranks, and are sent in the same order: that of the backward pass, in which the last
    parameters come first. `params` is the tree that the gradient is like.
    """

    def __init__(self, ranks: Ranks, params: Tree) -> None:
        self._ranks, self._params = ranks, params
        self._like = tree_leaves(params)
        self._buckets = buckets(self._like)
        self._leaves: list[Array | None] = [None] * len(self._like)
        self._sent: list[Pending[Array]] = []

    def arrived(self, number: int, leaf: Array) -> None:
        """Take a leaf of this rank's gradient; send what is full, and let go on what is under way."""
        self._leaves[number] = leaf
        for pending in self._sent:
            pending.advance()
        self._send()

    def result(self, gradient: Tree | None) -> Tree:
        """Return the sum over the ranks, given this rank's whole gradient; None is a gradient of zero."""
        self._leaves = [zeros_like(leaf) for leaf in self._like] if gradient is None else list(tree_leaves(gradient))
        self._send()
        summed: list[Array | None] = [None] * len(self._like)
        for numbers, pending in zip(self._buckets, self._sent, strict=True):
            flat, start = self._ranks.finish(pending), 0
            for number in numbers:
                like = self._like[number]
                summed[number] = array_namespace(flat).reshape(flat[start : start + like.size], like.shape)
                start += like.size
        return tree_unflatten(self._params, summed)

    def _send(self) -> None:
        while len(self._sent) < len(self._buckets):
            leaves = [self._leaves[number] for number in self._buckets[len(self._sent)]]
            if any(leaf is None for leaf in leaves):
                return
            xp = array_namespace(*leaves)
            self._sent.append(self._ranks.start_sum(xp.concat([xp.reshape(leaf, (-1,)) for leaf in leaves])))


def buckets(leaves: Sequence[Array], size: int = BUCKET) -> list[list[int]]:
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
