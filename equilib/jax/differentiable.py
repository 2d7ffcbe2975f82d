"""Fixed points as differentiable functions: by the linear equation, by a loop that is traced, or by an adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from equilib.adjoints.calculus.differentiable import NO_CALCULUS
from equilib.adjoints.sensitivity import check_pulled
from equilib.errors import NoDerivativeError
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import ConvergenceError, ConvergenceWarning, check_success, of_adjoint
from equilib.jax.cotangents import pulled
from equilib.jax.how import How
from equilib.jax.maps import Arrays, Map
from equilib.jax.meshes import placed
from equilib.jax.primitives import solve_p

Outputs = list[jax.Array]


def solved(f: Map, how: How, z0: jax.Array, arrays: Sequence[jax.Array]) -> Outputs:
    """Return what the primitive does, with the derivative that the adjoint gives z."""
    z0 = placed(f, z0, arrays)
    f.look(z0, arrays)
    if hasattr(how.adjoint, "solve_adjoint"):
        return solve_p.bind(jax.lax.stop_gradient(z0), *arrays, f=f, how=how)
    if hasattr(how.adjoint, "unroll"):
        return _unrolled(f, how, z0, tuple(arrays))
    return _pulled(f, how, z0, tuple(arrays))


def _solve(f: Map, how: How, z0: jax.Array, arrays: Arrays) -> Outputs:
    found: Outputs = solve_p.bind(z0, *arrays, f=f, how=how)
    return found


_unrolled = jax.custom_jvp(_solve, nondiff_argnums=(0, 1))
_pulled = jax.custom_jvp(_solve, nondiff_argnums=(0, 1))


@_unrolled.defjvp
def _unrolled_differential(f: Map, how: How, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    outs = _unrolled(f, how, *primals)
    problem = FixedPointProblem(lambda z, *arrays: f.call(z, arrays), *primals[1], linearize=f.linearize)
    solution = how.record.solutions[-1] if how.record.solutions else None
    if solution is None and not hasattr(how.adjoint, "depth"):
        raise NoDerivativeError(f"the adjoint {how.adjoint} follows steps that the host took; leave out jit")
    unroll = lambda z0, arrays: how.adjoint.unroll(problem, solution, z0, *arrays)  # noqa: E731
    _, dz = jax.jvp(unroll, primals, tangents)
    return outs, [dz, *_zeros(outs[1:])]


def _zeros(outs: Outputs) -> list[Any]:
    return [
        np.zeros(each.shape, jax.dtypes.float0) if each.dtype == jnp.int32 else jnp.zeros_like(each) for each in outs
    ]


pulled_p = Primitive("equilib_pulled")
"""dz of dz0 and dθ, by an adjoint that tells the transpose of this map only."""


@_pulled.defjvp
def _pulled_differential(f: Map, how: How, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    outs = _pulled(f, how, *primals)
    (z0, arrays), (dz0, darrays) = primals, tangents
    moving = tuple(i for i, each in enumerate(arrays) if jnp.issubdtype(jnp.result_type(each), jnp.inexact))
    dz = pulled_p.bind(dz0, *(darrays[i] for i in moving), z0, *arrays, f=f, how=how, moving=moving)
    return outs, [dz, *_zeros(outs[1:])]


def _no_calculus(*_: Any, how: How, **__: Any) -> NoReturn:
    raise NoDerivativeError(f"{NO_CALCULUS.format(type(how.adjoint).__name__)}; so it is under jit and vmap")


def _transposed(g: Any, *given: Any, f: Map, how: How, moving: tuple[int, ...]) -> list[Any]:
    """Return the cotangents of dz0 and dθ, and none of z0 and θ."""
    count = 1 + len(moving)
    z0, *arrays = given[count:]
    none = [None] * len(given[count:])
    if type(g) is ad.Zero:
        return [*(ad.Zero(each.aval) for each in given[:count]), *none]
    if any(isinstance(each, jax.core.Tracer) for each in (z0, *arrays)) or not how.record.solutions:
        _no_calculus(how=how)

    def pull(g: jax.Array, z0: jax.Array, *_: jax.Array) -> list[jax.Array]:
        problem = f.problem([jnp.asarray(each) for each in arrays], how.batched)
        found = how.adjoint.pullback(problem, how.record.solutions[-1], jnp.asarray(g))
        check_pulled(how.adjoint, found, problem.inputs)
        how.record.adjoints.extend(found.solves)
        for each in found.failed[:1]:
            of = of_adjoint(how.adjoint)
            check_success(each, how.options.on_failure, ConvergenceError, ConvergenceWarning, of=of)
        start = jnp.zeros_like(z0) if found.start is None else found.start
        return [start, *(found.inputs[i] for i in moving)]

    found = pulled(pull, lambda: _no_calculus(how=how), g, [z0, *(arrays[i] for i in moving)])
    return [*(x if ad.is_undefined_primal(one) else None for x, one in zip(found, given, strict=False)), *none]


pulled_p.def_impl(_no_calculus)
pulled_p.def_abstract_eval(lambda dz0, *_, **__: jax.core.ShapedArray(dz0.shape, dz0.dtype))
ad.primitive_jvps[pulled_p] = lambda _, __, **how: _no_calculus(**how)
ad.primitive_transposes[pulled_p] = _transposed
batching.primitive_batchers[pulled_p] = lambda _, __, **how: _no_calculus(**how)
mlir.register_lowering(pulled_p, mlir.lower_fun(_no_calculus, multiple_results=False))
