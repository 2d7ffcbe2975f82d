"""Stopping tests of a traced solve: those of `equilib.fixed_points.stopping` and `tolerance`, step for step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from equilib.fixed_points.options import SolveOptions, component_on_host
from equilib.fixed_points.slope import RESOLVED
from equilib.fixed_points.solution import GROWTH, Status
from equilib.fixed_points.stopping import DRIFT, PROGRESS
from equilib.fixed_points.tolerance import FAR
from equilib.jax.how import STATUSES
from equilib.jax.traced.norms import Measure, rows
from equilib.jax.traced.rare import apart
from equilib.jax.traced.slope import Place, strictness

CODE = {status: number for number, status in enumerate(STATUSES)}


class Watch(NamedTuple):
    """What is known of each sample, arrays of shape (batch,): the attributes of `Monitor` and of its `Tolerance`.

    `last` and `size` are ‖f(z) − z‖ and ‖z‖ at the last state, `before` is the former at the state before it, and
    `best` the least one until then. `strictness` is inf before a slope is known. `stagnation` needs the last two.
    """

    status: jax.Array
    steps: jax.Array
    best: jax.Array
    first: jax.Array
    before: jax.Array
    last: jax.Array
    size: jax.Array
    scale: jax.Array
    largest: jax.Array
    strictness: jax.Array
    nfe: jax.Array
    progress: Any = ()
    paused: Any = ()

    @property
    def active(self) -> jax.Array:
        """Which samples are not finished."""
        return self.status == CODE[Status.RUNNING]


class Near(NamedTuple):
    """Sizes of f(z) − z and z, scale, tolerance, rounding of z, share left to the residual, evaluations for it."""

    size: jax.Array
    length: jax.Array
    scale: jax.Array
    tolerance: jax.Array
    rounding: jax.Array
    strictness: jax.Array
    nfe: jax.Array


@dataclass(frozen=True)
class Monitor:
    """Watches the states of one solve; `evaluate`, z ↦ f(z) − z, is None where the residual alone decides."""

    options: SolveOptions
    measure: Measure
    evaluate: Callable[[jax.Array], jax.Array] | None

    def begin(self, z: jax.Array, residual: jax.Array, active: jax.Array) -> Watch:
        """Return what is known before the initial guess, shape (batch, ...), is observed."""
        norms = self.measure(residual, z, z + residual)
        batch, dtype = z.shape[0], norms.dtype
        unbounded = jnp.full(batch, jnp.inf, dtype)
        scale = jnp.fmax(jnp.fmax(norms[0], norms[1]), norms[2])
        none = jnp.zeros(batch, jnp.int32)
        return Watch(
            status=jnp.where(active, CODE[Status.RUNNING], CODE[Status.CONVERGED]).astype(jnp.int32),
            steps=none,
            best=unbounded,
            first=norms[0],
            before=norms[0],
            last=norms[0],
            size=norms[1],
            scale=scale if self.options.criterion == "distance" else unbounded,
            largest=jnp.minimum(self.options.divergence * norms[0], float(jnp.finfo(dtype).max)),
            strictness=unbounded,
            nfe=jnp.asarray(0, jnp.int32),
            **({} if self.options.stagnation is None else {"progress": unbounded, "paused": none}),
        )

    def glance(self, watch: Watch, z: jax.Array, residual: jax.Array, failed: Any, k: Any) -> tuple[Watch, jax.Array]:
        """Measure the state after step k; return what is known then, and whether all that is active only improves.

        The state, z and residual of shape (batch, ...), is observed if so; if not, `measured` and `judged` look at it.
        """
        active, best = watch.active, _least(watch)
        size, length = self.measure.quickly(residual, z)
        size = jnp.where(active, size, watch.last)
        right = jnp.all(self.measure.right(jnp.stack([size, length]), z), axis=0)
        watch = watch._replace(best=best, before=watch.last, last=size, size=length)
        going = (
            (size > self._tolerance(z, residual, size, length, watch.scale))
            & (size < best)
            & (size <= jnp.fmin(watch.scale, watch.largest))
            & (length <= FAR * watch.scale)
            & (watch.strictness >= 1)
            & right
        )
        paused = self._paused(watch._replace(best=_least(watch)))
        limit = self.options.stagnation
        given_up = _either(failed, None if limit is None else paused.paused >= limit)
        if given_up is not None:
            going = going & ~given_up
        usual = jnp.all(going | ~active) & (k < self.options.max_steps)
        if limit is not None:
            progress, pauses = (jnp.where(usual, new, old) for new, old in zip(paused[-2:], watch[-2:], strict=True))
            watch = watch._replace(progress=progress, paused=pauses)
        return watch, usual

    def measured(
        self, watch: Watch, z: jax.Array, residual: jax.Array, before: tuple[jax.Array, jax.Array], k: Any
    ) -> Near:
        """Return how near the state after step k is, shape (batch, ...), which was glanced at."""

        def seen() -> tuple[tuple[jax.Array, ...], jax.Array]:
            size, length = self.measure.surely(jnp.stack([watch.last, watch.size]), residual, z)
            size = jnp.where(watch.active, size, watch.last)
            scale = jnp.fmax(watch.scale, size)
            tolerance = self._tolerance(z, residual, size, length, scale)
            return (size, length, tolerance, float(jnp.finfo(z.dtype).eps) * length), scale

        (size, length, tolerance, rounding), scale = apart(seen, residual)
        here = Place(z, residual, size, tolerance, rounding)
        share, count = watch.strictness, jnp.zeros_like(watch.nfe)
        if self.evaluate is not None:
            near = watch.active & (size <= tolerance)
            share, count = strictness(self.evaluate, self.measure, here, before, k == 0, near, watch.strictness)
        return Near(size, length, scale, tolerance, rounding, share, count)

    def judged(self, watch: Watch, near: Near, failed: Any, k: Any) -> tuple[Watch, jax.Array]:
        """Take note of the state after step k, given how near it is; return what is known, and who improves."""
        size, length, scale, tolerance, rounding, share, count = near
        met = size <= tolerance
        watch = watch._replace(scale=scale, size=length, strictness=share, nfe=watch.nfe + count)
        if self.evaluate is not None:
            reduced = share * jnp.fmax(tolerance, RESOLVED * rounding) - rounding
            tolerance = jnp.where(share < 1, jnp.fmin(reduced, tolerance), tolerance)
            size = jnp.where(length > FAR * scale, size + rounding, size)
            met = size <= jnp.fmax(tolerance, 0.0)
        watch, improved = self._judged(watch, size, met, k)
        return self._finished(self._stalled(watch, failed, k), k), improved

    def _tolerance(
        self, z: jax.Array, residual: jax.Array, size: jax.Array, length: jax.Array, scale: jax.Array
    ) -> jax.Array:
        reached = jnp.fmin(length, scale)
        if not self.options.by_component:
            return self.options.atol + self.options.rtol * reached
        atol, rtol = (
            jnp.asarray(component_on_host(self.options, name, z.shape[1:]), z.dtype) for name in ("atol", "rtol")
        )
        share = rows(jnp.where(length > 0, reached / jnp.where(length > 0, length, 1.0), 1.0), z)
        weight = atol + rtol * jnp.abs(z) * share
        (measured,) = self.measure(jnp.where(residual == 0, 0 * residual, residual / weight))
        return jnp.where(measured > 0, size / jnp.where(measured > 0, measured, 1.0), 0.0)

    def _judged(self, watch: Watch, size: jax.Array, met: jax.Array, k: Any) -> tuple[Watch, jax.Array]:
        active, first = watch.active, watch.first
        improved = active & (size < watch.best)
        going = active & ~met & (size <= watch.largest) & (watch.size <= GROWTH * watch.scale)
        ended = active & ~going
        finite = jnp.isfinite(size) & jnp.isfinite(watch.size)
        converged = ended & finite & met
        ended = ended & ~(finite & ~met & (size <= jnp.fmin(watch.largest, first / 2)))
        grown = watch.before > GROWTH * first
        status = jnp.where(ended, CODE[Status.DIVERGED], watch.status)
        status = jnp.where(ended & ~finite & ~grown, CODE[Status.NONFINITE], status)
        status = jnp.where(converged, CODE[Status.CONVERGED], status)
        improved = jnp.where(jnp.any(ended), improved & finite | converged, improved)
        best = jnp.where(improved, size, watch.best)
        return _left(watch._replace(best=best, last=size), ended, status, k), improved

    def _stalled(self, watch: Watch, failed: Any, k: Any) -> Watch:
        watch = self._paused(watch)
        limit = self.options.stagnation
        given_up = _either(failed, None if limit is None else watch.paused >= limit)
        return watch if given_up is None else _left(watch, watch.active & given_up, CODE[Status.STALLED], k)

    def _paused(self, watch: Watch) -> Watch:
        """Count the steps without progress, where that ends a sample."""
        if self.options.stagnation is None:
            return watch
        progress = watch.best <= PROGRESS * watch.progress
        paused = jnp.where(progress, 0, watch.paused + 1)
        return watch._replace(progress=jnp.where(progress, watch.best, watch.progress), paused=paused)

    def _finished(self, watch: Watch, k: Any) -> Watch:
        """End the active samples where the steps are used up."""
        grown = watch.last > GROWTH * watch.first
        drifted = (watch.size > DRIFT * watch.scale) & (watch.best > watch.first / 10)
        how = jnp.where(grown | drifted, CODE[Status.DIVERGED], CODE[Status.MAX_STEPS])
        return _left(watch, watch.active & (k >= self.options.max_steps), how, k)


def _left(watch: Watch, ended: jax.Array, how: jax.Array | int, k: Any) -> Watch:
    """Return what is known where some samples end here, in ways that are given."""
    status = jnp.where(ended, how, watch.status).astype(jnp.int32)
    return watch._replace(status=status, steps=jnp.where(ended, k, watch.steps).astype(jnp.int32))


def _least(watch: Watch) -> jax.Array:
    return jnp.where(watch.active & (watch.last < watch.best), watch.last, watch.best)


def _either(one: Any, other: Any) -> Any:
    given = [each for each in (one, other) if each is not None]
    return sum(given[1:], given[0]) if given else None
