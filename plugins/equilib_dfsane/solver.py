"""DF-SANE for z = f(z): steps along ±σ (f(z) − z), whose length σ estimates an inverse eigenvalue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import Evaluator
from equilib.arrays import (
    Array,
    array_namespace,
    coefficients,
    dot,
    host_norm,
    rows_like,
    scaled,
    to_host,
    units,
    where_samples,
)
from equilib.options import Checked, option

# La Cruz, Martínez & Raydan 2006: decrease asked for, range of σ, and how fast a step length may shrink at once.
SUFFICIENT = 1e-4
SMALLEST, LARGEST = 1e-10, 1e10
SHRINK_MOST, SHRINK_LEAST = 0.1, 0.5


@dataclass(frozen=True)
class DFSaneState:
    """An iterate, its residual, and what the next step length and its test depend on.

    `sigma` is the signed step length, shape (batch,); `merits` holds ‖f(z) − z‖² of the last iterates, the newest
    last, shape (batch, ≤ history); `first` that of the guess, all in units of `unit`², so that they stay in range;
    `steps` the number of steps. `failed` marks samples whose line search found no acceptable step.
    """

    z: Array
    residual: Array
    sigma: np.ndarray
    merits: np.ndarray
    first: np.ndarray
    unit: np.ndarray | None
    steps: int
    failed: np.ndarray


@dataclass(frozen=True)
class DFSane(Checked):
    """Derivative-free spectral residual method (La Cruz, Martínez & Raydan 2006, Math. Comp. 75).

    With F = z − f(z) the step is d = −σ F, σ = ⟨s, s⟩ / ⟨s, y⟩ from the last changes s of z and y of F; the first is
    Picard's, σ = 1. It is tried forwards and backwards, shorter each time, until ‖F‖² is below its largest of the last
    `history` iterates, but for a slack that is summable. Each sample has its own lengths.
    """

    history: int = option(10, help="keep a step below the largest residual of so many iterates", minimum=1)
    backtracks: int = option(12, help="shorten a step so often before the sample is given up", minimum=0)

    def init(self, f: Evaluator, z0: Array) -> DFSaneState:
        """Evaluate the initial guess."""
        residual = f.residual(z0)
        norm = host_norm(residual)
        unit = units(norm, z0)
        merit, ones = _merit(norm, unit), np.ones(norm.shape)
        return DFSaneState(z0, residual, ones, merit[:, None], merit, unit, 0, ones < 0)

    def step(self, f: Evaluator, state: DFSaneState) -> DFSaneState:
        """Go along the residual as far as the merit allows, and measure the next step length."""
        z, residual, merit, failed = self._search(f, state)
        xp = array_namespace(z)
        inverse = None if state.unit is None else 1 / state.unit
        s, y = scaled(z - state.z, inverse), scaled(state.residual - residual, inverse)
        ss, sy = to_host(xp.stack((dot(s, s), dot(s, y)))).astype(np.float64)
        sigma = ss / np.where(sy == 0, np.nan, sy)
        usable = (np.abs(sigma) >= SMALLEST) & (np.abs(sigma) <= LARGEST)
        return DFSaneState(
            z=z,
            residual=residual,
            # Without information, the length of a Picard step: the natural one for a residual z − f(z).
            sigma=np.where(usable, sigma, 1.0),
            merits=np.concatenate([state.merits, merit[:, None]], axis=1)[:, -self.history :],
            first=state.first,
            unit=state.unit,
            steps=state.steps + 1,
            failed=failed,
        )

    def _search(self, f: Evaluator, state: DFSaneState) -> tuple[Array, Array, np.ndarray, np.ndarray]:
        """Return the next iterate, its residual, its merit, and which samples found none (they stay)."""
        now = state.merits[:, -1]
        ceiling = np.max(state.merits, axis=1) + state.first / (1 + state.steps) ** 2
        z, residual, merit = state.z, state.residual, now
        searching = f.active
        lengths = {1.0: np.ones(now.shape), -1.0: np.ones(now.shape)}
        for _ in range(self.backtracks + 1):
            for sign, length in lengths.items():
                trial = where_samples(searching, _along(state, sign * length), z)
                trial_residual = f.residual(trial)
                trial_merit = _merit(host_norm(trial_residual), state.unit)
                found = searching & (trial_merit <= ceiling - SUFFICIENT * length**2 * now)
                z, residual = where_samples(found, trial, z), where_samples(found, trial_residual, residual)
                merit = np.where(found, trial_merit, merit)
                searching = searching & ~found
                if not searching.any():
                    return z, residual, merit, searching
                lengths[sign] = np.where(searching, _shorter(length, now, trial_merit), length)
        return z, residual, merit, searching


def _along(state: DFSaneState, length: np.ndarray) -> Array:
    return state.z + rows_like(coefficients(length * state.sigma, state.z), state.z) * state.residual


def _merit(norm: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
    """Return ‖F‖², squared on the host, where float32 does not overflow."""
    return np.square(norm if unit is None else norm / unit)


def _shorter(length: np.ndarray, now: np.ndarray, merit: np.ndarray) -> np.ndarray:
    """Return the minimum of the parabola that models the merit, within the range of shrinking."""
    best = length**2 * now / (merit + (2 * length - 1) * now)
    best = np.where(np.isfinite(best), best, SHRINK_MOST * length)
    return np.clip(best, SHRINK_MOST * length, SHRINK_LEAST * length)
