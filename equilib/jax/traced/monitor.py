"""Stopping tests of a traced solve: those of `equilib.fixed_points.stopping` and `tolerance`, step for step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from equilib.jax.traced.norms import Measure, real, rows
from equilib.jax.traced.places import Combined, Place, plain
from equilib.jax.traced.slope import Here, Measured, Slope, between, strictness

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
    before: tuple[jax.Array, jax.Array]
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


@dataclass(frozen=True)
class Monitor:
    """Watches the states of one solve; `evaluate`, z ↦ f(z) − z, is None where the residual alone decides."""

    options: SolveOptions
    measure: Measure
    evaluate: Callable[[jax.Array], jax.Array] | None

    def begin(self, place: Place, active: jax.Array, failed: Any) -> tuple[Watch, jax.Array, jax.Array]:
        """Measure the initial guess; return what `glance` does, and whether all norms are right."""
        batch, dtype = place.z.shape[0], real(place.z.dtype)
        unbounded, none = jnp.full(batch, jnp.inf, dtype), jnp.zeros(batch, jnp.int32)
        watch = Watch(
            status=jnp.where(active, CODE[Status.RUNNING], CODE[Status.CONVERGED]).astype(jnp.int32),
            steps=none,
            best=unbounded,
            first=unbounded,
            before=unbounded,
            last=unbounded,
            size=unbounded,
            scale=unbounded,
            largest=unbounded,
            strictness=unbounded,
            nfe=jnp.asarray(0, jnp.int32),
            **({} if self.options.stagnation is None else {"progress": unbounded, "paused": none}),
        )
        watch, right = self.first(watch, place, closely=False)
        usual = self._glanced(watch, right & jnp.isfinite(watch.size), place, failed, 0)
        return *usual, jnp.all(right | ~active)

    def first(self, watch: Watch, place: Place, *, closely: bool) -> tuple[Watch, jax.Array]:
        """Take note of the norms of the guess; return what is known then, and whose are right."""
        (size, length, image), right = self._measured(closely=closely)(
            place.difference, plain(place.z), plain(place.image)
        )
        zero = length == 0  # as most guesses are; beside a residual that is right, what is so small is nothing, too
        new = watch._replace(
            first=size,
            before=size,
            last=size,
            size=length,
            largest=jnp.minimum(self.options.divergence * size, float(jnp.finfo(size.dtype).max)),
        )
        if self.options.criterion == "distance":
            new = new._replace(scale=jnp.fmax(jnp.fmax(size, length), image))
        return new, right[0] & (right[1] | zero) & right[2]

    def measured_again(self, watch: Watch, place: Place, k: Any) -> Watch:
        """Return what is known if the state after step k is the guess, by norms that are right."""
        new, _ = self.first(watch, place, closely=True)
        first: Watch = jax.tree.map(
            lambda one, other: one if one is other else jnp.where(k == 0, one, other), new, watch
        )
        return first

    def glance(self, watch: Watch, place: Place, failed: Any, k: Any) -> tuple[Watch, jax.Array]:
        """Measure the state after step k; return what is known then, and whether all that is active only improves.

        The state is observed if so; if not, `look` has to be taken at it.
        """
        (size, length), right = self._quickly(place.difference, plain(place.z))
        size = jnp.where(watch.active, size, watch.last)
        watch = watch._replace(best=_least(watch), before=watch.last, last=size, size=length)
        return self._glanced(watch, right[0] & right[1], place, failed, k)

    def _glanced(self, watch: Watch, right: jax.Array, place: Place, failed: Any, k: Any) -> tuple[Watch, jax.Array]:
        active, best, size, length = watch.active, watch.best, watch.last, watch.size
        going = (
            (size > self._tolerance(place, size, length, watch.scale))
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

    def look(
        self,
        watch: Watch,
        place: Place,
        before: Place,
        k: Any,
        *,
        closely: bool,
    ) -> tuple[Watch, Slope, jax.Array]:
        """Measure the state after step k, which was glanced at, and the slope on the way to it.

        The last is whether all norms are right, which they are if one looks closely.
        """
        size, length = watch.last, watch.size
        if closely:
            size, length = self.measure(place.residual, place.z)
            size = jnp.where(watch.active, size, watch.last)
        right = [closely | self.measure.right(each, place.z) for each in (size, length)]
        sure = jnp.all(right[0] & right[1] | ~watch.active)
        watch = watch._replace(scale=jnp.fmax(watch.scale, size), last=size, size=length)
        if self.evaluate is None:
            return watch, Slope(size, watch.strictness, jnp.zeros_like(watch.active)), sure
        measured = self._measured(closely=closely)
        slope, right = between(measured, self._here(watch, place), before, k == 0, watch.strictness)
        return watch, slope, sure & jnp.all(right)

    def _measured(self, *, closely: bool) -> Measured:
        return self._carefully if closely else self._quickly

    def _quickly(self, *given: Combined) -> tuple[Sequence[jax.Array], Sequence[jax.Array]]:
        numbers = [self.measure.quickly(x) for x in given]
        return numbers, [self.measure.right(each, x.arrays[0]) for each, x in zip(numbers, given, strict=True)]

    def _carefully(self, *given: Combined) -> tuple[Sequence[jax.Array], Sequence[jax.Array]]:
        norms = self.measure(*(x.value for x in given))
        return list(norms), [jnp.ones(norm.shape, dtype=bool) for norm in norms]

    def probe(
        self,
        watch: Watch,
        place: Place,
        before: Place,
        slope: Slope,
        k: Any,
    ) -> tuple[Watch, jax.Array]:
        """Evaluate f where the slope on the way is not to be relied on; return what leaves the residual its share."""
        assert self.evaluate is not None
        here = self._here(watch, place)
        share, count = strictness(self.evaluate, self.measure, here, before, k == 0, watch.strictness, slope)
        return watch._replace(nfe=watch.nfe + count), share

    def judge(self, watch: Watch, place: Place, share: jax.Array, failed: Any, k: Any) -> tuple[Watch, jax.Array]:
        """Take note of a state that was looked at; return what is known then, and who improves.

        The slope of f there leaves a `share` of the tolerance to the residual, inf where it is not known.
        """
        _, size, tolerance, rounding, near = self._here(watch, place)
        met = size <= tolerance
        if self.evaluate is not None:
            share = jnp.where(near & jnp.isfinite(share), share, watch.strictness)
            reduced = share * jnp.fmax(tolerance, RESOLVED * rounding) - rounding
            tolerance = jnp.where(share < 1, jnp.fmin(reduced, tolerance), tolerance)
            size = jnp.where(watch.size > FAR * watch.scale, size + rounding, size)
            met = size <= jnp.fmax(tolerance, 0.0)
            watch = watch._replace(strictness=share)
        watch, improved = self._judged(watch, size, met, k)
        return self._finished(self._stalled(watch, failed, k), k), improved

    def _here(self, watch: Watch, place: Place) -> Here:
        tolerance = self._tolerance(place, watch.last, watch.size, watch.scale)
        rounding = float(jnp.finfo(place.z.dtype).eps) * watch.size
        return Here(place, watch.last, tolerance, rounding, watch.active & (watch.last <= tolerance))

    def _tolerance(self, place: Place, size: jax.Array, length: jax.Array, scale: jax.Array) -> jax.Array:
        reached = jnp.fmin(length, scale)
        if not self.options.by_component:
            return self.options.atol + self.options.rtol * reached
        z, residual = place.z, place.residual
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
