"""Equations whose f jumps or has kinks at places that nobody is told: how often an answer is wrong by 100 tolerances.

f jumps in t, in y, or has kinks there, once or often, at random places, with sizes and time scales over some decades,
at tolerances from 1e-3 to 1e-8 (1e-6 for methods of order 3). All solutions are known. Wrong is an error at the end
above a hundred times atol + rtol·|y|, where the status is FINISHED. Until t = 10 no solution makes an error grow, but a
ball in a wedge: what a passage does to its energy changes the time to all later ones. Evaluations are of batches for
ours, which step samples by themselves, and of single samples for SciPy's: they compare one column with itself only.
What lies between two times for which a method asks f, as a short pulse does, is seen by none, and is not asked for.
Nothing is timed.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from equilib.fixed_points.linearization import Linearization
from equilib.ode import OdeProblem, integrate
from equilib_ode.auto import Auto
from equilib_ode.bdf import BDF
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.dopri5 import Dopri5
from equilib_ode.kencarp47 import KenCarp47
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM

RESULT = Path(__file__).parent / "results" / "jumps.md"
END, WRONG = 10.0, 100.0
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
IMPLICIT = {"kencarp47": KenCarp47(), "bdf": BDF(), "auto": Auto()}
EXPLICIT = {"tsit5": Tsit5(), "dopri5": Dopri5(), "vcabm": VCABM(), "bs3": BogackiShampine3(), "vcab3": VCAB3()}
LOW_ORDER, LOOSE = ("bs3", "vcab3"), 1e-6
SCIPYS = ("RK45", "Radau", "BDF", "LSODA")


@dataclass(frozen=True)
class Kind:
    """Equations of one kind for a batch of samples: f(t, y), J(t, y) v, y(0), y(END), each of shape (batch, size).

    `stiff` ones are for implicit methods only.
    """

    f: Callable[[Any, Any], np.ndarray]
    jvp: Callable[[Any, Any, np.ndarray], np.ndarray]
    y0: np.ndarray
    end: np.ndarray
    stiff: bool = False


def _powers(rng: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    return 10 ** rng.uniform(low, high, (count, 1))


def _nothing(t: Any, y: Any, v: np.ndarray) -> np.ndarray:
    return 0 * v


def _quadrature(f: Callable[[Any], Any], integral: np.ndarray) -> Kind:
    return Kind(lambda t, y: f(t) + 0 * y, _nothing, np.zeros_like(integral), integral)


def jump_at_rest(rng: np.random.Generator, n: int) -> Kind:
    """Return y' = s H(t − c) from 0: nothing moves before."""
    c, s = rng.uniform(0.5, 9.5, (n, 1)), _powers(rng, n, -2, 2)
    return _quadrature(lambda t: s * (t > c), s * (END - c))


def jump_in_time(rng: np.random.Generator, n: int) -> Kind:
    """Return y' = cos(w t + p) + s H(t − c)."""
    c, p = rng.uniform(0.5, 9.5, (n, 1)), rng.uniform(0, 6, (n, 1))
    s, w = _powers(rng, n, -2, 1), _powers(rng, n, -1, 0.7)
    return _quadrature(lambda t: np.cos(w * t + p) + s * (t > c), (np.sin(w * END + p) - np.sin(p)) / w + s * (END - c))


def kink_in_time(rng: np.random.Generator, n: int) -> Kind:
    """Return y' = cos(w t + p) + s max(0, t − c)."""
    c, p = rng.uniform(0.5, 9.5, (n, 1)), rng.uniform(0, 6, (n, 1))
    s, w = _powers(rng, n, -2, 1), _powers(rng, n, -1, 0.7)
    integral = (np.sin(w * END + p) - np.sin(p)) / w + s * (END - c) ** 2 / 2
    return _quadrature(lambda t: np.cos(w * t + p) + s * np.maximum(0, t - c), integral)


def square_wave(rng: np.random.Generator, n: int) -> Kind:
    """Return y' = 3 cos(5 t) + s sign(sin(w t + p)), with steps shorter than the waves."""
    s, w, p = _powers(rng, n, -1, 1), _powers(rng, n, -0.3, 0.2), rng.uniform(0, 6, (n, 1))
    triangle = np.arccos(np.cos(w * END + p)) - np.arccos(np.cos(p))
    integral = 0.6 * np.sin(5 * END) + s * triangle / w
    return _quadrature(lambda t: 3 * np.cos(5 * t) + s * np.sign(np.sin(w * t + p)), integral)


def rectified_wave(rng: np.random.Generator, n: int) -> Kind:
    """Return y' = s |sin(w t + p)|."""
    s, w, p = _powers(rng, n, -1, 1), _powers(rng, n, -0.3, 0.7), rng.uniform(0, 6, (n, 1))
    area = lambda x: 2 * np.floor(x / np.pi) + 1 - np.cos(np.mod(x, np.pi))  # noqa: E731
    return _quadrature(lambda t: s * np.abs(np.sin(w * t + p)), s * (area(w * END + p) - area(p)) / w)


def _damped(rng: np.random.Generator, n: int, low: float, high: float, *, stiff: bool) -> Kind:
    c, s, r = rng.uniform(0.5, 9.5, (n, 1)), _powers(rng, n, -2, 1), _powers(rng, n, low, high)
    driven = lambda t: (r * r * np.cos(t) + r * np.sin(t)) / (1 + r * r)  # noqa: E731
    end = driven(END) + (0.5 - driven(0.0)) * np.exp(-r * END) + s * -np.expm1(-r * (END - c))
    y0 = np.full((n, 1), 0.5)
    return Kind(lambda t, y: r * (np.cos(t) - y + s * (t > c)), lambda t, y, v: -r * v, y0, end, stiff)


def jump_damped(rng: np.random.Generator, n: int) -> Kind:
    """Return y' = r (cos t + s H(t − c) − y)."""
    return _damped(rng, n, -1, 0.5, stiff=False)


def jump_stiff(rng: np.random.Generator, n: int) -> Kind:
    """Return y' = r (cos t + s H(t − c) − y) with r up to 1e5, where c is some time constants before the end."""
    return _damped(rng, n, 1, 5, stiff=True)


def jump_in_state(rng: np.random.Generator, n: int) -> Kind:
    """Return y' = a + s H(y − c), which passes c once."""
    c, s, a = rng.uniform(0.5, 9.5, (n, 1)), _powers(rng, n, -2, 1), _powers(rng, n, -0.3, 0.3)
    place = a * c
    return Kind(lambda t, y: a + s * (y > place), _nothing, np.zeros((n, 1)), place + (a + s) * (END - c))


def kink_in_state(rng: np.random.Generator, n: int) -> Kind:
    """Return y' = 1 + a |y| from below, which passes 0 once."""
    c, a = rng.uniform(0.5, 9.5, (n, 1)), rng.uniform(0.05, 0.4, (n, 1))
    y0, end = -np.expm1(a * c) / a, np.expm1(a * (END - c)) / a
    # From y(0) = −(e^{ac} − 1)/a, along 1 − a y, it is 0 at c.
    return Kind(lambda t, y: 1 + a * np.abs(y), lambda t, y, v: a * np.sign(y) * v, y0, end)


def ball_in_a_wedge(rng: np.random.Generator, n: int) -> Kind:
    """Return y'' = −g sign(y), of which y is made of parabolas."""
    g, height = _powers(rng, n, 0, 0.7), _powers(rng, n, -0.3, 0.3)
    fall = np.sqrt(2 * height / g)
    turns = np.mod(END / fall, 4.0)  # of which each is a fall from the top, or a rise
    side = np.where((turns < 1) | (turns > 3), 1.0, -1.0)
    since = np.where(turns < 1, turns, np.where(turns > 3, turns - 4, turns - 2)) * fall
    end = np.concatenate((side * (height - g * since**2 / 2), -side * g * since), axis=1)
    y0 = np.concatenate((height, 0 * height), axis=1)

    def f(t: Any, y: Any) -> np.ndarray:
        return np.concatenate((y[:, 1:], -g * np.sign(y[:, :1])), axis=1)

    return Kind(f, lambda t, y, v: np.concatenate((v[:, 1:], 0 * v[:, 1:]), axis=1), y0, end)


def two_springs(rng: np.random.Generator, n: int) -> Kind:
    """Return y'' = −w² y with another w where y < 0."""
    above, below, speed = (_powers(rng, n, -0.3, 0.3) for _ in range(3))
    rest = np.mod(END, np.pi / above + np.pi / below)
    up = rest < np.pi / above
    w, since, sign = np.where(up, above, below), np.where(up, rest, rest - np.pi / above), np.where(up, 1.0, -1.0)
    end = np.concatenate((sign * speed * np.sin(w * since) / w, sign * speed * np.cos(w * since)), axis=1)
    square = lambda y: np.where(y[:, :1] > 0, above, below) ** 2  # noqa: E731
    return Kind(
        lambda t, y: np.concatenate((y[:, 1:], -square(y) * y[:, :1]), axis=1),
        lambda t, y, v: np.concatenate((v[:, 1:], -square(y) * v[:, :1]), axis=1),
        np.concatenate((0 * speed, speed), axis=1),
        end,
    )


KINDS = (
    jump_at_rest,
    jump_in_time,
    kink_in_time,
    square_wave,
    rectified_wave,
    jump_damped,
    jump_stiff,
    jump_in_state,
    kink_in_state,
    ball_in_a_wedge,
    two_springs,
)


@dataclass
class Tally:
    """How many integrations were tried, how many finished wrong, how many did not finish, and what they cost."""

    tried: int = 0
    wrong: int = 0
    unfinished: int = 0
    nfe: int = 0
    worst: float = 0.0

    def add(self, kind: Kind, y: np.ndarray, finished: np.ndarray, tolerance: float, nfe: int) -> None:
        """Count the answers of one batch, shape (batch, size)."""
        with np.errstate(invalid="ignore"):
            error = np.max(np.abs(y - kind.end) / (tolerance * (1 + np.abs(kind.end))), axis=1)
        self.tried += len(error)
        self.wrong += int(np.sum(finished & ~(error <= WRONG)))
        self.unfinished += int(np.sum(~finished))
        self.nfe += nfe
        self.worst = max(self.worst, float(np.max(error[finished], initial=0.0)))

    def __str__(self) -> str:
        lost = f", {self.unfinished} not finished" if self.unfinished else ""
        return f"{self.wrong} of {self.tried}{lost} ({self.worst:.2g})"


def by_ours(kind: Kind, method: Any, tolerance: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Integrate a batch, each sample by itself; return y at the end, which finished, and the evaluations."""

    def linearize(f: object, t: Any, y: Any) -> Linearization:
        return Linearization(
            value=kind.f(t, y), jvp=lambda v: kind.jvp(t, y, v), vjp=lambda w: 0 * w, inputs_vjp=lambda w: ()
        )

    found = integrate(
        OdeProblem(kind.f, linearize=linearize),
        kind.y0,
        [0.0, END],
        method,
        rtol=tolerance,
        atol=tolerance,
        per_sample=True,
        max_steps=10**6,
        on_failure="record",
    )
    return found.y[-1], ~found.failed, found.nfe + found.njvp


def by_scipy(kind: Kind, method: str, tolerance: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Do the same by SciPy, with its own differences."""
    y, finished, nfe = np.full_like(kind.end, np.nan), np.zeros(len(kind.end), dtype=bool), 0
    for row in range(len(kind.end)):

        def f(t: float, z: np.ndarray, row: int = row) -> np.ndarray:
            whole = kind.y0.copy()
            whole[row] = z
            return kind.f(t, whole)[row]

        solved = solve_ivp(f, (0.0, END), kind.y0[row], method, rtol=tolerance, atol=tolerance)
        nfe += solved.nfev
        finished[row] = solved.status == 0
        y[row] = solved.y[:, -1]
    return y, finished, nfe


def tallies(count: int, seed: int, methods: Sequence[str]) -> Iterator[tuple[str, str, Tally]]:
    """Yield kind, method, and what came of it."""
    ours = IMPLICIT | EXPLICIT
    for place, make in enumerate(KINDS):
        for name in methods:
            found, stiff = Tally(), False
            for each, tolerance in enumerate(TOLERANCES):
                kind = make(np.random.default_rng([seed, place, each]), count)
                stiff = kind.stiff and (name in EXPLICIT or name == "RK45")
                if stiff or (name in LOW_ORDER and tolerance < LOOSE):
                    continue
                solved = by_ours(kind, ours[name], tolerance) if name in ours else by_scipy(kind, name, tolerance)
                found.add(kind, *solved[:2], tolerance, solved[2])
            if not stiff:
                yield make.__name__, name, found


def main(argv: Sequence[str]) -> None:
    """Integrate everything, and print or save the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks jumps", description=__doc__)
    parser.add_argument("--save", action="store_true", help="write the table to benchmarks/results/jumps.md")
    parser.add_argument("--count", type=int, default=20, help="samples of each kind at each tolerance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", default=[*IMPLICIT, *EXPLICIT, *SCIPYS])
    asked = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    rows: dict[str, dict[str, Tally]] = {}
    for kind, name, tally in tallies(asked.count, asked.seed, asked.methods):
        rows.setdefault(kind, {})[name] = tally
    lines = [
        f"# Jumps and kinks\n\n{__doc__}",
        "Wrong of tried, and the largest error in tolerances.\n",
        "| kind | " + " | ".join(asked.methods) + " |",
        "|---|" + "---|" * len(asked.methods),
    ]
    for kind, row in rows.items():
        cells = " | ".join(str(row.get(each, "")) for each in asked.methods)
        lines.append(f"| {kind.replace('_', ' ')} | {cells} |")
    for title in ("wrong", "tried", "nfe"):
        sums = [sum(getattr(row[each], title) for row in rows.values() if each in row) for each in asked.methods]
        lines.append(f"| {title} | " + " | ".join(map(str, sums)) + " |")
    text = "\n".join([*lines, ""])
    if not asked.save:
        print(text)
        return
    RESULT.write_text(text)
    print(f"written to {RESULT}")
