"""Derivatives of functions on trees of arrays: `linearize`, `vjp`, `jvp`, `value_and_grad`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from operator import is_
from typing import Any

import numpy as np
from autograd.tracer import Box

from equilib.arrays import Array, Tree, array_namespace, node_of
from equilib.autodiff.boxes import static_value
from equilib.autodiff.tape import Linearized
from equilib.errors import a, brief


def linearize(f: Callable[..., Tree], *args: Tree) -> Linearized:
    """Evaluate f(*args) once and keep its derivative at that point: zero where an argument has no influence.

    Raises
    ------
    NoDerivativeError
        If f returns objects, as NumPy's own functions make them of traced arrays.
    """
    return Linearized(f, *args)


def vjp(f: Callable[..., Tree], *args: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
    """Return f(*args) and the pullback w ↦ (Jᵀ·w for each argument); raises what `linearize` does."""
    linear = Linearized(f, *args)
    return linear.value, lambda cotangent: linear.vjp(cotangent, tuple(range(len(args))))


def jvp(f: Callable[..., Tree], args: tuple[Tree, ...], tangents: tuple[Tree, ...]) -> tuple[Tree, Tree]:
    """Return f(*args) and J·v for `tangents` of the same structure as `args`; raises what `linearize` does."""
    linear = Linearized(f, *args)
    return linear.value, linear.push(tangents, tuple(range(len(args))))


def value_and_grad(
    f: Callable[..., Any],
    *,
    has_aux: bool = False,
    allow_unused: bool = False,
    arrived: Callable[[int, Array], None] | None = None,
) -> Callable[..., tuple[Any, Tree]]:
    """Make a function that returns f's value and its gradient with respect to the first argument.

    Parameters
    ----------
    f : callable
        Maps (tree, ...) to a scalar array, or with `has_aux` to (scalar array, anything).
    has_aux : bool
        Whether f returns auxiliary results; they come back as `(value, aux)`, untraced.
    allow_unused : bool
        Whether a leaf without influence on f has the gradient zero, rather than being taken for a mistake.
    arrived : callable, optional
        Given the number of each leaf of the tree, and its gradient, of the leaf's shape, as soon as that is whole.

    Raises
    ------
    IndependentError
        If f does not depend on some floating leaf of its first argument, unless that is allowed.
    ValueError
        If f's value is not a scalar.
    """
    if not callable(f):
        raise TypeError(f"f must be a function, got {brief(f)}")

    def with_gradient(tree: Tree, *rest: Any) -> tuple[Any, Tree]:
        kept: list[Any] = []

        def scalar(leaves: Tree) -> Array:
            if not has_aux:
                return f(leaves, *rest)
            returned = f(leaves, *rest)
            if not isinstance(returned, tuple) or len(returned) != 2:
                found = a(type(static_value(returned)).__name__)
                raise TypeError(f"with has_aux=True f must return a pair, a scalar array and anything, got {found}")
            kept.append(returned[1])
            return returned[0]

        linear = Linearized(scalar, tree)
        value = linear.value
        inner = static_value(value)
        if not isinstance(inner, float) and getattr(inner, "shape", None) != ():
            what = f"an array of shape {inner.shape}" if hasattr(inner, "shape") else type(inner).__name__
            raise ValueError(f"value_and_grad needs a function that returns a scalar array, it returned {what}")
        seed = array_namespace(inner).ones_like(inner)
        (gradient,) = linear.vjp(seed, (0,), strict=not allow_unused, arrived=arrived)
        return ((value, stop_gradient(kept[0])) if has_aux else value), gradient

    return with_gradient


_PLAIN = frozenset((np.ndarray, str, float, int, bool, type(None)))


def stop_gradient(tree: Tree) -> Tree:
    """Return `tree` with every traced array, in fields of dataclasses too, replaced by its plain value."""
    if type(tree) in _PLAIN or isinstance(tree, Enum):  # records hold hundreds
        return tree
    if isinstance(tree, Box):
        return static_value(tree)
    if isinstance(tree, dict):
        plain = {key: stop_gradient(child) for key, child in tree.items()}
        return plain if any(plain[key] is not child for key, child in tree.items()) else tree
    if isinstance(tree, list | tuple):
        children = [stop_gradient(child) for child in tree]
        if all(map(is_, children, tree)):
            return tree
        return type(tree)(*children) if hasattr(tree, "_fields") else type(tree)(children)
    if (node := node_of(tree)) is not None:
        children = [stop_gradient(child) for child in node.children]
        return tree if all(map(is_, children, node.children)) else node.rebuild(children)
    if not is_dataclass(tree) or isinstance(tree, type):
        return tree
    values = {each.name: getattr(tree, each.name) for each in fields(tree) if each.init}
    changed = {name: plain for name, value in values.items() if (plain := stop_gradient(value)) is not value}
    return replace(tree, **changed) if changed else tree
