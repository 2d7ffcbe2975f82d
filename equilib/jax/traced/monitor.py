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
from equilib.jax.traced.rare import rarely
from equilib.jax.traced.slope import Place, strictness

CODE = {status: number for number, status in enumerate(STATUSES)}


class Watch(NamedTuple):
    """What is known of each sample, arrays of shape (batch,): the attributes of `Monitor` and of its `Tolerance`."""

    status: jax.Array
    active: jax.Array
    steps: jax.Array
    best: jax.Array
    first: jax.Array
    last: jax.Array
    size: jax.Array
    scale: jax.Array
    largest: jax.Array
    strictness: jax.Array
    known: jax.Array
    progress: jax.Array
    paused: jax.Array
    nfe: jax.Array


@dataclass(frozen=True)
class Monitor:
    """Watches the states of one solve; `evaluate`, z ↦ f(z) − z, is None where the residual alone decides."""

    options: SolveOptions
    measure: Measure
    evaluate: Callable[[jax.Array], jax.Array] | None

    def begin(self, z: jax.Array, residual: jax.Array, failed: Any, active: jax.Array) -> tuple[Watch, jax.Array]:
        """Return what is known of the initial guess, and which samples it improves."""
        norms = self.measure(residual, z, z + residual)
        zero, batch, dtype = jnp.zeros(z.shape[0], norms.dtype), z.shape[0], norms.dtype
        start = jnp.full(batch, 0.0 if self.options.criterion == "distance" else jnp.inf, dtype)
        watch = Watch(
            status=jnp.where(active, CODE[Status.RUNNING], CODE[Status.CONVERGED]).astype(jnp.int32),
            active=active,
            steps=jnp.zeros(batch, jnp.int32),
            best=zero + jnp.inf,
            first=norms[0],
            last=norms[0],
            size=norms[1],
            scale=jnp.fmax(jnp.fmax(jnp.fmax(start, norms[0]), norms[1]), norms[2]),
            largest=jnp.minimum(self.options.divergence * norms[0], float(jnp.finfo(dtype).max)),
            strictness=zero + 1,
            known=zero > 0,
            progress=zero + jnp.inf,
            paused=jnp.zeros(batch, jnp.int32),
            nfe=jnp.asarray(0, jnp.int32),
        )
        return self._closely(watch, z, residual, None, norms[0], norms[1], failed, jnp.asarray(0, jnp.int32))

    def observe(
        self, watch: Watch, z: jax.Array, residual: jax.Array, before: tuple[jax.Array, jax.Array], failed: Any, k: Any
    ) -> tuple[Watch, jax.Array]:
        """Take note of the state after step k; return what is known now, and which samples the state improves."""
        (size, length), right = self.measure.quickly(residual, z)
        size = jnp.where(watch.active, size, watch.last)
        going = (
            (size > self._tolerance(z, residual, size, length, watch.scale))
            & (size <= jnp.fmin(watch.scale, watch.largest))
            & (length <= FAR * watch.scale)
            & (watch.strictness >= 1)
            & jnp.all(right, axis=0)
        )
        special = jnp.any(watch.active & (~going if failed is None else ~going | failed))
        improved = watch.active & (size < watch.best)
        best = jnp.where(improved, size, watch.best)
        usual = self._stalled(watch._replace(best=best, last=size, size=length), None, k)

        def closely(carry: tuple[Watch, jax.Array]) -> tuple[Watch, jax.Array]:
            # What the usual way has not changed is taken from the carry, as otherwise each step would copy it.
            changed = {name: old for name, old in watch._asdict().items() if getattr(usual, name) is not old}
            known = carry[0]._replace(**changed)
            size, length = self.measure(residual, z)
            size = jnp.where(known.active, size, known.last)
            return self._closely(known, z, residual, before, size, length, failed, k)

        return rarely(special, closely, (usual, improved))

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

    def _closely(
        self,
        watch: Watch,
        z: jax.Array,
        residual: jax.Array,
        before: tuple[jax.Array, jax.Array] | None,
        size: jax.Array,
        length: jax.Array,
        failed: Any,
        k: Any,
    ) -> tuple[Watch, jax.Array]:
        scale = jnp.fmax(watch.scale, size)
        tolerance = self._tolerance(z, residual, size, length, scale)
        met = near = size <= tolerance
        watch = watch._replace(scale=scale, size=length)
        if self.evaluate is not None:
            rounding = float(jnp.finfo(z.dtype).eps) * length
            watch = self._with_slope(watch, Place(z, residual, size, tolerance, rounding), before, near)
            share, far = watch.strictness, length > FAR * scale
            reduced = share * jnp.fmax(tolerance, RESOLVED * rounding) - rounding
            tolerance = jnp.where(share < 1, jnp.fmin(reduced, tolerance), tolerance)
            size = jnp.where(far, size + rounding, size)
            met = size <= jnp.fmax(tolerance, 0.0)
        watch, improved = self._judged(watch, size, met, k)
        return self._stalled(watch, failed, k), improved

    def _with_slope(
        self, watch: Watch, here: Place, before: tuple[jax.Array, jax.Array] | None, near: jax.Array
    ) -> Watch:
        near = watch.active & near
        evaluate = self.evaluate
        assert evaluate is not None  # it is asked for where there is one

        def seen() -> tuple[jax.Array, ...]:
            doubted = watch.strictness < 1
            share, count = strictness(evaluate, self.measure, here, before, near, doubted, ~watch.known)
            told = near & jnp.isfinite(share)
            return jnp.where(told, share, watch.strictness), watch.known | told, watch.nfe + count

        share, known, nfe = jax.lax.cond(jnp.any(near), seen, lambda: (watch.strictness, watch.known, watch.nfe))
        return watch._replace(strictness=share, known=known, nfe=nfe)

    def _judged(self, watch: Watch, size: jax.Array, met: jax.Array, k: Any) -> tuple[Watch, jax.Array]:
        active, first = watch.active, watch.first
        improved = active & (size < watch.best)
        going = active & ~met & (size <= watch.largest) & (watch.size <= GROWTH * watch.scale)
        ended = active & ~going
        finite = jnp.isfinite(size) & jnp.isfinite(watch.size)
        converged = ended & finite & met
        ended = ended & ~(finite & ~met & (size <= jnp.fmin(watch.largest, first / 2)))
        grown = watch.last > GROWTH * first
        status = jnp.where(ended, CODE[Status.DIVERGED], watch.status)
        status = jnp.where(ended & ~finite & ~grown, CODE[Status.NONFINITE], status)
        status = jnp.where(converged, CODE[Status.CONVERGED], status)
        improved = jnp.where(jnp.any(ended), improved & finite | converged, improved)
        best = jnp.where(improved, size, watch.best)
        return _left(watch._replace(status=status, best=best, last=size), ended, k), improved

    def _stalled(self, watch: Watch, failed: Any, k: Any) -> Watch:
        limit = self.options.stagnation
        if limit is not None:
            progress = watch.best <= PROGRESS * watch.progress
            paused = jnp.where(progress, 0, watch.paused + 1)
            watch = watch._replace(progress=jnp.where(progress, watch.best, watch.progress), paused=paused)
            failed = paused >= limit if failed is None else (paused >= limit) | failed
        if failed is None:
            return watch
        failed = watch.active & failed
        return _left(watch._replace(status=jnp.where(failed, CODE[Status.STALLED], watch.status)), failed, k)

    def finish(self, watch: Watch, k: Any) -> Watch:
        """End the active samples because the steps are used up."""
        grown = watch.last > GROWTH * watch.first
        drifted = (watch.size > DRIFT * watch.scale) & (watch.best > watch.first / 10)
        how = jnp.where(grown | drifted, CODE[Status.DIVERGED], CODE[Status.MAX_STEPS])
        return _left(watch._replace(status=jnp.where(watch.active, how, watch.status)), watch.active, k)


def _left(watch: Watch, ended: jax.Array, k: Any) -> Watch:
    return watch._replace(steps=jnp.where(ended, k, watch.steps).astype(jnp.int32), active=watch.active & ~ended)
