"""Optimizers over parameter trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.trees import Tree, tree_leaves, tree_map, tree_unflatten


@dataclass(frozen=True, kw_only=True)
class AdamState:
    """The moments of the gradient, trees like the parameters, and the number of updates."""

    mean: Tree
    square: Tree
    count: int


@dataclass(frozen=True)
class Adam:
    """Adam with decoupled weight decay (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2).

    Parameters
    ----------
    beta1, beta2 : float
        Decay of the first and of the second moment, in [0, 1).
    epsilon : float
    weight_decay : float
        Share of the weights taken off per unit of learning rate; matrices and kernels only, as biases and the
        scales of a normalization have no scale to regularize.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def init(self, params: Tree) -> AdamState:
        """Return moments of zero."""
        return AdamState(mean=tree_map(_zeros_like, params), square=tree_map(_zeros_like, params), count=0)

    def update(self, params: Tree, gradient: Tree, state: AdamState, rate: float) -> tuple[Tree, AdamState]:
        """Return the parameters and the state after one step of size `rate`."""
        count = state.count + 1
        bias1, bias2 = 1 - self.beta1**count, 1 - self.beta2**count
        leaves = zip(*map(tree_leaves, (params, gradient, state.mean, state.square)), strict=True)
        results = [self._leaf(p, g, mean, square, rate, bias1, bias2) for p, g, mean, square in leaves]
        new, mean, square = (tree_unflatten(params, [r[i] for r in results]) for i in range(3))
        return new, AdamState(mean=mean, square=square, count=count)

    def _leaf(
        self, p: Array, g: Array, mean: Array, square: Array, rate: float, bias1: float, bias2: float
    ) -> tuple[Any, Any, Any]:
        xp = array_namespace(p)
        mean = self.beta1 * mean + (1 - self.beta1) * g
        square = self.beta2 * square + (1 - self.beta2) * (g * g)
        step = (mean / bias1) / (xp.sqrt(square / bias2) + self.epsilon)
        if self.weight_decay and p.ndim > 1:
            step = step + self.weight_decay * p
        return p - rate * step, mean, square


def _zeros_like(leaf: Array) -> Array:
    return array_namespace(leaf).zeros_like(leaf)


def global_norm(tree: Tree) -> float:
    """Return the Euclidean norm of all leaves together."""
    squares = [float(array_namespace(leaf).sum(leaf * leaf)) for leaf in tree_leaves(tree)]
    return float(np.sqrt(sum(squares)))
