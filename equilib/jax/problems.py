"""Problems of a user's f in JAX: the map of arrays that is compiled, and the arrays it depends on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equilib.arrays import Tree
from equilib.fixed_points.arguments import check_declared
from equilib.fixed_points.boundary import explain
from equilib.jax.closures import Closure, taken_apart
from equilib.jax.maps import Arrays, Map
from equilib.jax.states import Packing
from equilib.options.kinds import described

KEPT = 256
"""Maps that are kept with what was compiled for them; beyond that, the one used longest ago is forgotten."""

_maps: OrderedDict[Any, tuple[Map, Callable[..., Tree]]] = OrderedDict()
_one_at_a_time = RLock()  # comparing keys may run what a user wrote, and that solve


@dataclass(frozen=True)
class Posed:
    """A map of arrays, the arrays that it depends on, and which of those have the batch axis, if that is known.

    `value(state, arrays)` is what the user's f returns, with its auxiliary outputs.
    """

    f: Map
    value: Callable[[Tree, Arrays], Tree]
    arrays: tuple[jax.Array, ...]
    batched: tuple[bool, ...] | None


def posed(
    f: Callable[..., Tree],
    inputs: Sequence[Tree],
    packing: Packing,
    *,
    has_aux: bool = False,
    batched_inputs: Sequence[bool] | None = None,
    timed: bool = False,
) -> Posed:
    """Return the problem of f and its inputs, with the map of an earlier call where that was of the same code.

    Where it is `timed`, f takes a time before the state: the first of the arrays that the map is given.
    """
    check_declared(batched_inputs, len(inputs))
    trees = [jax.tree.flatten(each) for each in inputs]
    structures = [structure for _, structure in trees]
    found = [[jnp.asarray(leaf) if _is_number(leaf) else leaf for leaf in each] for each, _ in trees]

    def parted(*, keep: bool = False) -> tuple[Closure, list[list[Closure]], Any]:
        function = taken_apart(f, keep=keep)
        leaves = [[taken_apart(leaf, keep=keep) for leaf in each] for each in found]
        keys = tuple(tuple(part.key for part in parts) for parts in leaves)
        return function, leaves, (function.key, tuple(structures), keys, packing, has_aux, timed)

    function, leaves, key = parted()
    flags = [False] * len(function.arrays)
    for number, parts in enumerate(leaves):
        count = sum(len(part.arrays) for part in parts)
        flags += [batched_inputs is not None and bool(batched_inputs[number])] * count
    arrays = (*function.arrays, *(array for parts in leaves for part in parts for array in part.arrays))
    with _one_at_a_time:
        if key not in _maps:
            function, leaves, key = parted(keep=True)
            rebuilds = [[part.rebuild for part in parts] for parts in leaves]
            _maps[key] = _made(function.rebuild, rebuilds, structures, packing, has_aux=has_aux, timed=timed)
            while len(_maps) > KEPT:
                _maps.popitem(last=False)
        _maps.move_to_end(key)
        made, value = _maps[key]
    return Posed(made, value, arrays, None if batched_inputs is None else tuple(flags))


def _made(
    function: Any, leaves: list[list[Any]], structures: list[Any], packing: Packing, *, has_aux: bool, timed: bool
) -> tuple[Map, Callable[[Tree, Arrays], Tree]]:
    def value(state: Tree, arrays: Arrays) -> Tree:
        given = iter(arrays)
        before = [packing.time(next(given))] if timed else []
        f = function(given)
        trees = [
            structure.unflatten([leaf(given) for leaf in each])
            for structure, each in zip(structures, leaves, strict=True)
        ]
        try:
            return f(*before, state, *trees)
        except Exception as error:
            explain(error, "f(t, y)" if timed else "f(z)", packing.described(state, *before))
            raise

    def call(z: jax.Array, arrays: Arrays) -> jax.Array:
        found = value(packing.unpack(z), arrays)
        if has_aux:
            if not isinstance(found, tuple) or len(found) != 2:
                raise TypeError(f"with has_aux, f must return the pair (z, aux), it returned {described(found)}")
            found = found[0]
        return packing.pack(packing.check(found, z.shape[0]))

    return Map(call), jax.jit(value)


def _is_number(leaf: object) -> bool:
    return isinstance(leaf, bool | int | float | complex | np.ndarray | np.generic)
