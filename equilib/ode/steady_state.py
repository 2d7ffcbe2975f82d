"""A fixed point as the steady state of z' = f(z) − z: any integrator becomes a solver."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from equilib.arrays import Array, two_norms
from equilib.fixed_points.evaluator import Evaluator
from equilib.fixed_points.fallback import require_size
from equilib.fixed_points.linearization import Linearization
from equilib.libraries import BridgeState, Ending, Sample, run_samples
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integrator import Integrator
from equilib.ode.library import AnyIntegrator, Jacobian, LibraryIntegrator, Start, System, TimeStepper
from equilib.ode.stepping import StepState, begin, take_step
from equilib.options import Checked, option, part

SMALLEST_STEP = 1e-6
"""Steps of z' = f(z) − z below this size go nowhere: its −z sets a time scale of 1."""


@dataclass(frozen=True)
class SteadyStateState:
    """Where the integration stands, as the state of a solver; `failed` marks samples whose step size vanished."""

    progress: StepState = field(repr=False)
    failed: np.ndarray

    @property
    def z(self) -> Array:
        """The iterate, shape (batch, ...)."""
        return self.progress.point.y

    @property
    def residual(self) -> Array:
        """f(z) − z, shape (batch, ...): the derivative."""
        return self.progress.point.dy


@dataclass(frozen=True)
class SteadyState(Checked):
    """Integrate z' = f(z) − z until it stands still, each sample with its own step size.

    It converges to fixed points where all eigenvalues λ of the Jacobian of f have Re λ < 1: also where f is expansive.
    The time scale is 1, so the first step is of that size; later ones are of the integrator's `steady_controller`, if
    it has one. On the way nothing but the end matters: a step is accepted when the two-norm of its error is at most
    `step_rtol` · ‖residual‖ + `step_atol`. Relative to the residual the tolerance shrinks with it, where a fixed one
    would leave the residual hovering at the size of that tolerance; it is apart from the tolerance of the solve. A
    rejected step is a step of the solver that leaves z unchanged.

    With a library's integrator it is a `WholeSolver`, whose steps are the library's accepted ones. Their tolerance
    follows the residual once that has fallen by `RENEWAL`: give them a `step_rtol` of 0.01, as their names do.
    """

    integrator: AnyIntegrator = part("tsit5", kind="integrator", help="take the time steps")
    step_rtol: float = option(0.03, help="allow a time step this error relative to the residual", exclusive_minimum=0.0)
    step_atol: float = option(0.0, help="allow a time step this error whatever the residual", minimum=0.0)
    first_step: float = option(1.0, help="begin with this time step", exclusive_minimum=0.0)
    largest_step: float = option(
        10.0, help="bound the time step; where a map has no fixed point nothing else holds it", exclusive_minimum=0.0
    )

    def __new__(cls, integrator: Any = None, *args: object, **options: object) -> SteadyState:
        """Make the solver that suits the integrator."""
        kind = LibrarySteadyState if isinstance(integrator, LibraryIntegrator) else cls
        return super().__new__(kind, integrator, *args, **options)

    def init(self, f: Evaluator, z0: Array) -> SteadyStateState:
        """Evaluate the initial guess, shape (batch, ...), which is the derivative at time 0."""
        lanes = z0.shape[0]
        start = FlowPoint(np.zeros(lanes), z0, f.residual(z0))
        progress = begin(self._method, self._flow(f, z0), start, np.full(lanes, self.first_step))
        return SteadyStateState(progress, np.zeros(lanes, dtype=bool))

    def step(self, f: Evaluator, state: SteadyStateState) -> SteadyStateState:
        """Attempt one time step in the samples that are not finished."""
        flow = self._flow(f, state.z)
        traits = self._method.traits
        how: dict[str, Any] = {"largest": self.largest_step, "controller": traits.steady_controller}
        progress, _ = take_step(self._method, flow, state.progress, f.active, **how)
        # The flow does not depend on time, which stays 0: no digit of a step is lost to it.
        point = replace(progress.point, t=np.zeros_like(progress.h))
        if traits.solves_slopes:
            point = replace(point, dy=flow.select(f.active, f.residual(point.y), point.dy))
        progress = replace(progress, point=point)
        return SteadyStateState(progress, f.active & (progress.h < SMALLEST_STEP))

    def require_size(self, size: int) -> None:
        """Refuse what the integrator refuses; raises UserError for samples of too many elements."""
        require_size((self.integrator,), size)

    @property
    def _method(self) -> Integrator:
        assert not isinstance(self.integrator, LibraryIntegrator)  # of which __new__ makes another solver
        return self.integrator

    def _flow(self, f: Evaluator, like: Array) -> Flow:
        def error_norm(error: Array, start: FlowPoint, z: Array) -> np.ndarray:
            size, residual = two_norms(error, start.dy)
            return np.asarray(size / (self.step_rtol * residual + self.step_atol), dtype=np.float64)

        def linearize(t: np.ndarray, z: Array) -> Linearization:
            linear = f.linearize(z)
            return Linearization(
                value=linear.value - z,
                jvp=lambda v: linear.jvp(v) - v,
                vjp=lambda w: linear.vjp(w) - w,
                inputs_vjp=linear.inputs_vjp,
            )

        return Flow(lambda t, z: f.residual(z), like, like.shape[0], error_norm, linearize=linearize)


RENEWAL = 0.1
"""The residual may fall by this factor before the tolerance of a library's steps follows it."""

STANDSTILL = 1e-12
"""A library's steps below this size go nowhere: smaller than `SMALLEST_STEP`, as its implicit methods begin with them.
"""

STEP_RTOL = 1e-14
"""The relative tolerance that a library is given; the absolute one, which follows the residual, is what counts."""


class LibrarySteadyState(SteadyState):
    """`SteadyState` by a library's integrator.

    A library takes its tolerance when an integration begins: that is `step_rtol` of the residual then, and a new one is
    begun each time the residual has fallen by `RENEWAL`. The error norm is the library's.
    """

    integrator: LibraryIntegrator

    def run(self, f: Evaluator, z0: Array, max_steps: int) -> BridgeState:
        """Integrate every sample by itself."""
        together = self.integrator.together
        return run_samples(f, z0, lambda sample: self._follow(sample, max_steps), together=together)

    def _follow(self, sample: Sample, max_steps: int) -> Ending:
        z, size = sample.z0, _rms(sample.residual(sample.z0))
        stepper = self._stepper(sample, z, size, min(self.first_step, self.largest_step))
        for _ in range(max_steps):
            if sample.finished:
                break
            refusal = stepper.step()
            if refusal is None and stepper.step_size < STANDSTILL:
                refusal = "the time steps have become too small to go anywhere"
            if refusal is not None:
                return Ending(gave_up=True, message=refusal)
            if not np.isfinite(stepper.y).all():  # LSODA accepts it, the others reject it
                stepper = self._stepper(sample, z, size, stepper.step_size / 10)
                continue
            z, now = stepper.y, size if sample.last is None else _rms(sample.last)
            if 0 < now <= RENEWAL * size:
                size = now
                stepper = self._stepper(sample, z, size, stepper.step_size)
        return Ending(gave_up=False)

    def _stepper(self, sample: Sample, z: np.ndarray, residual: float, first_step: float) -> TimeStepper:
        def slope(t: float, y: np.ndarray) -> np.ndarray:
            # After a stage outside f's domain the next ones are nan: that ends the trial step, not the sample.
            return sample.residual(y) if np.isfinite(y).all() else np.full(sample.size, np.nan)

        def jacobian(kind: str) -> Jacobian:
            nowhere = np.full((sample.size,) * 2, np.nan)
            kind = "exact" if kind == "auto" else kind
            return lambda t, y: sample.jacobian(y, kind) if np.isfinite(y).all() else nowhere

        system = System(slope, jacobian, sample.size)
        start = Start(
            t=0.0,
            end=np.inf,
            y=z,
            rtol=STEP_RTOL,
            atol=self.step_rtol * residual + self.step_atol / z.size**0.5,
            first_step=first_step,
            largest_step=self.largest_step,
        )
        return self.integrator.stepper(system, start)


def _rms(residual: np.ndarray) -> float:
    return float(np.sqrt(np.mean(residual**2)))
