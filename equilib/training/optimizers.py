"""Optimizers over parameter trees: their protocol, Adam, and all of them by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from equilib.arrays import Array, array_namespace, in_single, to_host, zeros_like
from equilib.arrays.trees import Tree, leaves_like, tree_leaves, tree_map, tree_unflatten
from equilib.kernels import operation
from equilib.options import Checked, option
from equilib.options.named import made


class Optimizer(Protocol):
    """**Protocol:** updates of parameters from their gradients.

    1. Be a frozen dataclass; its fields are its options.
    2. The state is a frozen dataclass of trees and numbers, which a checkpoint can hold.
    3. Keep the dtype of the parameters.
    """

    def init(self, params: Tree) -> Any:
        """Return the state before the first update."""

    def update(self, params: Tree, gradient: Tree, state: Any, rate: float) -> tuple[Tree, Any]:
        """Return the parameters and the state after one step of size `rate`."""


@dataclass(frozen=True, kw_only=True)
class AdamState:
    """The moments of the gradient, trees like the parameters, and the number of updates."""

    mean: Tree
    square: Tree
    count: int


@dataclass(frozen=True)
class Adam(Checked):
    """Adam with decoupled weight decay (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2).

    The weight decay is for matrices and kernels only, as biases and the scales of a normalization have no scale to
    regularize.
    """

    beta1: float = option(0.9, help="keep so much of the mean of the gradients", minimum=0.0, exclusive_maximum=1.0)
    beta2: float = option(0.999, help="keep so much of the mean of their squares", minimum=0.0, exclusive_maximum=1.0)
    epsilon: float = option(1e-8, help="add this to the root of the mean square", exclusive_minimum=0.0)
    weight_decay: float = option(0.0, help="take this share of the weights off per unit of learning rate", minimum=0.0)

    def init(self, params: Tree) -> AdamState:
        """Return moments of zero."""
        zeros = tree_map(zeros_like, params)
        return AdamState(mean=zeros, square=zeros, count=0)

    def update(self, params: Tree, gradient: Tree, state: AdamState, rate: float) -> tuple[Tree, AdamState]:
        """Return the parameters and the state after one step of size `rate`.

        Raises ValueError if the structure of `gradient` is not that of `params`.
        """
        count = state.count + 1
        bias1, bias2 = 1 - self.beta1**count, 1 - self.beta2**count
        # A NumPy scalar would turn float32 parameters into float64.
        rate = float(rate)
        columns = [leaves_like(params, tree) for tree in (params, gradient, state.mean, state.square)]
        constants = rate, self.beta1, self.beta2, bias1, bias2, self.epsilon, self.weight_decay
        found, leaves = adam(columns[0], columns[1], columns[2], columns[3], *constants), len(columns[0])
        new, mean, square = (tree_unflatten(params, list(found[leaves * i : leaves * (i + 1)])) for i in range(3))
        return new, AdamState(mean=mean, square=square, count=count)


@operation("adam", leading=lambda params, *rest: largest(params))
def adam(
    params: Sequence[Array],
    gradient: Sequence[Array],
    mean: Sequence[Array],
    square: Sequence[Array],
    rate: float,
    beta1: float,
    beta2: float,
    bias1: float,
    bias2: float,
    epsilon: float,
    weight_decay: float,
) -> tuple[Array, ...]:
    """Return parameters of any shapes after a step with their gradient, then their moments: three times as many."""
    results = []
    for p, g, m, s in zip(params, gradient, mean, square, strict=True):
        xp = array_namespace(p)
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g * g)
        step = (m / bias1) / (xp.sqrt(s / bias2) + epsilon)
        if weight_decay and p.ndim > 1:
            step = step + weight_decay * p
        results.append((p - rate * step, m, s))
    return tuple(each[i] for i in range(3) for each in results)


def largest(arrays: Sequence[Array]) -> Array | None:
    """Return the array of the most elements, of any shapes; None of none."""
    return max(arrays, key=lambda each: prod(each.shape), default=None)


def clipped(gradient: Tree, norm: float, limit: float | None) -> Tree:
    """Return a gradient of that global norm scaled to `limit` if it is larger; None scales nothing.

    Pascanu, Mikolov & Bengio 2013, algorithm 1.
    """
    if limit is None:
        return gradient
    factor = limit / (norm + 1e-6)  # as PyTorch's clip_grad_norm_ has it
    return gradient if factor >= 1 else tree_map(lambda leaf: leaf * factor, gradient)


def global_norm(tree: Tree) -> float:
    """Return the Euclidean norm of all leaves together; nan or inf if an element is, or if its square overflows."""
    leaves = tree_leaves(tree)
    if not leaves:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(to_host(_squares(leaves)).sum(dtype=np.float64)))


@operation("squares", leading=lambda leaves: largest(leaves))
def _squares(leaves: Sequence[Array]) -> Array:
    """Return Σ x² of each array, shape (len(leaves),): one transfer from the device for all."""
    xp = array_namespace(*leaves)
    return xp.stack([xp.sum(leaf * leaf) for leaf in map(in_single, leaves)])


def optimizer(name: str, /, **options: Any) -> Optimizer:
    """Return the optimizer that a name stands for, as in `optimizer("adamw", weight_decay=0.1)`.

    Parameters
    ----------
    name : str
        As `equilib optimizers` lists it; it may have options of its own, as in "sgd:momentum=0.8".
    **options
        Values of its options.

    Raises
    ------
    UserError
        If nothing has that name, or it cannot be used here.
    OptionError
        If an option is unknown or refused.
    """
    found: Optimizer = made("optimizer", name, options)
    return found
