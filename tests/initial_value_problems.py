"""Initial value problems with known solutions, and ways to integrate them with steps of a fixed size."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from equilib.arrays import array_namespace
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integration import integrate
from equilib.ode.integrator import Attempt, Integrator, Memory, Step, Traits, hermite
from equilib.ode.solution import OdeSolution
from equilib.ode.step_control import Controller, ControlState, PIController


@dataclass(frozen=True)
class Constant:
    """A controller that keeps the step size."""

    def factor(self, error: Any, accepted: Any, state: ControlState, order: Any) -> np.ndarray:
        """Return 1."""
        return np.ones(error.shape)


@dataclass(frozen=True)
class Heun:
    """Heun's method of order 2 with Euler's for the error: the shortest integrator that meets the protocol."""

    order: int = 2

    @property
    def controller(self) -> Controller:
        """Proportional-integral."""
        return PIController()

    @property
    def traits(self) -> Traits:
        """Nothing else is to be known."""
        return Traits()

    def begin(self, flow: Flow, start: FlowPoint) -> Memory:
        """Keep nothing."""
        return Memory()

    def attempt(self, flow: Flow, start: FlowPoint, h: np.ndarray, memory: Memory) -> Attempt:
        """Make a step."""
        slope = flow(start.t + h, flow.combine(start.y, h, (1.0,), (start.dy,)))
        y = flow.combine(start.y, h, (0.5, 0.5), (start.dy, slope))
        error = flow.sum(h, (0.5, -0.5), (start.dy, slope))
        return Attempt(y=y, error=flow.error_norm(error, start, y), order=2)

    def advance(
        self, flow: Flow, start: FlowPoint, t: np.ndarray, attempt: Attempt, accepted: np.ndarray, memory: Memory
    ) -> tuple[FlowPoint, Memory]:
        """Evaluate at the new point."""
        y = flow.select(accepted, attempt.y, start.y)
        return FlowPoint(t, y, flow(t, y)), memory

    def interpolant(self, flow: Flow, step: Step) -> list[Any]:
        """Return the cubic."""
        return hermite(flow, step)


def at_fixed_steps(integrator: Integrator, f: Any, y0: Any, t: Any, h: float, **settings: Any) -> OdeSolution:
    """Integrate with all steps of size h accepted."""

    class Fixed(type(integrator)):  # type: ignore[misc]
        """The same method under a controller that keeps the step size."""

        controller = Constant()

    fixed = Fixed(**{field.name: getattr(integrator, field.name) for field in fields(integrator)})
    return integrate(
        f, y0, t, fixed, first_step=h, error_norm=lambda error, start, y: np.zeros(start.t.shape), **settings
    )


def rotation(t: Any, y: Any) -> Any:
    """Return the right-hand side of y₁' = y₂, y₂' = −y₁."""
    xp = array_namespace(y)
    return xp.stack((y[:, 1], -y[:, 0]), axis=1)


def rotated(y0: np.ndarray, t: float) -> np.ndarray:
    """Return the solution of `rotation`."""
    return y0 @ np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])


def forced(t: Any, y: Any) -> Any:
    """Return the right-hand side of y' = −y² / 2 + cos(t) / (1 + t): neither linear nor autonomous."""
    xp = array_namespace(y)
    return -0.5 * y * y + xp.cos(t) / (1 + t)


def measured_order(integrator: Integrator, steps: tuple[int, int], *, t: float = 4.0) -> float:
    """Return the exponent of h in the error at time t of `rotation`, from two numbers of steps."""
    y0 = np.array([[1.0, 0.5]])
    found = [np.asarray(at_fixed_steps(integrator, rotation, y0, (0, t), t / n).y[1]) for n in steps]
    errors = [np.linalg.norm(y - rotated(y0, t)) for y in found]
    return float(np.log(errors[0] / errors[1]) / np.log(steps[1] / steps[0]))


def reference(f: Any, y0: np.ndarray, times: Any) -> np.ndarray:
    """Return the solution at `times` to about 13 digits, by SciPy's DOP853."""
    from scipy.integrate import solve_ivp

    def flat(t: float, y: np.ndarray) -> np.ndarray:
        return np.asarray(f(np.full((1,) * y0.ndim, t), y.reshape(y0.shape))).ravel()

    found = solve_ivp(flat, (times[0], times[-1]), y0.ravel(), "DOP853", t_eval=times, rtol=1e-13, atol=1e-14)
    return found.y.T.reshape(len(times), *y0.shape)
