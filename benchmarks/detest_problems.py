"""The non-stiff DETEST problems.

T. E. Hull, W. H. Enright, B. M. Fellen & A. E. Sedgwick, Comparing numerical methods for ordinary differential
equations, SIAM J. Numer. Anal. 9 (1972), 603-637. Every problem runs from t = 0 to 20.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

END = 20.0
Slope = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class InitialValueProblem:
    """One problem: y' = f(t, y) for the components along the last axis, from y(0) = y0."""

    name: str
    f: Slope
    y0: np.ndarray

    def __str__(self) -> str:
        return self.name


def _columns(f: Callable[..., tuple[np.ndarray, ...]]) -> Slope:
    """Make f(t, y) of one array from f(t, y₁, y₂, ...), which returns a component each."""

    def slope(t: np.ndarray, y: np.ndarray) -> np.ndarray:
        time = np.reshape(t, (-1,))
        return np.stack(np.broadcast_arrays(*f(time, *np.moveaxis(y, -1, 0))), axis=-1)

    return slope


def _matrix(M: np.ndarray) -> Slope:
    return lambda t, y: y @ M.T


def _chain(rates: np.ndarray) -> np.ndarray:
    """Return the matrix of a decay chain: each nuclide decays into the next, the last is stable."""
    return np.diag(np.append(-rates, 0.0)) + np.diag(rates, -1)


def _heat(size: int) -> np.ndarray:
    return np.diag(np.full(size, -2.0)) + np.diag(np.ones(size - 1), 1) + np.diag(np.ones(size - 1), -1)


def _torus(t: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
    r = np.hypot(a, b)
    return -b - a * c / r, a - b * c / r, a / r


def _orbit(t: np.ndarray, x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
    cubed = np.hypot(x, y) ** 3
    return u, v, -x / cubed, -y / cubed


# C5: the outer planets, their masses and that of the sun; positions, a planet a line, and velocities.
_GRAVITY, _SUN = 2.95912208286, 1.00000597682
_MASSES = np.array([0.000954786104043, 0.000285583733151, 0.0000437273164546, 0.0000517759138449, 0.00000277777777778])
_PLANETS = [
    *(3.42947415189, 3.35386959711, 1.35494901715),
    *(6.64145542550, 5.97156957878, 2.18231499728),
    *(11.2630437207, 14.6952576794, 6.27960525067),
    *(-30.1552268759, 1.65699966404, 1.43785752721),
    *(-21.1238353380, 28.4465098142, 15.3882659679),
    *(-0.557160570446, 0.505696783289, 0.230578543901),
    *(-0.415570776342, 0.365682722812, 0.169143213293),
    *(-0.325325669158, 0.189706021964, 0.0877265322780),
    *(-0.0240476254170, -0.287659532608, -0.117219543175),
    *(-0.176860753121, -0.216393453025, -0.0148647893090),
]


def _planets(t: np.ndarray, y: np.ndarray) -> np.ndarray:
    position, velocity = (part.reshape((*y.shape[:-1], 5, 3)) for part in np.split(y, 2, axis=-1))
    pull = position / np.sum(position**2, axis=-1, keepdims=True) ** 1.5
    apart = position[..., None, :, :] - position[..., :, None, :]
    cubed = np.sum(apart**2, axis=-1, keepdims=True) ** 1.5 + np.eye(5)[..., None]
    others = _MASSES[:, None] * (apart / cubed - pull[..., None, :, :] * (1 - np.eye(5)[..., None]))
    slope = _GRAVITY * (np.sum(others, axis=-2) - (_SUN + _MASSES[:, None]) * pull)
    return np.concatenate((velocity.reshape((*y.shape[:-1], 15)), slope.reshape((*y.shape[:-1], 15))), axis=-1)


def _problems() -> list[InitialValueProblem]:
    def unit(size: int) -> list[float]:
        return [1.0, *([0.0] * (size - 1))]

    table: list[tuple[str, Slope, list[float]]] = [
        ("A1", lambda t, y: -y, [1.0]),
        ("A2", lambda t, y: -(y**3) / 2, [1.0]),
        ("A3", lambda t, y: y * np.cos(t), [1.0]),
        ("A4", lambda t, y: y / 4 * (1 - y / 20), [1.0]),
        ("A5", lambda t, y: (y - t) / (y + t), [4.0]),
        ("B1", _columns(lambda t, a, b: (2 * (a - a * b), -(b - a * b))), [1.0, 3.0]),
        ("B2", _columns(lambda t, a, b, c: (-a + b, a - 2 * b + c, b - c)), [2.0, 0.0, 1.0]),
        ("B3", _columns(lambda t, a, b, c: (-a, a - b * b, b * b)), unit(3)),
        ("B4", _columns(_torus), [3.0, 0.0, 0.0]),
        ("B5", _columns(lambda t, a, b, c: (b * c, -a * c, -0.51 * a * b)), [0.0, 1.0, 1.0]),
        ("C1", _matrix(_chain(np.ones(9))), unit(10)),
        ("C2", _matrix(_chain(np.arange(1.0, 10.0))), unit(10)),
        ("C3", _matrix(_heat(10)), unit(10)),
        ("C4", _matrix(_heat(51)), unit(51)),
        ("C5", _planets, _PLANETS),
        *(
            (f"D{number}", _columns(_orbit), [1 - e, 0.0, 0.0, np.sqrt((1 + e) / (1 - e))])
            for number, e in enumerate((0.1, 0.3, 0.5, 0.7, 0.9), start=1)
        ),
        (
            "E1",
            _columns(lambda t, a, b: (b, -(b / (t + 1) + (1 - 0.25 / (t + 1) ** 2) * a))),
            [0.6713967071418030, 0.09540051444747446],
        ),
        ("E2", _columns(lambda t, a, b: (b, (1 - a * a) * b - a)), [2.0, 0.0]),
        ("E3", _columns(lambda t, a, b: (b, a**3 / 6 - a + 2 * np.sin(2.78535 * t))), [0.0, 0.0]),
        ("E4", _columns(lambda t, a, b: (b, 0.032 - 0.4 * b * b)), [30.0, 0.0]),
        ("E5", _columns(lambda t, a, b: (b, np.sqrt(1 + b * b) / (25 - t))), [0.0, 0.0]),
    ]
    return [InitialValueProblem(name, f, np.asarray(y0)) for name, f, y0 in table]


PROBLEMS = _problems()


def solve_by_scipy(
    problem: InitialValueProblem, method: str, rtol: float, atol: float, *, times: Sequence[float] | np.ndarray = (END,)
) -> tuple[np.ndarray, int]:
    """Return y at `times`, shape (times, size), and the number of evaluations, by `scipy.integrate.solve_ivp`."""
    from scipy.integrate import solve_ivp

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        return problem.f(np.asarray(t), y[None])[0]

    found = solve_ivp(slope, (0.0, END), problem.y0, method, rtol=rtol, atol=atol, t_eval=times)
    return found.y.T, found.nfev
