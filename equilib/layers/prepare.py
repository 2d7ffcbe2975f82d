"""Prepared constants of a layer: computed, or drawn, once for the many evaluations of a pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np

from equilib.arrays import Array
from equilib.arrays.trees import Tree

OfChild = Callable[[Any, Tree], Tree]
"""(child, its parameters) to a tree."""


@runtime_checkable
class Container(Protocol):
    """**Protocol:** something made of layers, whose parameters hold theirs: a layer, a cell, an initial guess."""

    def map_children(self, function: OfChild, params: Tree) -> Tree:
        """Return a tree like the parameters, with `function(child, its parameters)` in place of those of each child."""


@runtime_checkable
class Preparable(Protocol):
    """**Protocol:** a layer with parameters that it can use in another form, computed once for many evaluations."""

    def prepare(self, params: Tree) -> Tree:
        """Return that form; `__call__` takes it, and takes parameters as they are drawn."""


@runtime_checkable
class Random(Protocol):
    """**Protocol:** a layer whose training needs random numbers, which stay the same during a solve."""

    def draw(self, x: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Draw arrays of shape (batch, ...) for the batch x; `__call__` finds them among its parameters."""


# To ask for a protocol takes ten times longer than to ask for a name, and this is asked of every layer in each pass.


def _is_container(layer: object) -> TypeGuard[Container]:
    return hasattr(layer, "map_children")


def _is_preparable(layer: object) -> TypeGuard[Preparable]:
    return hasattr(layer, "prepare")


def _is_random(layer: object) -> TypeGuard[Random]:
    return hasattr(layer, "draw")


def prepare(layer: object, params: Tree) -> Tree:
    """Prepare the parameters of a layer and of all layers in it."""
    if _is_container(layer):
        return layer.map_children(prepare, params)
    return layer.prepare(params) if _is_preparable(layer) else params


def draw(layer: object, params: Tree, x: Array, rng: np.random.Generator | None) -> Tree:
    """Draw the random arrays of a layer and of all layers in it: a tree like the parameters.

    It has no leaves where no layer is `Random`, or for inference: without random numbers.
    """
    if _is_container(layer):
        return layer.map_children(lambda child, own: draw(child, own, x, rng), params)
    return layer.draw(x, rng) if _is_random(layer) and rng is not None else {}


def merge(params: Tree, drawn: Tree) -> Tree:
    """Put what was drawn among the parameters."""
    if isinstance(drawn, dict) and isinstance(params, dict):
        return {**params, **{key: merge(params.get(key), each) for key, each in drawn.items()}}
    if isinstance(drawn, list):
        return [merge(own, each) for own, each in zip(params, drawn, strict=True)]
    return params if isinstance(drawn, dict) else drawn


def with_draws(layer: object, params: Tree, x: Array, rng: np.random.Generator | None) -> Tree:
    """Return the parameters with what the layer draws for one pass over the batch x, if there are random numbers."""
    return params if rng is None else merge(params, draw(layer, params, x, rng))
