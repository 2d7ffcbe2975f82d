"""The loop over the steps of a traced solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from equilib.fixed_points.options import SolveOptions
from equilib.jax.traced.best import Best
from equilib.jax.traced.monitor import Monitor, Watch
from equilib.jax.traced.norms import Measure, measure_of


@dataclass
class Evaluator:
    """F in the course of one traced solve: what a traced solver is given.

    Attributes
    ----------
    call : callable
        z ↦ f(z).
    options : SolveOptions
    active : array of bool, shape (batch,)
        The samples that are not finished.
    calls : int
        Evaluations that were traced.
    affine : bool
    """

    call: Callable[[jax.Array], jax.Array]
    options: SolveOptions
    active: jax.Array
    calls: int = 0
    affine: bool = False

    @property
    def measure(self) -> Measure:
        """The norms of the convergence test."""
        return measure_of(self.options.norm_of)

    def residual(self, z: jax.Array) -> jax.Array:
        """Return f(z) − z, shape (batch, ...)."""
        self.calls += 1
        return self.call(z) - z


class Ended(NamedTuple):
    """Where a solve ended: best iterates and residuals, what is known of the samples, and evaluations."""

    z: jax.Array
    residual: jax.Array
    watch: Watch
    nfe: jax.Array


def iterate(f: Evaluator, solver: Any, z0: jax.Array) -> Ended:
    """Take step after step from z0, shape (batch, ...), as `equilib.fixed_points.driver.iterate` does."""
    options = f.options
    distance = options.criterion == "distance" and not f.affine
    monitor = Monitor(options, f.measure, f.residual if distance else None)
    state = solver.init(f, z0)
    first = f.calls
    watch, _ = monitor.begin(state.z, state.residual, getattr(state, "failed", None), f.active)
    per_step = [0]

    def step(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        k, state, watch, best = carry
        f.active = watch.active
        f.calls = 0
        new = solver.step(f, state)
        per_step[0] = f.calls
        failed, before = getattr(new, "failed", None), (state.z, state.residual)
        watch, improved = monitor.observe(watch, new.z, new.residual, before, failed, k + 1)
        return k + 1, new, watch, best.after(improved, before, (new.z, new.residual))

    start = (jnp.asarray(0, jnp.int32), state, watch, Best.at((state.z, state.residual)))
    going = lambda carry: (carry[0] < options.max_steps) & jnp.any(carry[2].active)  # noqa: E731
    k, state, watch, best = jax.lax.while_loop(going, step, start)
    z, residual = best.where((state.z, state.residual))
    nfe = first + k * per_step[0] + watch.nfe + getattr(state, "linearizations", 0)
    return Ended(z, residual, monitor.finish(watch, k), nfe)
