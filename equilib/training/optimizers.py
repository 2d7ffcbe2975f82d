"""Optimizers over parameter trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.arrays import Array, array_namespace, to_host
from equilib.arrays.trees import Tree, leaves_like, tree_leaves, tree_map, tree_unflatten


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
        Positive.
    weight_decay : float
        Share of the weights taken off per unit of learning rate; matrices and kernels only, as biases and the
        scales of a normalization have no scale to regularize.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not self.epsilon > 0:
            raise ValueError(f"epsilon must be positive, got {self.epsilon}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")

    def init(self, params: Tree) -> AdamState:
        """Return moments of zero."""
        return AdamState(mean=tree_map(_zeros_like, params), square=tree_map(_zeros_like, params), count=0)

    def update(self, params: Tree, gradient: Tree, state: AdamState, rate: float) -> tuple[Tree, AdamState]:
        """Return the parameters and the state after one step of size `rate`.

        Raises
        ------
        ValueError
            If the structure of `gradient` is not that of `params`.
        """
        count = state.count + 1
        bias1, bias2 = 1 - self.beta1**count, 1 - self.beta2**count
        # A NumPy scalar would turn float32 parameters into float64.
        rate = float(rate)
        columns = [leaves_like(params, tree) for tree in (params, gradient, state.mean, state.square)]
        results = [self._leaf(p, g, m, s, rate, bias1, bias2) for p, g, m, s in zip(*columns, strict=True)]
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
    """Return the Euclidean norm of all leaves together; nan or inf if an element is, or if its square overflows."""
    leaves = tree_leaves(tree)
    if not leaves:
        return 0.0
    xp = array_namespace(*leaves)
    with np.errstate(over="ignore", invalid="ignore"):
        # One transfer from the device for all leaves.
        squares = to_host(xp.stack([xp.sum(leaf * leaf) for leaf in leaves]))
        return float(np.sqrt(squares.sum(dtype=np.float64)))
