"""The experiments `linear` and `polynomial`: equilibria of dense layers that fit a function of one number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from equilib.arrays import from_host, to_host
from equilib.arrays.trees import tree_leaves
from equilib.experiments.example import Example
from equilib.options import option
from equilib.runs.context import RunContext
from equilib.runs.job import TrainingJob, train
from equilib.runs.record import RecordedRun
from equilib.training.plan import Dataset
from equilib.training.trainer import Trainer
from equilib_experiments.assembly import assemble, show
from equilib_experiments.recipes.curves import LINEAR, POLYNOMIAL
from equilib_experiments.recipes.recipe import GUESSES, Recipe

BEYOND = -5.0
"""Where the line is predicted: no training point is near."""

POINTS, TEST_POINTS, NOISE = 512, 128, 0.005


@dataclass(frozen=True)
class Curve(ABC):
    """What both experiments have."""

    epochs: int | None = option(None, help="epochs of training; none: the recipe's", minimum=0)
    batch_size: int | None = option(None, help="points in a batch; none: the recipe's", minimum=1)

    @abstractmethod
    def recipe_of(self) -> Recipe:
        """Return the recipe that the options choose."""

    @abstractmethod
    def data_of(self, seed: int) -> Dataset:
        """Return the points."""

    @abstractmethod
    def called(self) -> str:
        """Return what is fitted and by what, for people."""

    @abstractmethod
    def conclude(self, trainer: Trainer) -> dict[str, float]:
        """Return what is worth knowing about the trained model."""

    def run(self, context: RunContext) -> Mapping[str, Any]:
        """Train the model and return its final metrics; raises as `job` does, and RunError if training failed."""
        return train(self.job(context), context)

    def job(self, context: RunContext) -> TrainingJob:
        """Build the model.

        Raises
        ------
        UserError
            If an option is wrong.
        """
        recipe = self.recipe_of()
        return assemble(
            recipe,
            context.method(recipe.solver, **recipe.method),
            recipe.plan(epochs=self.epochs, batch_size=self.batch_size),
            self.data_of(context.request.seed),
            context,
            called=self.called(),
            options=asdict(self),
            samples="points",
            conclude=self.conclude,
        )

    def example(self, context: RunContext, *, samples: int, trained: RecordedRun | None, dtype: str) -> Example:
        """Return the equilibrium layer and what it is given for the first test points; raises as `job` does."""
        recipe = self.recipe_of()
        network = recipe.network(context.method(recipe.solver, **recipe.method))
        data = self.data_of(context.request.seed)
        return show(network, data, context, samples=samples, trained=trained, dtype=dtype)


@dataclass(frozen=True)
class LinearExperiment(Curve):
    """Fit y = 2x at x = 1, ..., 10 and predict it at x = −5 ("Implement Deep Equilibrium Models via Neural ODEs")."""

    def recipe_of(self) -> Recipe:
        """Return the post's recipe."""
        return LINEAR

    def called(self) -> str:
        """Return what is fitted."""
        return "y = 2x as an equilibrium"

    def data_of(self, seed: int) -> Dataset:
        """Return the ten points, and the one beyond them."""
        return _points(lambda x: 2 * x, np.arange(1.0, 11.0), np.asarray([BEYOND]))

    def conclude(self, trainer: Trainer) -> dict[str, float]:
        """Return the prediction at −5."""
        like = tree_leaves(trainer.params)[0]
        x = from_host(np.asarray([[BEYOND]], np.float32), like)
        prediction, _ = trainer.model(trainer.params, x)
        return {f"prediction at {BEYOND:g}": float(to_host(prediction)[0, 0])}


@dataclass(frozen=True)
class PolynomialExperiment(Curve):
    """Fit y = 1.5 x³ + x² − 5 x + 2 sin x − 3 on [−1, 1], with noise (FastDEQ's polynomial_fitting.jl)."""

    model: str = option("skipdeq", help="initial guess: zeros, f(0, x) or a layer", choices=GUESSES)

    def recipe_of(self) -> Recipe:
        """Return FastDEQ's recipe."""
        return POLYNOMIAL[self.model]

    def called(self) -> str:
        """Return what fits."""
        return f"{self.model} for a polynomial"

    def data_of(self, seed: int) -> Dataset:
        """Return noisy points to train on and exact ones to test with, other ones for each seed."""
        rng = np.random.default_rng((seed, 1))  # the second stream: the first draws parameters and batches
        train, test = rng.uniform(-1, 1, POINTS), rng.uniform(-1, 1, TEST_POINTS)
        data = _points(lambda x: 1.5 * x**3 + x**2 - 5 * x + 2 * np.sin(x) - 3, train, test)
        noise = (NOISE * rng.standard_normal((POINTS, 1))).astype(np.float32)
        return Dataset(**{**vars(data), "train_targets": data.train_targets + noise})

    def conclude(self, trainer: Trainer) -> dict[str, float]:
        """Return the evaluations that a solve of the test points takes."""
        return {"evaluations of f for the test points": trainer.evaluate()["forward_nfe"]}


def _points(curve: Any, train: np.ndarray, test: np.ndarray) -> Dataset:
    x, y = (np.asarray(each, np.float32)[:, None] for each in (train, curve(train)))
    test_x, test_y = (np.asarray(each, np.float32)[:, None] for each in (test, curve(test)))
    return Dataset(train_inputs=x, train_targets=y, test_inputs=test_x, test_targets=test_y)
