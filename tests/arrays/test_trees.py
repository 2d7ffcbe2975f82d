"""Trees of parameters: order, paths, and what may stand beside each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from equilib.arrays.trees import leaves_like, named_leaves, tree_leaves, tree_map, tree_unflatten


class Pair(NamedTuple):
    """A tuple with names."""

    left: Any
    right: Any


TREE = {"b": [1, (2, 3)], "a": {"deep": 4, "none": None, "empty": []}, "pair": Pair(5, {})}


def test_leaves_come_in_insertion_order():
    """Dicts keep the order in which they were filled; None and empty containers hold no leaves."""
    assert tree_leaves(TREE) == [1, 2, 3, 4, 5]


def test_paths_join_keys_and_positions():
    """A path leads from the root to the leaf; the path of a lone leaf is empty."""
    assert dict(named_leaves(TREE)) == {"b/0": 1, "b/1/0": 2, "b/1/1": 3, "a/deep": 4, "pair/0": 5}
    assert list(named_leaves(7)) == [("", 7)]
    assert list(named_leaves(None)) == []


def test_unflatten_undoes_leaves():
    """A tree is rebuilt from its leaves, each container with its type."""
    rebuilt = tree_unflatten(TREE, tree_leaves(TREE))
    assert rebuilt == TREE
    assert isinstance(rebuilt["pair"], Pair)
    assert isinstance(rebuilt["b"][1], tuple)
    assert rebuilt is not TREE
    assert rebuilt["b"] is not TREE["b"]


@pytest.mark.parametrize("count", [0, 4, 6])
def test_unflatten_counts(count: int):
    """Too few and too many leaves are refused with both numbers."""
    with pytest.raises(ValueError, match=f"the tree has 5 leaves, {count} were given"):
        tree_unflatten(TREE, list(range(count)))


def test_map_applies_leaf_by_leaf():
    """`tree_map` keeps the first tree's structure and passes the leaves at the same place together."""
    tens = tree_map(lambda leaf: 10 * leaf, TREE)
    assert tree_leaves(tree_map(lambda x, y: x + y, TREE, tens)) == [11, 22, 33, 44, 55]
    assert tree_map(lambda x: x + 1, 1) == 2
    assert tree_map(lambda x: x, None) is None


def test_dicts_are_matched_by_key():
    """The order of a dict's entries is no part of the structure: entries meet by key."""
    assert tree_map(lambda x, y: (x, y), {"w": 1, "b": 2}, {"b": 20, "w": 10}) == {"w": (1, 10), "b": (2, 20)}
    assert leaves_like({"w": 0, "b": 0}, {"b": 20, "w": 10}) == [10, 20]


def test_lists_and_tuples_stand_for_each_other():
    """Sequences are matched by position, whatever their type."""
    assert tree_map(lambda x, y: x * y, [2, 3], (5, 7)) == [10, 21]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"w": [1, 2]}, r"the trees differ: a dict with the keys \['b', 'w'\] against .* \['w'\]"),
        ({"w": [1, 2], "c": 0}, r"\['b', 'w'\] against a dict with the keys \['c', 'w'\]"),
        ({"w": [1], "b": 0}, "the trees differ at 'w': a list of 2 against a list of 1"),
        ({"w": {"0": 1, "1": 2}, "b": 0}, "the trees differ at 'w': a list of 2 against a dict"),
        ({"w": [1, None], "b": 0}, r"the trees differ at 'w/1': a leaf \(int\) against nothing"),
        ({"w": [1, [2]], "b": 0}, r"the trees differ at 'w/1': a leaf \(int\) against a list of 1"),
        ([[1, 2], 0], "against a list of 2"),
        (3, r"against a leaf \(int\)"),
    ],
)
def test_trees_that_differ_are_refused(other: Any, message: str):
    """Trees of different structures never meet leaf by leaf; the error says where they part."""
    with pytest.raises(ValueError, match=message):
        tree_map(lambda x, y: x, {"w": [1, 2], "b": 0}, other)


def test_nothing_matches_nothing_only():
    """None stands beside None."""
    assert leaves_like((None, 1), (None, 2)) == [2]
    with pytest.raises(ValueError, match="nothing against a leaf"):
        leaves_like(None, 1)
