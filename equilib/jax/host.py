"""Solves that the host drives, between compiled pieces of the map."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equilib.adjoints.equation import transposed
from equilib.fixed_points.reproduced import check_reproduced
from equilib.fixed_points.settled import settled
from equilib.fixed_points.solution import (
    ConvergenceError,
    ConvergenceWarning,
    check_success,
    of_adjoint,
)
from equilib.fixed_points.solve import solve as solve_problem
from equilib.jax.how import STATUSES, How
from equilib.jax.maps import Map


def solve(z0: jax.Array, *arrays: jax.Array, f: Map, how: How) -> list[jax.Array]:
    """Solve z = f(z, θ), and note the solution; return what the primitive does."""
    z0, *given = map(jnp.asarray, (z0, *arrays))  # JAX may hand over arrays of a type of their own
    problem = f.problem(given, how.batched)
    solution = solve_problem(problem, how.solver, z0, how.options, fallback=how.fallback)
    how.record.solutions.append(solution)
    codes = [STATUSES.index(each) for each in solution.status]
    return [
        solution.z,
        solution.residual,
        jnp.asarray(np.array(codes, dtype=np.int32)),
        jnp.asarray(solution.residual_norm, dtype=norm_dtype(z0.dtype)),
        jnp.asarray(solution.steps, dtype=jnp.int32),
        jnp.asarray(solution.nfe, dtype=jnp.int32),
    ]


def linear(
    b: jax.Array, z: jax.Array, bad: jax.Array, *arrays: jax.Array, f: Map, how: How, transpose: bool
) -> jax.Array:
    """Solve x = J x + b, or x = Jᵀ x + b, at z, and note the solve; x is nan where z is `bad`, unless b is zero."""
    b, z, bad, *given = map(jnp.asarray, (b, z, bad, *arrays))
    lost = bool(np.any(bad))
    kept = jnp.where(_rows(bad, b), 0, b) if lost else b
    linearized = f.problem(given, how.batched).linearize(z)
    solved = how.record.solutions[-1] if how.record.solutions and not lost else None
    if solved is not None and solved.z.shape == z.shape and len(z) > 1 and bool(jnp.all(solved.z == z)):
        check_reproduced(solved, linearized.value)
    products = linearized if transpose else transposed(linearized)
    found = how.adjoint.solve_adjoint(products, settled(z, how.solver, how.options), kept)
    (how.record.adjoints if transpose else how.record.tangents).append(found)
    of = of_adjoint(how.adjoint, "adjoint" if transpose else "tangent")
    check_success(found, how.options.on_failure, ConvergenceError, ConvergenceWarning, of=of)
    return left_out(found.z, b, bad) if lost else found.z


def left_out(x: jax.Array, b: jax.Array, bad: jax.Array) -> jax.Array:
    """Return x with nan, or zero where b is, in the samples that are `bad`."""
    nothing: jax.Array = jnp.where(_rows(bad, b), jnp.where(b == 0, 0, jnp.nan).astype(b.dtype), x)
    return nothing


def norm_dtype(dtype: Any) -> Any:
    """Return the dtype of norms of arrays of a dtype: at least single precision."""
    return jnp.promote_types(dtype, jnp.float32)


def _rows(mask: jax.Array, like: jax.Array) -> jax.Array:
    return mask.reshape(-1, *(1,) * (like.ndim - 1))
