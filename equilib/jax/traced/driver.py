"""The loop over the steps of a traced solver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from equilib.fixed_points.options import SolveOptions
from equilib.jax.traced.kernel import apart, together
from equilib.jax.traced.monitor import Monitor, Watch
from equilib.jax.traced.norms import Measure, measure_of, rows
from equilib.jax.traced.packed import INTEGER, Packed, packed, unpacked
from equilib.jax.traced.places import Place, place_of
from equilib.jax.traced.rare import rarely
from equilib.jax.traced.varying import while_loop


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

    def image(self, z: jax.Array) -> jax.Array:
        """Return f(z), shape (batch, ...)."""
        self.calls += 1
        return self.call(z)

    def residual(self, z: jax.Array) -> jax.Array:
        """Return f(z) − z, shape (batch, ...)."""
        return self.image(z) - z


class Ended(NamedTuple):
    """Where a solve ended: best iterates and residuals, what is known of the samples, and evaluations."""

    z: jax.Array
    residual: jax.Array
    watch: Watch
    nfe: jax.Array


BEFORE, HERE = 1, 2


class _Known(NamedTuple):
    """What is known of the samples, after how many steps a state was looked at last, or −1, and which is best then.

    That is the last one, `HERE`, the one `BEFORE` it, or what was best before that.
    """

    watch: Watch
    looked: jax.Array
    best: jax.Array


class _Run(NamedTuple):
    """A state after k steps, the place before it, the best places when one was looked at last, and what is known.

    Another step is taken after a `usual` one; after another one, the state is looked at, closely if that is `due`.
    There is no place before the guess; what stands for it is finite.
    """

    k: jax.Array
    state: Any
    before: Place
    best: Place
    running: jax.Array
    usual: jax.Array
    due: jax.Array
    known: Packed


def iterate(f: Evaluator, solver: Any, z0: jax.Array) -> Ended:
    """Take step after step from z0, shape (batch, ...), as `equilib.fixed_points.driver.iterate` does."""
    distance = f.options.criterion == "distance" and not f.affine
    monitor = Monitor(f.options, f.measure, f.residual if distance else None)
    loops = _Loops(f, solver, monitor)
    run = while_loop(lambda run: run.running, loops.turn, loops.begin(z0))
    best, watch = run.best, loops.known(run).watch
    nfe = loops.first + run.k * loops.per_step + watch.nfe + getattr(run.state, "linearizations", 0)
    return Ended(best.z, best.residual, watch, nfe)


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
    like: Any = None  # of what is known

    def begin(self, z0: jax.Array) -> _Run:
        """Evaluate the guess, and glance at it."""
        state = self.solver.init(self.f, z0)
        self.first = self.f.calls
        return apart(self.begun, state, like=state.z)

    def begun(self, state: Any) -> _Run:
        """Return what is known of the guess, where looking closely is `due` if a glance is not to be relied on."""
        here, active = place_of(state), self.f.active
        watch, usual, sure = self.monitor.begin(here, active, getattr(state, "failed", None))
        none = jnp.asarray(0, jnp.int32)
        known = _Known(watch, none - 1, jnp.zeros(active.shape, INTEGER))
        self.like = jax.eval_shape(lambda: known)
        nothing = jax.tree.map(jnp.zeros_like, here)
        before, best = _chosen(active, nothing, here), _chosen(active, here, nothing)
        return _Run(none, state, before, best, jnp.any(active), usual, ~sure, packed(known))

    def known(self, run: _Run) -> _Known:
        """Return what is known of the samples."""
        known: _Known = unpacked(run.known, self.like)
        return known

    def turn(self, run: _Run) -> _Run:
        """Take steps, and look closely at the last one."""
        run = while_loop(lambda run: run.usual, self.step, run)
        run = apart(lambda run: self.kept(self.looked(run)), run, like=run.state.z)
        return while_loop(lambda run: run.due, self.looked_closely, run)  # after which it is not

    def looked(self, run: _Run) -> _Run:
        """Return what is known of the last state, unless it is `due` to look closely."""
        known = self.known(run)
        watch, slope, sure = self.monitor.look(known.watch, place_of(run.state), run.before, run.k, closely=False)
        judged = self.judged(run, known._replace(watch=watch), slope.share)
        due = run.due | jnp.any(slope.leapt) | ~sure
        late = run._replace(due=due)
        return jax.tree.map(lambda one, other: one if one is other else jnp.where(due, one, other), late, judged)

    def looked_closely(self, run: _Run) -> _Run:
        """Return what is known of the last state, by norms that are right and, where they have to tell, values of f."""
        known, place, monitor = self.known(run), place_of(run.state), self.monitor
        watch = monitor.measured_again(known.watch, place, run.k)
        watch, slope, _ = monitor.look(watch, place, run.before, run.k, closely=True)
        share = slope.share
        if monitor.evaluate is not None:
            probed = lambda each: monitor.probe(each[0], place, run.before, slope, run.k)  # noqa: E731
            watch, share = rarely(jnp.any(slope.leapt), probed, (watch, share))
        return self.kept(self.judged(run, known._replace(watch=watch), share))

    def judged(self, run: _Run, known: _Known, share: jax.Array) -> _Run:
        """Take note of the last state, whose slope leaves a share of the tolerance, shape (batch,), to the residual."""
        k, state, active = run.k, run.state, known.watch.active
        failed = getattr(state, "failed", None)
        watch, improved = self.monitor.judge(known.watch, place_of(state), share, failed, k)
        # All but the last of these steps have improved what was active.
        best = jnp.where(improved, HERE, jnp.where(active & (k > known.looked + 1), BEFORE, 0))
        running, no = jnp.any(watch.active), jnp.zeros_like(run.due)
        seen = packed(known._replace(watch=watch, looked=k, best=best.astype(INTEGER)))
        return run._replace(running=running, usual=running, due=no, known=seen)

    def kept(self, run: _Run) -> _Run:
        """Return the same with the places that are best by what is known of the last state, if it is judged."""
        best = jnp.where(run.due, 0, self.known(run).best)
        kept = _chosen(best == HERE, place_of(run.state), _chosen(best == BEFORE, run.before, run.best))
        return run._replace(best=kept)

    def step(self, run: _Run) -> _Run:
        """Take a step, and glance at it."""
        self.f.calls = 0
        with self.f.after(run.k, self.known(run).watch.active):
            return self.stepped(run)

    def stepped(self, run: _Run) -> _Run:
        """Return what is known after a step of the samples that are not finished."""
        if not hasattr(self.solver, "propose"):
            new = self.solver.step(self.f, run.state)
            self.per_step = self.f.calls
            return together(self.glanced, _moved(run, new), new.z, run.running)
        proposed = self.solver.propose(self.f, run.state)
        self.per_step = self.f.calls

        def accepted(each: tuple[Any, ...]) -> tuple[Any, ...]:
            run, proposed = each
            with self.f.after(run.k, self.known(run).watch.active):
                new = self.solver.accept(self.f, run.state, proposed)
            return self.glanced(_moved(run, new)), proposed

        return together(accepted, (run, proposed), run.state.z, run.running)[0]

    def glanced(self, run: _Run) -> _Run:
        """Return what is known of the last state at a glance."""
        state, known, failed = run.state, self.known(run), getattr(run.state, "failed", None)
        k = run.k + run.usual.astype(jnp.int32)  # for that step was taken: a 1 would be one more array of the program
        watch, usual = self.monitor.glance(known.watch, place_of(state), failed, k)
        return run._replace(k=k, usual=usual, known=packed(known._replace(watch=watch), (known, run.known)))


def _moved(run: _Run, new: Any) -> _Run:
    return run._replace(state=new, before=place_of(run.state))


def _chosen(samples: jax.Array, one: Place, other: Place) -> Place:
    return jax.tree.map(lambda x, y: jnp.where(rows(samples, x), x, y), one, other)
