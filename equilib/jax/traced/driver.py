"""The loop over the steps of a traced solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from equilib.fixed_points.options import SolveOptions
from equilib.jax.traced.monitor import Monitor, Watch
from equilib.jax.traced.norms import Measure, measure_of, rows
from equilib.jax.traced.rare import apart, together

Place = tuple[jax.Array, jax.Array]
"""Iterates and residuals, arrays of shape (batch, ...)."""


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


class _Run(NamedTuple):
    """A state that was observed after k steps, what is known, and the best places; k is −1 before the guess was."""

    k: jax.Array
    state: Any
    watch: Watch
    best: Place


def iterate(f: Evaluator, solver: Any, z0: jax.Array) -> Ended:
    """Take step after step from z0, shape (batch, ...), as `equilib.fixed_points.driver.iterate` does."""
    distance = f.options.criterion == "distance" and not f.affine
    monitor = Monitor(f.options, f.measure, f.residual if distance else None)
    state = solver.init(f, z0)
    first, loops = f.calls, _Loops(f, solver, monitor)
    start = apart(lambda: monitor.begin(state.z, state.residual, f.active), state.residual)
    begun = _Run(jnp.asarray(-1, jnp.int32), state, start, (state.z, state.residual))
    run = jax.lax.while_loop(lambda run: jnp.any(run.watch.active), loops.turn, begun)
    nfe = first + jnp.maximum(run.k, 0) * loops.per_step + run.watch.nfe + getattr(run.state, "linearizations", 0)
    z, residual = run.best
    return Ended(z, residual, run.watch, nfe)


@dataclass
class _Loops:
    """A loop within a loop.

    The inner one takes steps as long as every sample that is not finished only improves: little is carried there, and
    the last state is each sample's best. Where something else happens, the outer one looks closely; at the guess too.
    """

    f: Evaluator
    solver: Any
    monitor: Monitor
    per_step: int = 0  # evaluations, known when a step was traced

    def turn(self, run: _Run) -> _Run:
        """Take steps, and look closely at the last one."""
        usual = (run.k, run.state, (run.state.z, run.state.residual), run.watch, run.k >= 0)
        k, state, before, watch, _ = jax.lax.while_loop(lambda carry: carry[-1], self.step, usual)
        k = jnp.maximum(k, 0)
        # All but the last of these steps have improved what was active.
        ever = run.watch.active & (k > run.k + 1)
        near = self.monitor.measured(watch, state.z, state.residual, before, k)

        def judged(each: tuple[Any, ...]) -> tuple[Any, ...]:
            run, near, before, ever = each
            state = run.state
            watch, improved = self.monitor.judged(run.watch, near, getattr(state, "failed", None), run.k)
            best = _chosen(improved, (state.z, state.residual), _chosen(ever, before, run.best))
            return run._replace(watch=watch, best=best), near, before, ever

        ended: _Run = together(judged, (_Run(k, state, watch, run.best), near, before, ever), state.residual)[0]
        return ended

    def step(self, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        """Take a step, and glance at it."""
        _, state, _, watch, _ = carry
        self.f.active, self.f.calls = watch.active, 0
        if not hasattr(self.solver, "propose"):
            new = self.solver.step(self.f, state)
            self.per_step = self.f.calls
            return together(lambda each: self._glanced(*each), (carry, new), new.residual)[0]
        z = apart(lambda: self.solver.propose(self.f, state), state.residual)
        residual = self.f.residual(z)
        self.per_step = self.f.calls

        def accepted(each: tuple[Any, ...]) -> tuple[Any, ...]:
            carry, z, residual = each
            _, state, _, watch, _ = carry
            self.f.active = watch.active
            return self._glanced(carry, self.solver.accept(self.f, state, z, residual))[0], z, residual

        return together(accepted, (carry, z, residual), residual)[0]

    def _glanced(self, carry: tuple[Any, ...], new: Any) -> tuple[Any, Any]:
        k, state, _, watch, _ = carry
        watch, usual = self.monitor.glance(watch, new.z, new.residual, getattr(new, "failed", None), k + 1)
        return (k + 1, new, (state.z, state.residual), watch, usual), new


def _chosen(samples: jax.Array, one: Place, other: Place) -> Place:
    z, residual = (jnp.where(rows(samples, x), x, y) for x, y in zip(one, other, strict=True))
    return z, residual
