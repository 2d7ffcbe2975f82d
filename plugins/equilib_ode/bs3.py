"""The 3(2) pair of Bogacki & Shampine; its interpolant is the cubic through both ends with their derivatives.

P. Bogacki & L. F. Shampine, A 3(2) pair of Runge-Kutta formulas, Appl. Math. Lett. 2 (1989), 321-325.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from equilib.ode import Controller, PIController
from equilib_ode.runge_kutta import RungeKutta
from equilib_ode.tableau import ButcherTableau

BS3 = ButcherTableau(
    a=((), (1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    error=(5 / 72, -1 / 12, -1 / 9, 1 / 8),
    interpolant=((1.0, -4 / 3, 5 / 9), (0.0, 1.0, -2 / 3), (0.0, 4 / 3, -8 / 9), (0.0, -1.0, 1.0)),
    order=3,
    embedded_order=2,
    interpolant_order=3,
)


@dataclass(frozen=True)
class BogackiShampine3(RungeKutta):
    """Bogacki & Shampine's method of order 3, three evaluations a step: for loose tolerances."""

    tableau: ClassVar[ButcherTableau] = BS3
    controller: ClassVar[Controller] = PIController(safety=0.9, alpha=0.75, beta=0.35, first_largest=30.0)
