"""Bookkeeping of small states in a traced loop, compiled so that a CPU does it at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.experimental.xla_metadata import set_xla_metadata

from equilib.jax.traced.rare import rarely
from equilib.jax.traced.varying import on_cpu

T = TypeVar("T")

SMALL = 1 << 9
"""Bytes of a state whose steps are bookkeeping, for the most part."""

ONE_KERNEL = {"xla_cpu_small_call": "true"} if jax.__version_info__ < (0, 11) else {}
"""What XLA marks loops of less than a kilobyte with, which it compiles as one kernel; as it was in 2026."""

ELEMENTARY = """
    abs add and broadcast_in_dim concatenate convert_element_type copy div eq exp2 ge gt integer_pow iota is_finite jit
    le log log2 lt max min mul ne neg nextafter not optimization_barrier or reduce_and reduce_max reduce_min reduce_or
    reduce_sum reshape round select_n sign slice sqrt square squeeze stack sub transpose xor
""".split()  # noqa: SIM905 (as many lines as names)
"""Operations that a kernel can hold; others call the runtime, as a sort does and a solve with triangles."""


def small(x: jax.Array) -> bool:
    """Return whether an array, of any shape, is that of a small state or of its bookkeeping; not if it is empty."""
    return 0 < x.nbytes <= SMALL


def together(change: Callable[[T], T], given: T, like: jax.Array, when: jax.Array) -> T:
    """Return change(given), a tree like `given`; for a small state, shape (batch, ...), by one kernel on a CPU.

    It is done in place, as a loop of less than a kilobyte, which is compiled as one. `when` is true, but the compiler
    must not know it.
    """
    return rarely(when, change, given) if small(like) else change(given)


def apart(make: Callable[..., T], *given: Any, like: jax.Array) -> T:
    """Return make(*given), trees of arrays; for a small state, shape (batch, ...), in a computation of its own.

    It is one kernel where that can be. Else: a CPU runs a computation of more than a few operations in several threads
    if any array in it has more than 512 bytes, such as a weight of f's, which costs up to ten times as much for each.
    Apart from f, those of a small state run in turn.
    """
    if not small(like):
        return make(*given)
    return on_cpu(lambda *given: _apart(make, given), make, *given)


def _apart(make: Callable[..., T], given: tuple[Any, ...]) -> T:
    marks = {"inlineable": "false"}
    if ONE_KERNEL and _alone():
        make, given, elementary = _of_what_is_used(make, given)
        marks |= ONE_KERNEL if elementary else {}
    # What is given, and returned, would be copied outside if the compiler saw that.
    made = jax.jit(lambda *given: jax.lax.optimization_barrier(make(*given)))
    return set_xla_metadata(made(*given), **marks)


def _of_what_is_used(make: Callable[..., T], given: tuple[Any, ...]) -> tuple[Callable[..., T], tuple[Any, ...], bool]:
    """Return the same of arrays that are used, and whether all that is done can be in one kernel.

    XLA takes the process down where a kernel does not use what it is given.
    """
    # Not at the top: names that another version may not have.
    from jax.extend.core import jaxprs_in_params
    from jax.interpreters.partial_eval import dce_jaxpr

    def elementary(jaxpr: Any) -> bool:
        return all(
            each.primitive.name in ELEMENTARY and all(map(elementary, jaxprs_in_params(each.params)))
            for each in jaxpr.eqns
        )

    leaves, tree = jax.tree.flatten(given)
    traced, shapes = jax.make_jaxpr(lambda *leaves: make(*tree.unflatten(leaves)), return_shape=True)(*leaves)
    every = traced.jaxpr.replace(constvars=(), invars=[*traced.jaxpr.constvars, *traced.jaxpr.invars])
    jaxpr, used = dce_jaxpr(every, [True] * len(every.outvars))

    def made(*inputs: Any) -> T:
        return jax.tree.unflatten(jax.tree.structure(shapes), jax.core.eval_jaxpr(jaxpr, (), *inputs))

    inputs = [each for each, is_used in zip([*traced.consts, *leaves], used, strict=True) if is_used]
    return made, tuple(inputs), elementary(jaxpr)


def _alone() -> bool:
    """Return whether there is one CPU to compile for: of several, what is sharded is exchanged within a computation."""
    try:
        return len(jax.devices("cpu")) == 1
    except RuntimeError:  # which is no platform of this process
        return False
