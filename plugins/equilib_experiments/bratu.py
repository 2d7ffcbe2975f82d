"""The experiment `bratu`: the rate of a reaction, recovered from the temperatures at which it stands still.

The Bratu problem −Δu = s λ(x, y) eᵘ on the unit square, u = 0 on its edge, has a steady state for small s λ only: for a
constant rate up to 6.808 (Mohsen, "A simple solution of the Bratu problem", 2014). Up to there f(u) = (−Δ)⁻¹ s λ eᵘ
contracts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib import ops
from equilib.arrays import Array, Tree, coefficients, to_host, zeros_like
from equilib.autodiff import static_value
from equilib.errors import RunError, require
from equilib.experiments import Recipe, equilibrium
from equilib.layers import Chain, Flatten
from equilib.models import DEQChain, ZeroGuess
from equilib.options import Checked, option
from equilib.plugin.choice import Choice
from equilib.runs.context import RunContext
from equilib.training.data import Dataset
from equilib.training.objectives import Regression
from equilib.training.plan import Plan
from equilib.training.schedules import Cosine
from equilib.training.trainer import Trainer

MODES = 3
TRUTH = np.zeros((MODES, MODES))
TRUTH[0, 0], TRUTH[0, 1], TRUTH[1, 0], TRUTH[1, 2] = 0.4, 0.3, -0.2, 0.15
"""The coefficients of log λ that are to be found."""


@dataclass(frozen=True)
class BratuCell:
    """f(u) = (−Δ)⁻¹ s λ eᵘ on n × n points inside of the square, with log λ a sum of cosines.

    The Laplacian of five points is diagonal in sines: u = S ((S g S) / (μᵢ + μⱼ)) S with S = √(2h) sin(π h i j).
    """

    points: int

    def init(self, rng: np.random.Generator) -> Tree:
        """Return the logarithm of the rate 1, coefficients of shape (3, 3)."""
        return {"log_rate": np.zeros((MODES, MODES), np.float32)}

    def inject(self, params: Tree, x: Array) -> Array:
        """Return s λ, shape (batch, n, n), for the strengths s, shape (batch, 1)."""
        rate = ops.exp(self.log_rate(params["log_rate"]))
        return ops.multiply(ops.reshape(x, (-1, 1, 1)), rate)

    def log_rate(self, amplitudes: Array) -> Array:
        """Return Σ cᵢⱼ cos(π i x) cos(π j y) on the points, shape (n, n)."""
        value = static_value(amplitudes)
        places = np.arange(1, self.points + 1) / (self.points + 1)
        waves = coefficients(np.cos(np.pi * places[:, None] * np.arange(MODES)), value)
        return ops.matmul(ops.matmul(waves, amplitudes), ops.matrix_transpose(waves))

    def step(self, params: Tree, z: Array, u: Array) -> Array:
        """Return f(z), shape (batch, n, n)."""
        like = static_value(z)
        sines, sums = (coefficients(each, like) for each in self._spectrum())
        heat = ops.multiply(u, ops.exp(z))
        return ops.matmul(sines, ops.matmul(ops.divide(ops.matmul(sines, ops.matmul(heat, sines)), sums), sines))

    def zeros(self, params: Tree, u: Array) -> Array:
        """Return zeros, shape (batch, n, n)."""
        return zeros_like(static_value(u))

    def _spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        h, number = 1 / (self.points + 1), np.arange(1, self.points + 1)
        roots = (2 / h * np.sin(np.pi * h * number / 2)) ** 2
        return np.sqrt(2 * h) * np.sin(np.pi * h * np.outer(number, number)), roots[:, None] + roots


@dataclass(frozen=True)
class BratuExperiment(Checked):
    """Temperatures at several strengths of a reaction, with noise, and the rate at each place that explains them."""

    points: int = option(24, help="take so many points along each side of the square", minimum=3, maximum=200)
    strengths: int = option(64, help="measure at so many strengths", minimum=4)
    noise: float = option(0.01, help="add noise of this share of the largest temperature", minimum=0.0)

    def make_recipe(self) -> Recipe:
        """Return the recipe, which ends with the error of the rate."""
        cell = BratuCell(self.points)

        def network(method: Choice) -> DEQChain:
            return DEQChain(Chain(), equilibrium(cell, ZeroGuess(), method), Flatten())

        def conclude(trainer: Trainer) -> dict[str, float]:
            found = to_host(trainer.params["deq"]["cell"]["log_rate"]).astype(float)
            rate, truth = (np.exp(np.asarray(cell.log_rate(each))) for each in (found, TRUTH))
            return {"relative error of the rate, %": 100 * float(np.linalg.norm(rate - truth) / np.linalg.norm(truth))}

        return Recipe(
            network=network,
            schedule=lambda steps: Cosine(0.05, steps),
            solver="anderson",
            options={"rtol": 1e-5, "max_steps": 50},
            objective=Regression(),
            plan=Plan(epochs=60, batch_size=16),
            title=f"Bratu problem on {self.points}×{self.points} points",
            samples="strengths",
            conclude=conclude,
        )

    def load_data(self, context: RunContext) -> Dataset:
        """Return temperatures with noise to train, and without to test, by Newton's method on the sparse equations."""
        rng, cell = context.rng(1), BratuCell(self.points)
        rate = np.exp(np.asarray(cell.log_rate(TRUTH)))
        train, test = rng.uniform(0.3, 3.0, self.strengths), np.linspace(0.3, 3.0, 16)
        clean, exact = (np.stack([steady_state(s * rate).ravel() for s in each]) for each in (train, test))
        noisy = clean + self.noise * clean.max() * rng.standard_normal(clean.shape)
        return Dataset(
            train_inputs=train[:, None].astype(np.float32),
            train_targets=noisy.astype(np.float32),
            test_inputs=test[:, None].astype(np.float32),
            test_targets=exact.astype(np.float32),
        )


def steady_state(rate: np.ndarray) -> np.ndarray:
    """Return u with −Δu = rate · eᵘ, shape (n, n), by Newton's method with a sparse factorization.

    Raises RunError if it does not converge: there is no steady state beyond a rate of 6.8.
    """
    sparse = require("scipy.sparse", purpose="the Bratu problem")
    solve = require("scipy.sparse.linalg", purpose="the Bratu problem").spsolve
    n = len(rate)
    line = sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n)) * (n + 1) ** 2
    laplacian: Any = sparse.kronsum(line, line, format="csr")
    u = np.zeros(n * n)
    for _ in range(30):
        if u.max() > 100:  # far beyond the turning point, and soon beyond what floats can hold
            break
        heat = rate.ravel() * np.exp(u)
        step = solve((laplacian - sparse.diags_array(heat)).tocsc(), heat - laplacian @ u)
        u = u + step
        if np.abs(step).max() < 1e-12:
            return u.reshape(n, n)
    raise RunError("the Bratu problem has no steady state that Newton's method finds at this rate")
