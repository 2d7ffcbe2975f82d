"""One call of a library per sample, all calls in lockstep: f is evaluated for the whole batch at once.

A library solves one system at a time. Stacking the samples into one large system would couple them; solving them one
after the other would evaluate the whole batch for the sake of one sample. Here every sample has a call of its own that
is suspended when it asks for a residual, and when all of them have asked, one evaluation answers them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from equilib.arrays import Array, array_namespace, coefficients, samples_as_rows, to_host
from equilib.errors import UserError
from equilib.fixed_points.evaluator import Evaluator
from equilib.libraries.coroutine import BREAKDOWNS, Coroutine, run_in_lockstep
from equilib.libraries.sample import Question, Sample
from equilib.numerics.dense import dense_jacobian

ROUNDING = 4
"""A residual of so many units of rounding of z is noise."""


@dataclass(frozen=True)
class Ending:
    """How a library's loop ended: whether it gave up, rather than ran out of steps, and in its own words why."""

    gave_up: bool
    message: str = ""


@dataclass(frozen=True)
class BridgeState:
    """The state that a bridge's `run` returns.

    `failed`, ndarray of bool, shape (batch,), marks samples that the library gave up, `lost` those among them where
    something was not finite since the best point; `messages` has for each sample what the library said at the end.
    """

    z: Array
    residual: Array
    failed: np.ndarray
    messages: tuple[str, ...] = field(repr=False)
    lost: np.ndarray


Method = Callable[[Sample], Ending]
"""Calls the library for one sample."""


def run_samples(f: Evaluator, z0: Array, method: Method, *, together: bool = True) -> BridgeState:
    """Call `method` for each active sample and return where each of them came to.

    A sample is finished at the first point whose residual meets the driver's tolerance, whichever part of the method
    asked for it; or, as failed, where the residual is but rounding. It returns that point, else its best one; where
    none was better than the guess it returns the last one, or one with a residual that is not finite, in which the
    driver sees how it failed.

    The initial guess, shape (batch, ...), is on any library and device; `method` works on copies on the host, in
    float64, and must come to an end when the residual is zero. One of `BREAKDOWNS` is an end, too, unless it is a
    `UserError`; its other exceptions are raised, and what f raises, unchanged. A library that cannot be called again
    before it returns is not called `together`: its samples are solved one after the other, and each evaluation of f is
    for one of them.
    """
    run = _Lockstep(f, z0)
    active = [int(index) for index in np.flatnonzero(run.active)]
    for group in [active] if together else [[index] for index in active]:
        run.drive(group, method)
    return run.state()


class _Lockstep:
    def __init__(self, f: Evaluator, z0: Array) -> None:
        self.f, self.z0 = f, z0
        self.active, self.resolution = f.active, float(array_namespace(z0).finfo(z0.dtype).eps)
        self.points = np.array(to_host(samples_as_rows(z0)))
        batch = self.points.shape[0]
        self.last_points, self.last_residuals = self.points.copy(), np.zeros_like(self.points)
        self.best_points, self.best_residuals = self.points.copy(), np.zeros_like(self.points)
        self.best = np.full(batch, np.inf)
        self.evaluations = np.zeros(batch, dtype=int)
        self.improved, self.converged, self.rounding, self.failed, self.lost = np.zeros((5, batch), dtype=bool)
        self.messages = [""] * batch
        self.samples: dict[int, Sample] = {}

    def drive(self, group: Iterable[int], method: Method) -> None:
        calls = {index: self._prepare(index, method) for index in group}
        run_in_lockstep(calls, self._answers)
        for index, call in calls.items():
            assert call.result is not None  # it has returned, and did not raise
            self._conclude(index, call.result)

    def _conclude(self, index: int, ending: Ending) -> None:
        gave_up, message = ending.gave_up, ending.message
        if self.converged[index]:
            gave_up = False
        elif self.rounding[index]:
            gave_up, message = True, "the residual is as small as rounding allows"
        elif self.samples[index].lost:
            self.lost[index] = True
            gave_up, message = True, "the method asked for a point that is not finite"
        self.failed[index], self.messages[index] = gave_up, message
        self.lost[index] &= gave_up

    def _prepare(self, index: int, method: Method) -> Coroutine[Ending]:
        def attempt() -> Ending:
            try:
                return method(self.samples[index])
            except UserError:
                raise
            except BREAKDOWNS as error:
                return Ending(gave_up=True, message=str(error))

        call: Coroutine[Ending] = Coroutine(attempt)
        row = self.points[index]
        self.samples[index] = Sample(row.astype(np.float64), call.ask, resolution=self.resolution)
        return call

    def _answers(self, waiting: dict[int, Question]) -> dict[int, np.ndarray]:
        # Jacobians wait until every sample wants one: they cost a product per column, for the batch.
        residuals = {index: question.point for index, question in waiting.items() if question.kind == "residual"}
        if residuals:
            return self._evaluate(residuals)
        points = {index: question.point for index, question in waiting.items()}
        jacobians = to_host(dense_jacobian(self.f.linearize(self._place(points)))).astype(np.float64)
        for index in points:
            self.lost[index] |= not np.isfinite(jacobians[index]).all()
        return {index: jacobians[index] - np.eye(len(point)) for index, point in points.items()}

    def _place(self, points: dict[int, np.ndarray]) -> Array:
        for index, point in points.items():
            self.points[index] = point
        return self._like_z0(self.points)

    def _like_z0(self, rows: np.ndarray) -> Array:
        return coefficients(rows.reshape(tuple(self.z0.shape)), self.z0)

    def _evaluate(self, points: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        z = self._place(points)
        residual = self.f.residual(z)
        norm, size = self.f.size(residual), self.f.size(z)
        converged = norm <= self.f.tolerance_at(z, residual)
        rounding = norm <= ROUNDING * self.resolution * size
        rows = to_host(samples_as_rows(residual))
        for index in points:
            self.converged[index], self.rounding[index] = converged[index], rounding[index]
            self.samples[index].finished |= bool(converged[index] or rounding[index])
            self.lost[index] |= not np.isfinite(rows[index]).all()
            self._record(index, norm[index], rows[index])
        return {index: rows[index].astype(np.float64) for index in points}

    def _record(self, index: int, norm: float, residual: np.ndarray) -> None:
        point = self.points[index]
        if norm < self.best[index] or self.converged[index]:
            self.lost[index] = False
            self.best[index], self.improved[index] = norm, self.evaluations[index] > 0
            self.best_points[index], self.best_residuals[index] = point, residual
        if np.isfinite(self.last_residuals[index]).all() or not np.isfinite(norm):
            self.last_points[index], self.last_residuals[index] = point, residual
        self.evaluations[index] += 1

    def state(self) -> BridgeState:
        chosen = self.improved[:, None]
        z = np.where(chosen, self.best_points, self.last_points)
        residual = np.where(chosen, self.best_residuals, self.last_residuals)
        return BridgeState(
            self._like_z0(z),
            self._like_z0(residual),
            self.failed,
            tuple(self.messages),
            self.lost,
        )
