"""Moré, Garbow & Hillstrom's systems of any size (1981, ACM TOMS 7(1)), from multiples of their standard starts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.classical.problems import (
    Classic,
    System,
    brown_almost_linear,
    broyden_banded,
    broyden_tridiagonal,
    discrete_boundary_value,
    discrete_integral,
    trigonometric,
    variably_dimensioned,
)

SIZES = (10, 40, 100)
FACTORS = (1, 10, 100)


def extended_rosenbrock(x: np.ndarray) -> np.ndarray:
    """Return Rosenbrock's function of each pair (number 21 there)."""
    a, b = x[::2], x[1::2]
    return np.stack([10 * (b - a * a), 1 - a], axis=1).reshape(-1)


def extended_powell(x: np.ndarray) -> np.ndarray:
    """Return Powell's singular function of each four (number 22 there)."""
    a, b, c, d = x.reshape(-1, 4).T
    rows = [a + 10 * b, np.sqrt(5) * (c - d), (b - 2 * c) ** 2, np.sqrt(10) * (a - d) ** 2]
    return np.stack(rows, axis=1).reshape(-1)


def systems(n: int) -> Iterator[Classic]:
    """Yield the systems with n unknowns, an even number, from their standard starts."""
    t = np.arange(1, n + 1) / (n + 1)
    fours = n // 4 * 4
    starts: dict[str, tuple[System, np.ndarray]] = {
        "extended Rosenbrock": (extended_rosenbrock, np.tile([-1.2, 1.0], n // 2)),
        "extended Powell singular": (extended_powell, np.tile([3.0, -1.0, 0.0, 1.0], fours // 4)),
        "Brown almost linear": (brown_almost_linear, np.full(n, 0.5)),
        "discrete boundary value": (discrete_boundary_value, t * (t - 1)),
        "discrete integral": (discrete_integral, t * (t - 1)),
        "trigonometric": (trigonometric, np.full(n, 1 / n)),
        "variably dimensioned": (variably_dimensioned, 1 - np.arange(1, n + 1) / n),
        "Broyden tridiagonal": (broyden_tridiagonal, np.full(n, -1.0)),
        "Broyden banded": (broyden_banded, np.full(n, -1.0)),
    }
    for number, (name, (F, start)) in enumerate(starts.items()):
        yield Classic(number, name, F, tuple(float(each) for each in start))
