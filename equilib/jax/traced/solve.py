"""Solves under `jit`: what the primitives become inside of a compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.picard import Picard, State
from equilib.fixed_points.solution import Status
from equilib.jax.host import left_out, norm_dtype
from equilib.jax.how import How
from equilib.jax.maps import Map, products
from equilib.jax.solution import JitError
from equilib.jax.traced.driver import Ended, Evaluator, iterate
from equilib.jax.traced.gmres import Affine
from equilib.jax.traced.monitor import CODE
from equilib.jax.traced.norms import measure_of, real, rows
from equilib.jax.traced.picard import TracedPicard
from equilib.jax.traced.varying import axes_of, cond, over, spread
from equilib.numerics.gmres import GMRES

jax.tree_util.register_dataclass(State, ["z", "residual"], [])  # of methods that are made from Picard's


def traceable(solver: Any, what: str = "solver") -> Any:
    """Return the form of a solver that can be traced; of another one it says `what` it is.

    Raises
    ------
    JitError
        If it has none.
    """
    if isinstance(solver, Picard):
        return TracedPicard(solver.damping) if type(solver) is Picard else solver
    if hasattr(solver, "traced"):
        return solver.traced()
    raise JitError(
        f"the {what} {type(solver).__name__} is driven by the host and cannot run under jit; call it outside of jit, "
        "whose pieces are compiled all the same, or take picard, anderson, broyden or lbroyden"
    )


def solve(z0: jax.Array, *arrays: jax.Array, f: Map, how: How) -> list[jax.Array]:
    """Solve z = f(z, θ) in one traced loop; what it returns is what `equilib.jax.host.solve` does."""
    if how.options.on_failure == "raise":
        raise JitError("on_failure='raise' cannot be kept under jit; look at equilibrium(...).solution.converged")
    with over(axes_of(z0)):
        return spread(_solve(z0, arrays, f, how), axes_of(z0))


def _solve(z0: jax.Array, arrays: Sequence[jax.Array], f: Map, how: How) -> list[jax.Array]:
    active = jnp.ones(z0.shape[0], dtype=bool)
    numbers = norm_dtype(z0.dtype)
    if not z0.shape[0]:
        none = jnp.zeros(0, jnp.int32)
        return [z0, z0, none, none.astype(numbers), none, jnp.asarray(0, jnp.int32)]
    # Else the norms of a constant are computed while it is compiled.
    z0, active = jax.lax.optimization_barrier((z0, active))

    def by(solver: Any, active: jax.Array) -> Ended:
        return iterate(Evaluator(lambda z: f.call(z, arrays), how.options, active), traceable(solver), z0)

    ended = by(how.solver, active)
    for solver in how.fallback:
        ended = _taken_over(ended, partial(by, solver))
    watch = ended.watch
    norm = jnp.where(jnp.isfinite(watch.best), watch.best, watch.first).astype(numbers)
    return [ended.z, ended.residual, watch.status, norm, watch.steps, ended.nfe.astype(jnp.int32)]


def _taken_over(before: Ended, again: Callable[[jax.Array], Ended]) -> Ended:
    """Return what a fallback makes of the samples that have not converged, as `equilib.fixed_points.fallback` does."""
    converged = CODE[Status.CONVERGED]
    left = before.watch.status != converged

    def joined() -> Ended:
        after = again(left)
        sizes = [jnp.nan_to_num(each.watch.best, nan=jnp.inf, posinf=jnp.inf) for each in (before, after)]
        better = left & ((after.watch.status == converged) | (sizes[1] <= sizes[0]))

        def chosen(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(rows(better, new), new, old) if new.ndim else new

        watch = jax.tree.map(chosen, after.watch, before.watch)
        steps = before.watch.steps + jnp.where(left, after.watch.steps, 0)
        z, residual = chosen(after.z, before.z), chosen(after.residual, before.residual)
        return Ended(z, residual, watch._replace(steps=steps), before.nfe + after.nfe)

    return cond(jnp.any(left), joined, lambda: before)


def linear(
    b: jax.Array, z: jax.Array, bad: jax.Array, *arrays: jax.Array, f: Map, how: How, transpose: bool
) -> jax.Array:
    """Solve x = A x + b in a traced loop, as `equilib.jax.host.linear` does on the host."""
    adjoint = how.adjoint
    by_gmres = isinstance(adjoint, ImplicitAdjoint) and isinstance(adjoint.linear_solver, GMRES)
    if not by_gmres and (type(adjoint) is not ImplicitAdjoint or adjoint.solver is None):
        raise JitError(
            f"the adjoint {adjoint} is driven by the host and cannot run under jit; call it outside of jit, or take "
            "implicit, with the linear solver gmres or a solver that can be traced"
        )
    if not z.size:
        return b
    options = replace(adjoint.limits(how.options, b), on_failure="record")
    _, product = products(f.call, z, arrays, transpose=transpose)
    given = jnp.where(rows(bad, b), 0, b)
    own = adjoint.solver
    solver: Any = Affine(product, adjoint.linear_solver) if own is None else traceable(own, "adjoint's solver")
    with over(axes_of(b, z)):
        return left_out(_solve_affine(product, given, solver, options), b, bad)


def _solve_affine(product: Callable[..., Any], b: jax.Array, solver: Any, options: SolveOptions) -> jax.Array:
    """Solve x = A x + b relative to the size of b, as `equilib.adjoints.equation.solve_adjoint` does."""
    active = jnp.ones(b.shape[0], dtype=bool)
    if options.criterion == "residual":
        plain = replace(options, atol=0.0)
        return iterate(Evaluator(lambda x: product(x) + b, plain, active, affine=True), solver, b).z
    (size,) = measure_of(options.norm_of)(b)
    unit = rows(jnp.where(jnp.isfinite(size) & (size > 0), size, 1.0).astype(real(b.dtype)), b)
    scaled = b / unit
    relative_options = replace(options, rtol=0.0, atol=options.rtol)
    f = Evaluator(lambda x: product(x) + scaled, relative_options, active, affine=True)
    found: jax.Array = iterate(f, solver, scaled).z * unit
    return found
