"""A fixed point as the steady state of z' = f(z) − z: any integrator becomes a solver."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from equilib.arrays import Array, to_host, two_norm
from equilib.fixed_points.compaction import take_samples
from equilib.fixed_points.evaluator import Evaluator
from equilib.libraries import BridgeState, Sample, integrate_to_rest, run_samples
from equilib.libraries.steady import RENEWAL
from equilib.ode.flow import Flow, Point
from equilib.ode.integrator import Integrator
from equilib.ode.library import AnyIntegrator, LibraryIntegrator, Start, System, TimeStepper
from equilib.ode.stepping import StepState, begin, take_step
from equilib.options import Checked, option, part

SMALLEST_STEP = 1e-6
"""Steps of z' = f(z) − z below this size go nowhere: its −z sets a time scale of 1."""


@dataclass(frozen=True)
class SteadyStateState:
    """Where the integration stands, as the state of a solver; `failed` marks samples whose step size vanished."""

    z: Array
    residual: Array
    failed: np.ndarray
    progress: StepState = field(repr=False)
    method: SteadyState


@dataclass(frozen=True)
class SteadyState(Checked):
    """Integrate z' = f(z) − z until it stands still, each sample with its own step size.

    It converges to fixed points where all eigenvalues λ of the Jacobian of f have Re λ < 1: also where f is expansive.
    The time scale is 1, so the first step is of that size. On the way nothing but the end matters: a step is accepted
    when the two-norm of its error is at most `step_rtol` · ‖residual‖ + `step_atol`. Relative to the residual the
    tolerance shrinks with it, where a fixed one would leave the residual hovering at the size of that tolerance; it
    is apart from the tolerance of the solve. A rejected step is a step of the solver that leaves z unchanged.

    With a library's integrator it is a `WholeSolver`, whose steps are the library's accepted ones.
    """

    integrator: AnyIntegrator = part("tsit5", kind="integrator", help="method of the time steps")
    step_rtol: float = option(0.03, help="error of a time step relative to the residual", exclusive_minimum=0.0)
    step_atol: float = option(0.0, help="error of a time step that is acceptable whatever the residual", minimum=0.0)
    first_step: float = option(1.0, help="size of the first time step", exclusive_minimum=0.0)
    largest_step: float = option(
        10.0, help="bound of the time step; where a map has no fixed point nothing else holds it", exclusive_minimum=0.0
    )

    def __new__(cls, integrator: Any = None, *args: object, **options: object) -> SteadyState:
        """Make the solver that suits the integrator."""
        return super().__new__(LibrarySteadyState if isinstance(integrator, LibraryIntegrator) else cls)

    def init(self, f: Evaluator, z0: Array) -> SteadyStateState:
        """Evaluate the initial guess, which is the derivative at time 0."""
        lanes = z0.shape[0]
        residual = f.residual(z0)
        start = Point(np.zeros(lanes), z0, residual)
        progress = begin(self._method, self._flow(f, z0), start, np.full(lanes, self.first_step))
        return SteadyStateState(z0, residual, np.zeros(lanes, dtype=bool), progress, self)

    def step(self, f: Evaluator, state: SteadyStateState) -> SteadyStateState:
        """Attempt one time step in the samples that are not finished."""
        progress, _ = take_step(self._method, self._flow(f, state.z), state.progress, f.active)
        progress = replace(progress, h=np.minimum(progress.h, self.largest_step))
        failed = f.active & (progress.h < SMALLEST_STEP)
        return SteadyStateState(progress.point.y, progress.point.dy, failed, progress, self)

    def restrict(self, f: Evaluator, state: SteadyStateState, rows: np.ndarray) -> SteadyStateState:
        """Return the state of the samples `rows` only."""
        progress = take_samples(state.progress, rows, batch=state.z.shape[0])
        return SteadyStateState(progress.point.y, progress.point.dy, state.failed[rows], progress, self)

    @property
    def _method(self) -> Integrator:
        assert not isinstance(self.integrator, LibraryIntegrator)  # of which __new__ makes another solver
        return self.integrator

    def _flow(self, f: Evaluator, like: Array) -> Flow:
        def error_norm(error: Array, start: Point, z: Array) -> np.ndarray:
            size, residual = to_host(two_norm(error)), to_host(two_norm(start.dy))
            return np.asarray(size / (self.step_rtol * residual + self.step_atol), dtype=np.float64)

        return Flow(lambda t, z: f.residual(z), like, like.shape[0], error_norm)


STEP_RTOL = 100 * float(np.finfo(np.float64).eps)
"""The relative tolerance that a library is given; the absolute one, which follows the residual, is what counts."""


class LibrarySteadyState(SteadyState):
    """`SteadyState` by a library's integrator."""

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> BridgeState:
        """Integrate every sample by itself."""
        method = self.integrator
        assert isinstance(method, LibraryIntegrator)
        return run_samples(
            f,
            z0,
            lambda sample: integrate_to_rest(
                sample,
                lambda z, atol, first_step: self._stepper(method, sample, z, atol + self._rms_atol(z), first_step),
                # Of the residual when a stepper is made, which lives until it has fallen by RENEWAL.
                step_rtol=self.step_rtol * RENEWAL,
                first_step=min(self.first_step, self.largest_step),
                max_steps=max_steps,
            ),
            together=method.together,
        )

    def _rms_atol(self, z: np.ndarray) -> float:
        return self.step_atol / float(np.sqrt(z.size))

    def _stepper(
        self, method: LibraryIntegrator, sample: Sample, z: np.ndarray, atol: float, first_step: float
    ) -> TimeStepper:
        start = Start(
            t=0.0,
            end=np.inf,
            y=z,
            rtol=STEP_RTOL,
            atol=atol,
            first_step=first_step,
            longest_step=self.largest_step,
        )
        return method.stepper(System(lambda t, y: sample.residual(y), sample.size, sample.resolution), start)
