"""The loop over the steps of a traced solver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from equilib.fixed_points.options import SolveOptions
from equilib.jax.traced.monitor import Monitor, Watch
from equilib.jax.traced.norms import Measure, measure_of, rows
from equilib.jax.traced.rare import apart, rarely, together
from equilib.jax.traced.slope import Slope
from equilib.jax.traced.varying import while_loop

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
    steps : int, scalar array of it
        Those that were taken.
    calls : int
        Evaluations that were traced.
    affine : bool
    """

    call: Callable[[jax.Array], jax.Array]
    options: SolveOptions
    active: jax.Array
    steps: Any = 0
    calls: int = 0
    affine: bool = False

    @property
    def measure(self) -> Measure:
        """The norms of the convergence test."""
        return measure_of(self.options.norm_of)

    @contextmanager
    def after(self, steps: Any, active: jax.Array) -> Iterator[None]:
        """Have a block with these `steps` and `active` samples, shape (batch,): tracers must not outlive their loop."""
        before, (self.steps, self.active) = (self.steps, self.active), (steps, active)
        try:
            yield
        finally:
            self.steps, self.active = before

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
    """A state after k steps, the place before it, what is known, and the best places when a state was looked at last.

    That was after `looked` steps, before the guess after −1. Another step is taken after a `usual` one; after another
    one, its slope is looked at.
    """

    k: jax.Array
    looked: jax.Array
    state: Any
    before: Place
    watch: Watch
    best: Place
    nfe: jax.Array
    running: jax.Array
    usual: jax.Array
    slope: Slope


def iterate(f: Evaluator, solver: Any, z0: jax.Array) -> Ended:
    """Take step after step from z0, shape (batch, ...), as `equilib.fixed_points.driver.iterate` does."""
    distance = f.options.criterion == "distance" and not f.affine
    monitor = Monitor(f.options, f.measure, f.residual if distance else None)
    loops = _Loops(f, solver, monitor)
    run = while_loop(lambda run: run.running, loops.turn, loops.begin(z0))
    z, residual = run.best
    return Ended(z, residual, run.watch, run.nfe)


@dataclass
class _Loops:
    """A loop within a loop.

    The inner one takes steps as long as every sample that is not finished only improves: the last state is each
    sample's best. Where something else happens, the outer one looks closely.
    """

    f: Evaluator
    solver: Any
    monitor: Monitor
    first: int = 0  # evaluations of f, known when these were traced
    per_step: int = 0

    def begin(self, z0: jax.Array) -> _Run:
        """Evaluate the guess, and glance at it."""
        if not hasattr(self.solver, "propose"):
            state = self.solver.init(self.f, z0)
            self.first = self.f.calls
            return apart(lambda: self.begun(state), state.residual)
        residual = self.f.residual(z0)
        self.first = self.f.calls
        return apart(lambda: self.begun(self.solver.begin(self.f, z0, residual)), residual)

    def begun(self, state: Any) -> _Run:
        """Return what is known of the guess at a glance."""
        here, active = (state.z, state.residual), self.f.active
        watch, usual = self.monitor.begin(*here, active, getattr(state, "failed", None))
        none = jnp.asarray(0, jnp.int32)
        running, nfe, slope = jnp.any(active), none + self.first, Slope(watch.size, watch.last, ~active)
        return _Run(none, none - 1, state, here, watch, here, nfe, running, usual, slope)

    def turn(self, run: _Run) -> _Run:
        """Take steps, and look closely at the last one."""
        run = while_loop(lambda run: run.usual, self.step, run)
        run = together(self.looked, run, run.state.residual, run.running)
        if self.monitor.evaluate is None:
            return run
        return rarely(jnp.any(run.slope.leapt), self.probed, run)

    def looked(self, run: _Run) -> _Run:
        """Return what is known of the last state, as far as that is without an evaluation of f."""
        watch, slope = self.monitor.look(run.watch, run.state.z, run.state.residual, run.before, run.k)
        seen = run._replace(watch=watch, slope=slope)
        judged, due = self.judged(seen, slope.share), jnp.any(slope.leapt)
        return jax.tree.map(lambda one, other: one if one is other else jnp.where(due, one, other), seen, judged)

    def probed(self, run: _Run) -> _Run:
        """Return what is known of the last state by evaluations of f beside it."""
        watch, share = self.monitor.probe(run.watch, run.state.z, run.state.residual, run.before, run.slope, run.k)
        return self.judged(run._replace(watch=watch), share)

    def judged(self, run: _Run, share: jax.Array) -> _Run:
        """Take note of the last state, whose slope leaves a share of the tolerance, shape (batch,), to the residual."""
        k, state, active = run.k, run.state, run.watch.active
        here, failed = (state.z, state.residual), getattr(state, "failed", None)
        watch, improved = self.monitor.judge(run.watch, *here, share, failed, k)
        # All but the last of these steps have improved what was active.
        best = _chosen(improved, here, _chosen(active & (k > run.looked + 1), run.before, run.best))
        nfe = self.first + k * self.per_step + watch.nfe + getattr(state, "linearizations", 0)
        running = jnp.any(watch.active)
        return run._replace(looked=k, watch=watch, best=best, nfe=nfe.astype(jnp.int32), running=running, usual=running)

    def step(self, run: _Run) -> _Run:
        """Take a step, and glance at it."""
        self.f.calls = 0
        with self.f.after(run.k, run.watch.active):
            return self.stepped(run)

    def stepped(self, run: _Run) -> _Run:
        """Return what is known after a step of the samples that are not finished."""
        if not hasattr(self.solver, "propose"):
            new = self.solver.step(self.f, run.state)
            self.per_step = self.f.calls
            return together(self.glanced, _moved(run, new), new.residual, run.running)
        z = apart(lambda: self.solver.propose(self.f, run.state), run.state.residual)
        residual = self.f.residual(z)
        self.per_step = self.f.calls

        def accepted(each: tuple[Any, ...]) -> tuple[Any, ...]:
            run, z, residual = each
            with self.f.after(run.k, run.watch.active):
                new = self.solver.accept(self.f, run.state, z, residual)
            return self.glanced(_moved(run, new)), z, residual

        return together(accepted, (run, z, residual), residual, run.running)[0]

    def glanced(self, run: _Run) -> _Run:
        """Return what is known of the last state at a glance."""
        k, state, failed = run.k + 1, run.state, getattr(run.state, "failed", None)
        watch, usual = self.monitor.glance(run.watch, state.z, state.residual, failed, k)
        return run._replace(k=k, watch=watch, usual=usual)


def _moved(run: _Run, new: Any) -> _Run:
    return run._replace(state=new, before=(run.state.z, run.state.residual))


def _chosen(samples: jax.Array, one: Place, other: Place) -> Place:
    z, residual = (jnp.where(rows(samples, x), x, y) for x, y in zip(one, other, strict=True))
    return z, residual
