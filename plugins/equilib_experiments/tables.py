"""The experiment `table`: an equilibrium on the columns of a table that scikit-learn ships."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equilib import ops
from equilib.arrays import to_host
from equilib.errors import require
from equilib.experiments import Recipe, equilibrium
from equilib.layers import Chain, Dense, TruncatedNormal
from equilib.models import DEQChain, InjectedCell, Regularization, ZeroGuess
from equilib.options import Checked, option
from equilib.plugin.choice import Choice
from equilib.runs.context import RunContext
from equilib.training.data import Dataset
from equilib.training.objectives import Classification
from equilib.training.plan import Plan
from equilib.training.schedules import Cosine
from equilib.training.trainer import Trainer

COLUMNS = {"breast-cancer": (30, 2), "wine": (13, 3), "iris": (4, 3)}
"""Numbers of columns and of classes."""


@dataclass(frozen=True)
class TableExperiment(Checked):
    """Rows of a table told apart by the equilibrium of tanh(W z + U x + b), beside logistic regression."""

    table: str = option("breast-cancer", help="choose the table of scikit-learn", choices=tuple(COLUMNS))
    width: int = option(32, help="put so many numbers in the state", minimum=1)

    def make_recipe(self) -> Recipe:
        """Return the recipe: weights that decay, and a schedule that ends at zero."""
        columns, classes = COLUMNS[self.table]

        def network(method: Choice) -> DEQChain:
            recur = Dense(self.width, self.width, bias=False, initial_weight=TruncatedNormal(0.05))
            cell = InjectedCell(Dense(columns, self.width), recur, Chain(ops.tanh))
            return DEQChain(Chain(), equilibrium(cell, ZeroGuess(), method), Dense(self.width, classes))

        return Recipe(
            network=network,
            schedule=lambda steps: Cosine(3e-3, steps),
            solver="anderson",
            options={"rtol": 1e-4, "max_steps": 50},
            objective=Classification(Regularization()),
            optimizer="adamw:weight_decay=1",
            plan=Plan(epochs=30, clip_gradient=1.0),
            title=f"{self.table} in a state of {self.width}",
            samples="rows",
            conclude=lambda trainer: {"accuracy of logistic regression, %": 100 * _logistic_regression(trainer)},
        )

    def load_data(self, context: RunContext) -> Dataset:
        """Return three quarters of the rows to train, other ones for each seed; columns as the training rows spread."""
        sources = require("sklearn.datasets", purpose=f"the table {self.table!r}")
        table = getattr(sources, f"load_{self.table.replace('-', '_')}")()
        order = context.rng(1).permutation(len(table.data))
        rows, classes = table.data[order], table.target[order].astype(np.int64)
        cut = len(rows) * 3 // 4
        rows = ((rows - rows[:cut].mean(0)) / rows[:cut].std(0)).astype(np.float32)
        return Dataset(
            train_inputs=rows[:cut],
            train_targets=classes[:cut],
            test_inputs=rows[cut:],
            test_targets=classes[cut:],
            source=f"scikit-learn's {self.table}: {cut} rows to train, {len(rows) - cut} to test",
        )


def _logistic_regression(trainer: Trainer) -> float:
    """Return the accuracy of scikit-learn's logistic regression on the same rows."""
    linear = require("sklearn.linear_model", purpose="the comparison with logistic regression")
    parts = [to_host(each) for each in trainer.data.arrays().values()]
    return float(linear.LogisticRegression(max_iter=1000).fit(*parts[:2]).score(*parts[2:]))
