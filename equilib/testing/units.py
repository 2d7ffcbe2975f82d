"""Laws of an integrator: units, origin and direction of a problem, and arrays of f, by which no step changes."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from equilib.arrays import Array
from equilib.fixed_points.linearization import Linearization
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeSolution
from equilib.testing.check import require
from equilib.testing.decay import decay, linearized_decay
from equilib.testing.integrator_subject import TIMES, Y0, IntegratorSubject
from equilib.testing.subject import difference

ATOL = 1e-5
"""The absolute tolerance of `IntegratorSubject.run`."""

ROUNDING = 1e-7
"""What rounding may change, relative to y: the error of a first step, from which the next follows, is hardly more."""

TINY = 2.0**-66
"""A unit in which ordinary numbers are about 1e-20."""


def _seen(
    f: Callable[[Array, Array], Array] = decay, *, rate: float = 1.0, origin: float = 0.0, size: float = 1.0
) -> OdeProblem:
    """Return the equation of z(s) = size · y(rate · (s − origin))."""

    def slope(s: Array, z: Array) -> Array:
        return f((s - origin) * rate, z / size) * (rate * size)

    def linearize(_: object, s: Array, z: Array) -> Linearization:
        linear = linearized_decay(slope, s, z)
        jvp, vjp = (lambda v, product=product: product(v) * rate for product in (linear.jvp, linear.vjp))
        return replace(linear, jvp=jvp, vjp=vjp)

    return OdeProblem(slope, linearize=linearize)


def _same(subject: IntegratorSubject, found: OdeSolution, size: float, how: str) -> None:
    usual = subject.run()
    require(usual.success and found.success, f"{how}: {found.failure_report()}")
    for name in ("accepted", "rejected", "nfe"):
        steps, others = (int(np.max(getattr(each, name))) for each in (usual, found))
        require(steps == others, f"{how} {name} is {others} where it was {steps}")
    gap = difference(found.y / size, usual.y)
    require(gap < ROUNDING, f"{how} the answer changes by {gap:.1e}, relative to y")


def does_not_know_the_unit_of_time(subject: IntegratorSubject) -> None:
    """A second is as good as a year: constants in a first step, or a guard, that have a dimension are seen here."""
    rate = 2.0**-31
    found = subject.run(f=_seen(rate=rate), times=tuple(t / rate for t in TIMES))
    _same(subject, found, 1.0, "with t 2^31 times as long")


def does_not_know_the_unit_of_y(subject: IntegratorSubject) -> None:
    """What is small is told by the absolute tolerance alone: a difference quotient of a width of its own is seen."""
    found = subject.run(Y0 * TINY, f=_seen(size=TINY), atol=ATOL * TINY)
    _same(subject, found, TINY, "with y, and atol, 2^66 times smaller")


def does_not_know_the_origin_of_time(subject: IntegratorSubject) -> None:
    """Where t is large beside its steps they are the same, to rounding."""
    found = subject.run(f=_seen(origin=4096.0), times=tuple(4096.0 + t for t in TIMES))
    _same(subject, found, 1.0, "from t = 4096")


def does_not_know_the_direction_of_time(subject: IntegratorSubject) -> None:
    """The steps of a problem whose time is turned round are its steps."""
    found = subject.run(f=_seen(rate=-1.0), times=tuple(-t for t in TIMES))
    _same(subject, found, 1.0, "with t turned round")


def lets_f_use_arrays_again(subject: IntegratorSubject) -> None:
    """A user's f may write what it returns into one buffer, and into y where it can: what is kept is a copy."""
    buffer = np.empty_like(Y0)

    def sparing(t: Array, y: Array) -> Array:
        buffer[...] = decay(t, y)
        if y.flags.writeable:
            y[...] = np.nan
        return buffer

    problem = OdeProblem(sparing, linearize=lambda f, t, y: linearized_decay(decay, t, y))
    _same(subject, subject.run(f=problem), 1.0, "with an f that returns one array")
