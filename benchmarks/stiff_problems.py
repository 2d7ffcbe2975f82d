"""The stiff problems: right-hand sides with exact Jacobians, and solutions that are published or known.

E. Hairer & G. Wanner, Solving Ordinary Differential Equations II, §IV.10; F. Mazzia & C. Magherini, Test Set for
Initial Value Problem Solvers, release 2.4 (2008), whose solutions at the ends are these; A. Prothero & A. Robinson,
Math. Comp. 28 (1974), 145-162.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.integrate import solve_ivp

from equilib.fixed_points.linearization import Linearization
from equilib.ode import OdeProblem


@dataclass(frozen=True, eq=False)
class StiffProblem:
    """y' = f(t, y) of y, shape (size,), from y(0) to the time `end`, with J·v at a point and the solution there."""

    name: str
    f: Callable[[float, np.ndarray], np.ndarray]
    jacobian: Callable[[float, np.ndarray], np.ndarray]
    y0: np.ndarray
    end: float
    atol: float
    """The absolute tolerance beside a relative one of 1."""
    solution: np.ndarray | None = None

    def __str__(self) -> str:
        return self.name

    def problem(self) -> OdeProblem:
        """Return the problem of a batch of one."""

        def linearize(f: object, t: np.ndarray, y: np.ndarray) -> Linearization:
            time = float(t.ravel()[0])
            matrix = self.jacobian(time, y[0])
            return Linearization(
                value=self.f(time, y[0])[None],
                jvp=lambda v: (matrix @ v[0])[None],
                vjp=lambda w: (w[0] @ matrix)[None],
                inputs_vjp=lambda w: (),
            )

        return OdeProblem(lambda t, y: self.f(float(t.ravel()[0]), y[0])[None], linearize=linearize)

    @cache  # noqa: B019 - the problems are module constants
    def reference(self) -> np.ndarray:
        """Return the solution at the end, where it is not published by SciPy's Radau at 1e-12."""
        if self.solution is not None:
            return self.solution
        found = solve_ivp(self.f, (0, self.end), self.y0, "Radau", jac=self.jacobian, rtol=1e-12, atol=1e-12)
        return np.asarray(found.y[:, -1])


def _robertson(t: float, y: np.ndarray) -> np.ndarray:
    slow, fast, square = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return np.array([fast - slow, slow - fast - square, square])


def _robertson_jacobian(t: float, y: np.ndarray) -> np.ndarray:
    a, b, c = 1e4 * y[2], 1e4 * y[1], 6e7 * y[1]
    return np.array([[-0.04, a, b], [0.04, -a - c, -b], [0.0, c, 0.0]])


def _van_der_pol(t: float, y: np.ndarray) -> np.ndarray:
    return np.array([y[1], 1000 * (1 - y[0] ** 2) * y[1] - y[0]])


def _van_der_pol_jacobian(t: float, y: np.ndarray) -> np.ndarray:
    return np.array([[0.0, 1.0], [-2000 * y[0] * y[1] - 1, 1000 * (1 - y[0] ** 2)]])


def _hires(t: float, y: np.ndarray) -> np.ndarray:
    pair = 280 * y[5] * y[7]
    return np.array(
        [
            -1.71 * y[0] + 0.43 * y[1] + 8.32 * y[2] + 0.0007,
            1.71 * y[0] - 8.75 * y[1],
            -10.03 * y[2] + 0.43 * y[3] + 0.035 * y[4],
            8.32 * y[1] + 1.71 * y[2] - 1.12 * y[3],
            -1.745 * y[4] + 0.43 * y[5] + 0.43 * y[6],
            -pair + 0.69 * y[3] + 1.71 * y[4] - 0.43 * y[5] + 0.69 * y[6],
            pair - 1.81 * y[6],
            -pair + 1.81 * y[6],
        ]
    )


def _hires_jacobian(t: float, y: np.ndarray) -> np.ndarray:
    matrix = np.zeros((8, 8))
    matrix[0, :3] = -1.71, 0.43, 8.32
    matrix[1, :2] = 1.71, -8.75
    matrix[2, 2:5] = -10.03, 0.43, 0.035
    matrix[3, 1:4] = 8.32, 1.71, -1.12
    matrix[4, 4:7] = -1.745, 0.43, 0.43
    matrix[5, 3:7] = 0.69, 1.71, -0.43, 0.69
    matrix[6, 6], matrix[7, 6] = -1.81, 1.81
    for row, sign in ((5, -1), (6, 1), (7, -1)):
        matrix[row, 5] += sign * 280 * y[7]
        matrix[row, 7] += sign * 280 * y[5]
    return matrix


def _oregonator(t: float, y: np.ndarray) -> np.ndarray:
    return np.array(
        [
            77.27 * (y[1] + y[0] * (1 - 8.375e-6 * y[0] - y[1])),
            (y[2] - (1 + y[0]) * y[1]) / 77.27,
            0.161 * (y[0] - y[2]),
        ]
    )


def _oregonator_jacobian(t: float, y: np.ndarray) -> np.ndarray:
    return np.array(
        [
            [77.27 * (1 - 2 * 8.375e-6 * y[0] - y[1]), 77.27 * (1 - y[0]), 0.0],
            [-y[1] / 77.27, -(1 + y[0]) / 77.27, 1 / 77.27],
            [0.161, 0.0, -0.161],
        ]
    )


POINTS = 200
FEED, DIFFUSION = np.array([1.0, 3.0]), 0.02


def _laplacian(y: np.ndarray, ends: np.ndarray | float) -> np.ndarray:
    """Return D y″ of both substances, shape (2, POINTS), with the value `ends`, shape (2, 1), at both ends."""
    padded = np.concatenate((np.broadcast_to(ends, (2, 1)), y, np.broadcast_to(ends, (2, 1))), axis=1)
    return DIFFUSION * (POINTS + 1) ** 2 * (padded[:, 2:] - 2 * y + padded[:, :-2])


def _brusselator(t: float, y: np.ndarray) -> np.ndarray:
    u, v = y.reshape(2, POINTS)
    reaction = np.stack((1 + u * u * v - 4 * u, 3 * u - u * u * v))
    return (reaction + _laplacian(y.reshape(2, POINTS), FEED[:, None])).ravel()


@cache
def _diffusion() -> np.ndarray:
    return np.stack([_laplacian(unit.reshape(2, POINTS), 0.0).ravel() for unit in np.eye(2 * POINTS)], axis=1)


def _brusselator_jacobian(t: float, y: np.ndarray) -> np.ndarray:
    u, v = y.reshape(2, POINTS)
    blocks = [[np.diag(2 * u * v - 4), np.diag(u * u)], [np.diag(3 - 2 * u * v), np.diag(-u * u)]]
    return np.asarray(np.block(blocks) + _diffusion())


STIFFNESS = 1e6

PROBLEMS = (
    StiffProblem(
        "Robertson to 1e11",
        _robertson,
        _robertson_jacobian,
        np.array([1.0, 0.0, 0.0]),
        1e11,
        1e-6,
        np.array([0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050]),
    ),
    StiffProblem(
        "van der Pol, μ = 1000",
        _van_der_pol,
        _van_der_pol_jacobian,
        np.array([2.0, 0.0]),
        2000.0,
        1e-3,
        np.array([0.1706167732170483e1, -0.8928097010247975e-3]),
    ),
    StiffProblem(
        "HIRES",
        _hires,
        _hires_jacobian,
        np.array([1.0, 0, 0, 0, 0, 0, 0, 0.0057]),
        321.8122,
        1e-4,
        np.array(
            [
                0.7371312573325668e-3,
                0.1442485726316185e-3,
                0.5888729740967575e-4,
                0.1175651343283149e-2,
                0.2386356198831331e-2,
                0.6238968252742796e-2,
                0.2849998395185769e-2,
                0.2850001604814231e-2,
            ]
        ),
    ),
    StiffProblem(
        "Oregonator",
        _oregonator,
        _oregonator_jacobian,
        np.array([1.0, 2.0, 3.0]),
        360.0,
        1e-2,
        np.array([0.1000814870318523e1, 0.1228178521549917e4, 0.1320554942846706e3]),
    ),
    StiffProblem(
        "Prothero-Robinson, λ = 1e6",
        lambda t, y: -STIFFNESS * (y - np.sin(t)) + np.cos(t),
        lambda t, y: np.array([[-STIFFNESS]]),
        np.array([0.0]),
        10.0,
        1.0,
        np.array([np.sin(10.0)]),
    ),
    StiffProblem(
        "Brusselator, 400 unknowns",
        _brusselator,
        _brusselator_jacobian,
        np.concatenate((1 + np.sin(2 * np.pi * np.arange(1, POINTS + 1) / (POINTS + 1)), np.full(POINTS, 3.0))),
        10.0,
        1.0,
    ),
)
