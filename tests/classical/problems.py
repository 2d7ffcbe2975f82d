"""The 23 classical systems F(x) = 0 on which nonlinear solvers are compared, from their standard starts.

Moré, Garbow & Hillstrom 1981, ACM TOMS 7(1), for numbers 1–14; Hammarling's matrix square roots
(15, 16); Dennis & Schnabel 1983 (17); Boggs 1971 (22); Chandrasekhar's H-equation as in Kelley 1995
(23); and the small ones that the collection TEST_NONLIN adds to them (18–21), whose numbering is used.

Each is solved as z = z − F(z): at most of the starts the eigenvalues of F' are positive, so that a small Picard step
of that form is a descent, and one of z = z + F(z) is not. Newton's steps are the same for both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from equilib import FixedPointProblem

System = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Classic:
    """A system F(x) = 0, analytic near its standard start."""

    number: int
    name: str
    F: System
    start: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"

    @property
    def z0(self) -> np.ndarray:
        """The standard start, shape (n,)."""
        return np.asarray(self.start, dtype=float)

    def problem(self, sign: float = -1.0) -> FixedPointProblem:
        """Return z = z + sign F(z) for states of shape (1, n), with derivatives by the complex step."""
        return FixedPointProblem(
            lambda z: z + sign * self.F(z[0])[None, :],
            jvp=lambda z, v: v + sign * self.product(z[0], v[0])[None, :],
            vjp=lambda z, w: w + sign * (w[0] @ self.jacobian(z[0]))[None, :],
        )

    def product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return F'(x) v, exact to rounding: the imaginary part of F at x + i h v, over h (Squire & Trapp 1998)."""
        tiny = 1e-40
        size = np.linalg.norm(v)
        if not (np.isfinite(size) and size > 0):
            return 0 * v
        return np.imag(self.F(x + 1j * tiny * v / size)) * (size / tiny)

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Return F'(x), shape (n, n), column by column."""
        return np.stack([self.product(x, unit) for unit in np.eye(len(x))], axis=1)


def rosenbrock(x: np.ndarray) -> np.ndarray:
    """Extend Rosenbrock's function to a chain."""
    return np.concatenate([1 - x[:1], 10 * (x[1:] - x[:-1] ** 2)])


def powell_singular(x: np.ndarray) -> np.ndarray:
    """Return Powell's function, whose Jacobian is singular at the solution."""
    a, b, c, d = x
    return np.array([a + 10 * b, np.sqrt(5) * (c - d), (b - 2 * c) ** 2, np.sqrt(10) * (a - d) ** 2])


def powell_badly_scaled(x: np.ndarray) -> np.ndarray:
    """Return Powell's function with solutions near (1e-5, 9)."""
    a, b = x
    return np.array([1e4 * a * b - 1, np.exp(-a) + np.exp(-b) - 1.0001])


def wood(x: np.ndarray) -> np.ndarray:
    """Return the gradient of Wood's function."""
    a, b, c, d = x
    first, second = b - a * a, d - c * c
    return np.array(
        [
            -200 * a * first - (1 - a),
            200 * first + 20.2 * (b - 1) + 19.8 * (d - 1),
            -180 * c * second - (1 - c),
            180 * second + 20.2 * (d - 1) + 19.8 * (b - 1),
        ]
    )


def helical_valley(x: np.ndarray) -> np.ndarray:
    """Return Fletcher and Powell's valley along a helix."""
    a, b, c = x
    turn = 0.25 * np.sign(b.real) if a.real == 0 else np.arctan(b / a) / (2 * np.pi) + (0.5 if a.real < 0 else 0.0)
    return np.array([10 * (c - 10 * turn), 10 * (np.sqrt(a * a + b * b) - 1), c])


def watson(x: np.ndarray) -> np.ndarray:
    """Return half the gradient of Watson's sum of squares, 31 terms."""
    powers = np.arange(len(x))
    t = np.arange(1, 30)[:, None] / 29
    slopes, values = powers * t ** np.maximum(powers - 1, 0), t**powers
    sums = values @ x
    terms = slopes @ x - sums**2 - 1
    gradient = (slopes - 2 * sums[:, None] * values).T @ terms
    last = x[1] - x[0] ** 2 - 1
    gradient[0] += x[0] - 2 * x[0] * last
    gradient[1] += last
    return gradient


def chebyquad(x: np.ndarray) -> np.ndarray:
    """Compare the means of shifted Chebyshev polynomials over the points x with their integrals over [0, 1]."""
    n = len(x)
    before, now, means = np.ones_like(x), 2 * x - 1, []
    for _ in range(n):
        means.append(np.sum(now) / n)
        before, now = now, 2 * (2 * x - 1) * now - before
    integrals = [-1 / (i * i - 1) if i % 2 == 0 else 0.0 for i in range(1, n + 1)]
    return np.array(means) - integrals


def brown_almost_linear(x: np.ndarray) -> np.ndarray:
    """Return Brown's system: all rows but the last are linear."""
    return np.append(x[:-1] + np.sum(x) - (len(x) + 1), np.prod(x) - 1)


def _grid(n: int) -> np.ndarray:
    return np.arange(1, n + 1) / (n + 1)


def discrete_boundary_value(x: np.ndarray) -> np.ndarray:
    """Discretize u'' = (u + t + 1)³ / 2, u(0) = u(1) = 0."""
    t = _grid(len(x))
    padded = np.concatenate([[0], x, [0]])
    return 2 * x - padded[:-2] - padded[2:] + t[0] ** 2 * (x + t + 1) ** 3 / 2


def discrete_integral(x: np.ndarray) -> np.ndarray:
    """Discretize the integral equation of the same boundary value problem."""
    t = _grid(len(x))
    cubes = (x + t + 1) ** 3
    left = np.cumsum(t * cubes)
    right = np.sum((1 - t) * cubes) - np.cumsum((1 - t) * cubes)
    return x + t[0] * ((1 - t) * left + t * right) / 2


def trigonometric(x: np.ndarray) -> np.ndarray:
    """Return Spedicato's trigonometric system."""
    n = len(x)
    return n - np.sum(np.cos(x)) + np.arange(1, n + 1) * (1 - np.cos(x)) - np.sin(x)


def variably_dimensioned(x: np.ndarray) -> np.ndarray:
    """Return half the gradient of the variably dimensioned function."""
    weights = np.arange(1, len(x) + 1)
    total = np.sum(weights * (x - 1))
    return x - 1 + weights * total * (1 + 2 * total**2)


def broyden_tridiagonal(x: np.ndarray) -> np.ndarray:
    """Return Broyden's tridiagonal system."""
    padded = np.concatenate([[0], x, [0]])
    return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1


def broyden_banded(x: np.ndarray) -> np.ndarray:
    """Return Broyden's banded system: five elements below the diagonal, one above."""
    near = np.tri(len(x), k=1) - np.tri(len(x), k=-6) - np.eye(len(x))
    return x * (2 + 5 * x * x) + 1 - near @ (x * (1 + x))


def square_root(x: np.ndarray) -> np.ndarray:
    """Ask for the square root of a Jordan block with the eigenvalue 1e-4."""
    size = round(len(x) ** 0.5)
    X = x.reshape(size, size)
    target = 1e-4 * np.eye(size)
    target[0, 1] = 1
    return (X @ X - target).reshape(-1)


def dennis_schnabel(x: np.ndarray) -> np.ndarray:
    """Intersect a line and a circle."""
    a, b = x
    return np.array([a + b - 3, a * a + b * b - 9])


def sample_18(x: np.ndarray) -> np.ndarray:
    """Return a system with a removable singularity on the axes."""
    a, b = x

    def quotient(t: complex) -> complex:
        return -np.expm1(-t * t) / t if t != 0 else t

    return np.array([b * b * quotient(a), a * quotient(b)])


def sample_19(x: np.ndarray) -> np.ndarray:
    """Return a system with a triple root."""
    return x * np.sum(x * x)


def scalar_20(x: np.ndarray) -> np.ndarray:
    """Return x (x − 5)², with a double root at 5."""
    return x * (x - 5) ** 2


def freudenstein_roth(x: np.ndarray) -> np.ndarray:
    """Return Freudenstein and Roth's system: ‖F‖ has a local minimum that is no solution."""
    a, b = x
    return np.array([a - b**3 + 5 * b**2 - 2 * b - 13, a + b**3 + b**2 - 14 * b - 29])


def boggs(x: np.ndarray) -> np.ndarray:
    """Return Boggs's system with several solutions."""
    a, b = x
    return np.array([a * a - b + 1, a - np.cos(np.pi * b / 2)])


def chandrasekhar(x: np.ndarray) -> np.ndarray:
    """Discretize Chandrasekhar's H-equation with c = 0.9 by the midpoint rule."""
    n = len(x)
    mu = (np.arange(n) + 0.5) / n
    kernel = mu[:, None] / (mu[:, None] + mu)
    return x - 1 / (1 - 0.9 / (2 * n) * kernel @ x)


def _tuple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


_TEN = np.arange(1, 11)
CLASSICS = (
    Classic(1, "Rosenbrock", rosenbrock, (-1.2, *[1.0] * 9)),
    Classic(2, "Powell singular", powell_singular, (3.0, -1.0, 0.0, 1.0)),
    Classic(3, "Powell badly scaled", powell_badly_scaled, (0.0, 1.0)),
    Classic(4, "Wood", wood, (-3.0, -1.0, -3.0, -1.0)),
    Classic(5, "helical valley", helical_valley, (-1.0, 0.0, 0.0)),
    Classic(6, "Watson", watson, (0.0, 0.0)),
    Classic(7, "Chebyquad", chebyquad, (1 / 3, 2 / 3)),
    Classic(8, "Brown almost linear", brown_almost_linear, (0.5,) * 10),
    Classic(9, "discrete boundary value", discrete_boundary_value, _tuple(_grid(10) * (_grid(10) - 1))),
    Classic(10, "discrete integral", discrete_integral, _tuple(_grid(10) * (_grid(10) - 1))),
    Classic(11, "trigonometric", trigonometric, (0.1,) * 10),
    Classic(12, "variably dimensioned", variably_dimensioned, _tuple(1 - _TEN / 10)),
    Classic(13, "Broyden tridiagonal", broyden_tridiagonal, (-1.0,) * 10),
    Classic(14, "Broyden banded", broyden_banded, (-1.0,) * 10),
    Classic(15, "square root 2×2", square_root, _tuple(np.eye(2).reshape(-1))),
    Classic(16, "square root 3×3", square_root, _tuple(np.eye(3).reshape(-1))),
    Classic(17, "Dennis–Schnabel", dennis_schnabel, (1.0, 5.0)),
    Classic(18, "sample 18", sample_18, (2.0, 2.0)),
    Classic(19, "sample 19", sample_19, (3.0, 3.0)),
    Classic(20, "x (x − 5)²", scalar_20, (1.0,)),
    Classic(21, "Freudenstein–Roth", freudenstein_roth, (0.5, -2.0)),
    Classic(22, "Boggs", boggs, (1.0, 0.0)),
    Classic(23, "Chandrasekhar", chandrasekhar, (1.0,) * 10),
)
