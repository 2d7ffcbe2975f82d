"""Laws of an integrator's answers: the order, the tolerance, and the honest end where there is no solution."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import copy
from dataclasses import replace
from math import log2
from typing import Any

import numpy as np

from equilib.arrays import Array, array_namespace
from equilib.fixed_points.solve import solve
from equilib.ode.integration import integrate
from equilib.ode.integrator import Attempt, FixedStepIntegrator, Integrator
from equilib.ode.library import LibraryIntegrator
from equilib.ode.solution import OdeSolution
from equilib.ode.steady_state import SteadyState
from equilib.ode.step_control import ControlState
from equilib.testing.check import require
from equilib.testing.decay import decay, decayed
from equilib.testing.integrator_subject import TIMES, Y0, IntegratorSubject
from equilib.testing.maps import DENSE
from equilib.testing.subject import difference, same_bits


def _finishes(solution: OdeSolution, when: str) -> None:
    if not solution.success:
        raise AssertionError(f"{when}: {solution.failure_report()}")


def has_the_order_it_declares(subject: IntegratorSubject) -> None:
    """The controller chooses steps by the order; halving them must divide the error by 2 to that power."""
    fixed: Any = _AtFixedSteps(subject.stepped())
    errors = []
    for steps in (20, 40):
        solution = integrate(decay, Y0, (0.0, 2.0), fixed, first_step=2.0 / steps, error_norm=_no_error)
        errors.append(difference(solution.y[-1], decayed(Y0, 2.0)))
    order = log2(errors[0] / errors[1])
    require(order > subject.integrator.order - 0.4, f"it declares {subject.integrator.order}, measured is {order:.2f}")


def _allowed(subject: IntegratorSubject, error: float) -> float:
    """Return the error allowed on the way from 0 to 2: with a number of steps what is usual for the order."""
    integrator = subject.integrator
    if isinstance(integrator, FixedStepIntegrator):
        return float(10 * (2 / integrator.steps) ** integrator.order)
    return error


def _no_error(error: Array, start: Any, y: Array) -> np.ndarray:
    return np.zeros(start.t.shape)


class _KeepTheStep:
    def factor(self, error: np.ndarray, accepted: np.ndarray, state: ControlState, order: Any) -> np.ndarray:
        return np.ones(error.shape)


class _AtFixedSteps:
    """An integrator whose controller keeps the step size."""

    controller = _KeepTheStep()

    def __init__(self, integrator: Integrator) -> None:
        self._integrator = integrator

    def attempt(self, *args: Any) -> Attempt:
        return replace(self._integrator.attempt(*args), factor=None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._integrator, name)


def follows_the_tolerance(subject: IntegratorSubject) -> None:
    """Who asks for a smaller error pays for it, and gets it."""
    if not isinstance(subject.integrator, LibraryIntegrator):
        subject.controlled()
    spent = []
    finest = 1e-5 if subject.integrator.order < 6 else 1e-7  # of an order of 8, 1e-5 asks for no more than 1e-3
    for rtol in (1e-3, 1e-4, finest):
        solution = subject.run(rtol=rtol, atol=rtol)
        _finishes(solution, f"with rtol={rtol}")
        error = difference(solution.y[-1], decayed(Y0, TIMES[-1]))
        require(error <= 30 * rtol, f"with rtol={rtol} the error at the end is {error:.1e}")
        spent.append(solution.nfe)
    require(spent[0] <= spent[1] <= spent[2] > spent[0], f"1e-3, 1e-4 and {finest:.0e} took {spent} evaluations")
    loose = subject.run(rtol=1e-9, atol=1e-3).nfe
    require(loose <= spent[1], f"atol=1e-3 beside a small rtol took {loose} evaluations: it does not see atol")


def answers_between_its_steps(subject: IntegratorSubject) -> None:
    """The times asked for must not cost steps: values between come from the interpolant, as good as the steps."""
    tolerance: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
    plain = subject.run(times=(0.0, 2.0), **tolerance)
    asked = tuple(np.linspace(0.0, 2.0, 41))
    solution = subject.run(times=asked, dense=True, **tolerance)
    # Some libraries spend evaluations on their interpolant.
    free = not isinstance(subject.integrator, LibraryIntegrator)
    require(not free or solution.nfe <= plain.nfe + 1, f"41 times cost {solution.nfe} evaluations, 2 cost {plain.nfe}")
    require(same_bits(solution.y[-1], plain.y[-1]), "the end depends on the times asked for in between")
    error = max(difference(y, decayed(Y0, t)) for t, y in zip(asked, solution.y, strict=True))
    require(error <= _allowed(subject, 3e-4), f"between the steps the error is {error:.1e} at a tolerance of 1e-5")


def keeps_to_the_largest_step(subject: IntegratorSubject) -> None:
    """What lies between two times that f is asked for goes unseen: who bounds the steps relies on it."""
    steps = int(np.min(subject.run(largest_step=0.1).accepted))
    require(steps >= 20, f"with a largest step of 0.1 it takes {steps} steps from 0 to 2")


def integrates_backwards(subject: IntegratorSubject) -> None:
    """Adjoints run from the end to the beginning."""
    solution = subject.run(y0=decayed(Y0, 2.0), times=(2.0, 0.0))
    _finishes(solution, "from t = 2 to 0")
    error = difference(solution.y[-1], Y0)
    require(error < _allowed(subject, 1e-2), f"back at the start the error is {error:.1e} at a tolerance of 1e-4")


def recovers_from_a_step_too_long(subject: IntegratorSubject) -> None:
    """A rejected step leaves no trace: after a first step that is far too long the answer is as good as ever."""
    subject.controlled()
    solution = subject.run(first_step=2.0)
    _finishes(solution, "with a first step of 2")
    require(int(solution.rejected[0]) > 0, "it accepted a first step of 2 at a tolerance of 1e-4")
    error = difference(solution.y[-1], decayed(Y0, 2.0))
    require(error < 3e-3, f"after {solution.rejected[0]} rejected steps the error is {error:.1e}")


def takes_back_a_step_into_nan(subject: IntegratorSubject) -> None:
    """An error of nan is no small error: a step that leaves f's domain is rejected, and a shorter one does not."""
    subject.controlled()

    def bounded(t: Array, y: Array) -> Array:
        xp = array_namespace(y)
        return xp.where(xp.abs(y) > 1.5, xp.nan, decay(t, y))

    solution = subject.run(f=bounded, first_step=2.0)
    _finishes(solution, "with a first step out of f's domain")
    error = difference(solution.y[-1], decayed(Y0, 2.0))
    require(error < 3e-3, f"after a step out of f's domain the error is {error:.1e}")


def ends_where_f_turns_nan(subject: IntegratorSubject) -> None:
    """Where f is nan from t = 1 on there is no solution beyond, and none may be claimed."""
    solution = subject.run(f=lambda t, y: decay(t, y) + np.where(t > 1, np.nan, 0.0))
    require(not solution.success, "it claims to have passed t = 1, from where on f is nan")
    require(
        float(np.max(solution.reached)) < 1.2, f"it went on to t = {np.max(solution.reached):.3g}, f is nan from 1 on"
    )


def is_honest_where_the_solution_blows_up(subject: IntegratorSubject) -> None:
    """The solution of y' = y² from 1 ends at t = 1; an integrator that gets past it has lied."""
    options: dict[str, Any] = {"on_failure": "record", "max_steps": 2000}
    solution = integrate(lambda t, y: y * y, np.ones((1, 1)), (0.0, 2.0), copy.deepcopy(subject.integrator), **options)
    require(not solution.success, "it claims to have passed the singularity")
    # Euler's steps are too short there: it sees the singularity late.
    latest = 1.5 if isinstance(subject.integrator, FixedStepIntegrator) else 1.2
    require(float(solution.reached[0]) < latest, f"it went on to t = {solution.reached[0]:.3g}, the solution ends at 1")


def finds_steady_states(subject: IntegratorSubject) -> None:
    """`SteadyState` turns every integrator into a solver of z = f(z)."""
    solver = SteadyState(copy.deepcopy(subject.integrator))
    solution = solve(DENSE.problem(), solver, DENSE.start(), rtol=1e-6, max_steps=1000, on_failure="record")
    require(solution.success, solution.failure_report())
    error = difference(solution.z, DENSE.solution)
    require(error < 1e-4, f"the error is {error:.1e} at a tolerance of 1e-6")
