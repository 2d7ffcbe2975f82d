"""The experiments `linear` and `polynomial`: equilibria of dense layers that fit a function of one number."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from equilib.experiments import Recipe, sampled
from equilib.options import option
from equilib.runs.context import RunContext
from equilib.training.data import Dataset
from equilib_experiments.recipes.architecture import GUESSES
from equilib_experiments.recipes.curves import BEYOND, LINEAR, POLYNOMIAL

POINTS, TEST_POINTS, NOISE = 512, 128, 0.005


@dataclass(frozen=True)
class LinearExperiment:
    """Fit y = 2x at x = 1, ..., 10 and predict it at x = −5 ("Implement Deep Equilibrium Models via Neural ODEs")."""

    def make_recipe(self) -> Recipe:
        """Return the post's recipe."""
        return LINEAR

    def load_data(self, context: RunContext) -> Dataset:
        """Return the ten points, and the one beyond them."""
        return sampled(lambda x: 2 * x, np.arange(1.0, 11.0), np.asarray([BEYOND]))


@dataclass(frozen=True)
class PolynomialExperiment:
    """Fit y = 1.5 x³ + x² − 5 x + 2 sin x − 3 on [−1, 1], with noise (FastDEQ's polynomial_fitting.jl)."""

    model: str = option(
        "skipdeq",
        help="choose the initial guess: zeros (deq), f(0, x) (regdeq) or a layer's (skipdeq)",
        choices=GUESSES,
    )

    def make_recipe(self) -> Recipe:
        """Return FastDEQ's recipe."""
        return POLYNOMIAL[self.model]

    def load_data(self, context: RunContext) -> Dataset:
        """Return noisy points to train on and exact ones to test with, other ones for each seed."""
        rng = context.rng(1)
        train, test = rng.uniform(-1, 1, POINTS), rng.uniform(-1, 1, TEST_POINTS)
        data = sampled(lambda x: 1.5 * x**3 + x**2 - 5 * x + 2 * np.sin(x) - 3, train, test)
        noise = (NOISE * rng.standard_normal((POINTS, 1))).astype(np.float32)
        return replace(data, train_targets=data.train_targets + noise)
