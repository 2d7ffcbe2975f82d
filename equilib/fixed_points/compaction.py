"""Active-set compaction: states of solvers with some of their samples, and put together again."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, TypeVar

import numpy as np

from equilib.arrays import Array, array_namespace, is_array, put_rows, take_rows, zeros
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.solver import SolverState

S = TypeVar("S")


class SharedStateError(ValueError):
    """A solver's state holds something of which it is not known what belongs to which sample."""


def restricted_state(f: Evaluator, state: S, rows: np.ndarray) -> S:
    """Return a solver's state with the samples `rows` only: what a solve does where the solver has no `restrict`.

    A linearization in the state is made anew at these samples' iterates, which costs an evaluation.

    Parameters
    ----------
    f : Evaluator
        That of these samples.
    state : SolverState
        Dataclasses, tuples, lists and dicts of arrays whose axis 0 is the batch, and of what belongs to no sample.
    rows : ndarray of int, shape (samples,)

    Raises
    ------
    SharedStateError
        If the axis 0 of an array is not the batch, or the state holds something else of which it is not known what
        belongs to which sample, such as a function.
    """
    standing: SolverState = state  # type: ignore[assignment]  # a bound would lose the state's own type
    z = standing.z
    restricted: S = take_samples(state, rows, batch=z.shape[0], linearize=lambda: f.linearize(take_rows(z, rows)))
    return restricted


def take_samples(
    tree: Any, rows: np.ndarray, *, batch: int, linearize: Callable[[], Linearization] | None = None
) -> Any:
    """Return what `restricted_state` does, of any arrays (batch, ...); `linearize` replaces a linearization.

    Raises
    ------
    SharedStateError
        As `restricted_state`.
    """
    if isinstance(tree, Linearization) and linearize is not None:
        return linearize()
    if tree is None or isinstance(tree, str | Enum | numbers.Number):
        return tree
    if is_array(tree):
        if tree.shape[:1] != (batch,):
            raise SharedStateError(
                f"axis 0 of an array in the state, of shape {tuple(tree.shape)}, is not the batch of {batch}; "
                "arrange it so, or restrict it in the solver's `restrict`"
            )
        return take_rows(tree, rows)
    # By its name, not by a closure that calls itself: that would keep the arrays until they are collected.
    take = partial(take_samples, rows=rows, batch=batch, linearize=linearize)
    if isinstance(tree, tuple | list):
        return _same_kind(tree, [take(each) for each in tree])
    if isinstance(tree, dict):
        return {key: take(each) for key, each in tree.items()}
    if is_dataclass(tree) and not isinstance(tree, Linearization):
        return _with_fields(tree, {each.name: take(getattr(tree, each.name)) for each in fields(tree)})
    raise SharedStateError(
        f"the state holds a {type(tree).__name__}, and it cannot be told which sample needs what of it; "
        "restrict it in the solver's `restrict`"
    )


def put_samples(whole: Any, part: Any, rows: np.ndarray, *, batch: int) -> Any:
    """Return the state `whole`, arrays (batch, ...), with the samples `rows` as they are in the state `part`.

    Histories that have grown in `part` since are filled up with zeros in `whole`. What belongs to no sample is that of
    `part`.
    """
    if whole is part:
        return whole
    if whole is None or part is None:
        return None
    if isinstance(whole, Linearization) and isinstance(part, Linearization):
        return _joined(whole, part, rows)
    if is_array(whole) and whole.ndim:
        return put_rows(_filled(whole, part.shape), _filled(part, whole.shape), rows)
    put = partial(put_samples, rows=rows, batch=batch)
    if isinstance(whole, tuple | list):
        longer, shorter = max(whole, part, key=len), min(whole, part, key=len)
        missing = [_zeros_like(each, len(rows) if part is shorter else batch) for each in longer[len(shorter) :]]
        first, second = ([*each, *missing] if each is shorter else each for each in (whole, part))
        return _same_kind(whole, [put(*pair) for pair in zip(first, second, strict=True)])
    if isinstance(whole, dict):
        return {key: put(whole[key], part[key]) for key in whole}
    if is_dataclass(whole) and type(whole) is type(part):
        return _with_fields(
            whole, {each.name: put(getattr(whole, each.name), getattr(part, each.name)) for each in fields(whole)}
        )
    return part


def _same_kind(like: Any, items: list[Any]) -> Any:
    return type(like)(*items) if hasattr(like, "_fields") else type(like)(items)


def _with_fields(value: Any, found: dict[str, Any]) -> Any:
    # Only what has changed: what a dataclass computes for itself cannot be given to it.
    changed = {name: each for name, each in found.items() if each is not getattr(value, name)}
    return replace(value, **changed) if changed else value


def _zeros_like(array: Array, batch: int) -> Array:
    return zeros((batch, *array.shape[1:]), array)


def _filled(array: Array, shape: tuple[int, ...]) -> Array:
    """Return the array with zeros at the end of each axis but the first, up to the given shape."""
    for axis in range(1, array.ndim):
        missing = shape[axis] - array.shape[axis]
        if missing > 0:
            end = zeros((*array.shape[:axis], missing, *array.shape[axis + 1 :]), array)
            array = array_namespace(array).concat((array, end), axis=axis)
    return array


def _joined(whole: Linearization, part: Linearization, rows: np.ndarray) -> Linearization:
    def inputs_vjp(w: Array) -> tuple[Any, ...]:
        raise TypeError("samples were removed on the way to this linearization; linearize the problem again")

    return Linearization(
        value=put_rows(whole.value, part.value, rows),
        jvp=lambda v: put_rows(whole.jvp(v), part.jvp(take_rows(v, rows)), rows),
        vjp=lambda w: put_rows(whole.vjp(w), part.vjp(take_rows(w, rows)), rows),
        inputs_vjp=inputs_vjp,
    )
