"""Sums over the shares of a batch in the order of a binary tree, which is the same whatever the number of ranks."""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

from equilib.arrays import Array
from equilib.machine.ranks.division import Division

Node: TypeAlias = tuple[int, int]
"""A node of the tree: the shares from the first number to before the second; its children are its two halves."""


class TreeSum:
    """The sum over so many shares: that of a node is that of its left half plus that of its right half.

    `sums` are those of the largest nodes that are known so far.
    """

    def __init__(self, shares: int) -> None:
        self.root: Node = (0, shares)
        self.sums: dict[Node, Array] = {}

    def put(self, node: Node, value: Array) -> None:
        """Take the sum of a node, that of a share is itself, and add what can be added."""
        self._put(self.root, node, value)

    def _put(self, at: Node, node: Node, value: Array) -> None:
        if at == node:
            self.sums[node] = value
            return
        left, right = _halves(at)
        self._put(left if node[0] < right[0] else right, node, value)
        if left in self.sums and right in self.sums:
            self.sums[at] = self.sums.pop(left) + self.sums.pop(right)


@cache
def nodes_of_ranks(division: Division) -> tuple[tuple[Node, ...], ...]:
    """Return for each rank the largest nodes that hold no other rank's shares, in their order."""
    return tuple(_within((0, division.shares), division.own(rank)) for rank in range(division.ranks))


def added(rows: Array, division: Division) -> Array:
    """Return the sum over all shares, shape (columns,), of rows of shape (ranks, most, columns): the ranks' nodes."""
    tree = TreeSum(division.shares)
    for rank, nodes in enumerate(nodes_of_ranks(division)):
        for place, node in enumerate(nodes):
            tree.put(node, rows[rank, place, ...])
    return tree.sums[tree.root]


def _halves(node: Node) -> tuple[Node, Node]:
    first, end = node
    middle = (first + end + 1) // 2  # as ranks divide shares: two have a half each
    return (first, middle), (middle, end)


def _within(at: Node, own: range) -> tuple[Node, ...]:
    if at[0] >= own.stop or at[1] <= own.start:
        return ()
    if own.start <= at[0] and at[1] <= own.stop:
        return (at,)
    return tuple(node for half in _halves(at) for node in _within(half, own))
