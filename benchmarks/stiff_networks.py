"""Stiff neural ODEs with given parameters, as arrays that contestants exchange."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.exchange import Arrays

PARAMETERS = ("weight1", "bias1", "weight2", "bias2")


def oscillator(times: int, end: float) -> Arrays:
    """Return a network like van der Pol's oscillator, x' = 1000 (x − x³/3 − v), v' = x, whose period is about 1.7.

    Of 48 hidden units drawn at random the last layer is the least-squares fit.
    """
    rng = np.random.default_rng(1)
    weight, bias = 0.5 * rng.standard_normal((2, 48)), rng.uniform(-1, 1, 48)
    grid = np.meshgrid(np.linspace(-2.5, 2.5, 60), np.linspace(-1, 1, 40))
    x, v = np.stack(grid).reshape(2, -1)
    hidden = np.tanh(np.stack((x, v), axis=1) @ weight + bias)
    wanted = np.stack((x - x**3 / 3 - v, x), axis=1)
    last = np.linalg.lstsq(np.column_stack((hidden, np.ones(len(x)))), wanted, rcond=1e-4)[0]
    return {
        "weight1": weight,
        "bias1": bias,
        "weight2": last[:-1],
        "bias2": last[-1],
        "rates": np.array([1e3, 1.0]),
        "leak": np.zeros(2),
        "y0": np.array([[2.0, -2 / 3]]),
        "t": np.linspace(0.0, end, times),
    }


def relaxations(times: int, batch: int, end: float) -> Arrays:
    """Return 16 units that relax to a network's output with rates from 1 to 1e4, y' = r (net(y) − y)."""
    rng, size, hidden = np.random.default_rng(0), 16, 32
    return {
        "weight1": rng.standard_normal((size, hidden)) / np.sqrt(size),
        "bias1": rng.standard_normal(hidden),
        "weight2": 1.5 * rng.standard_normal((hidden, size)) / np.sqrt(hidden),
        "bias2": rng.standard_normal(size),
        "rates": np.logspace(0, 4, size),
        "leak": np.ones(size),
        "y0": rng.standard_normal((batch, size)),
        "t": np.linspace(0.0, end, times),
    }
