"""Cotangents that the host computes: `vmap` maps over them one after the other, as `jacrev` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Pull = Callable[..., list[jax.Array]]
Refuse = Callable[[], NoReturn]

cotangents_p = Primitive("equilib_cotangents")
"""Cotangents like `at` for the cotangent g of what was made of `at`, by a map that has no derivative of its own."""
cotangents_p.multiple_results = True


def pulled(pull: Pull, refuse: Refuse, g: jax.Array, at: Sequence[jax.Array]) -> list[jax.Array]:
    """Return what `pull(g, *at)` does, arrays like those of `at`; where it cannot be asked, `refuse` raises."""
    found: list[jax.Array] = cotangents_p.bind(g, *at, pull=pull, refuse=refuse)
    return found


def _one_by_one(args: Sequence[Any], axes: Sequence[Any], *, pull: Pull, refuse: Refuse) -> Any:
    g, *at = args
    axis, *others = axes
    if any(each is not None for each in others):
        refuse()
    lanes = [cotangents_p.bind(row, *at, pull=pull, refuse=refuse) for row in jnp.moveaxis(g, axis, 0)]
    stacked = [jnp.stack(each) for each in zip(*lanes, strict=True)]
    return stacked or [jnp.zeros((0, *x.shape), x.dtype) for x in at], [0] * len(at)


def _refused(*_: Any, refuse: Refuse, **__: Any) -> NoReturn:
    refuse()


cotangents_p.def_impl(lambda g, *at, pull, refuse: pull(g, *at))
cotangents_p.def_abstract_eval(lambda g, *at, **_: [jax.core.ShapedArray(x.shape, x.dtype) for x in at])
ad.primitive_jvps[cotangents_p] = lambda _, __, **how: _refused(**how)
batching.primitive_batchers[cotangents_p] = _one_by_one
mlir.register_lowering(cotangents_p, mlir.lower_fun(_refused, multiple_results=True))
