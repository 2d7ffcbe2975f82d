"""The experiment `lasso`: an optimization layer whose penalty is learned.

A lasso is the fixed point of a step of proximal gradient, w = S(w − η (G w − b), η λ) with G = XᵀX/n, b = Xᵀy/n and
S(v, t) = sign(v) max(|v| − t, 0). Its derivative in λ is that of the implicit function, so that λ can be learned from
data held out (Bertrand et al., "Implicit differentiation of Lasso-type models", ICML 2020, arXiv:2002.08943).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib import Equilibrium, ops
from equilib.arrays import Array, Tree, array_namespace, to_host
from equilib.autodiff import static_value
from equilib.errors import require
from equilib.experiments import Recipe, equilibrium
from equilib.layers import Chain
from equilib.models import DEQChain, Regularization, ZeroGuess
from equilib.options import Checked, option
from equilib.plugin.choice import Choice
from equilib.runs.context import RunContext
from equilib.training.data import Dataset
from equilib.training.objectives import Regression
from equilib.training.plan import Plan
from equilib.training.schedules import Cosine
from equilib.training.trainer import Trainer

FOLDS = 5


@dataclass(frozen=True)
class LassoCell:
    """A step of proximal gradient for each fold: rows [x, y, 1 for the fit, else 0], shape (batch, rows, p + 2)."""

    columns: int
    penalties: int

    def init(self, rng: np.random.Generator) -> Tree:
        """Return log λ = −3 for all columns, or for each."""
        return {"log_penalty": np.full(self.penalties, -3.0, np.float32)}

    def inject(self, params: Tree, x: Array) -> Tree:
        """Return G, b, η and η λ, with axis 0 for the folds; η is 1 over the largest absolute row sum of G."""
        rows, y, fitted = columns(x)
        weighted = ops.matrix_transpose(ops.multiply(rows, ops.divide(fitted, ops.sum(fitted, 1, keepdims=True))))
        gram = ops.matmul(weighted, rows)
        values = static_value(gram)
        xp = array_namespace(values)
        rate = 1 / xp.max(xp.sum(xp.abs(values), axis=-1), axis=-1, keepdims=True)
        penalty = ops.broadcast_to(ops.exp(params["log_penalty"]), (values.shape[0], self.columns))
        moments = ops.matmul(weighted, y)[:, :, 0]
        return {"gram": gram, "moments": moments, "rate": rate, "threshold": ops.multiply(penalty, rate)}

    def step(self, params: Tree, z: Array, u: Tree) -> Array:
        """Return S(z − η (G z − b), η λ), shape (batch, p)."""
        slope = ops.subtract(ops.matmul(u["gram"], ops.expand_dims(z, -1))[:, :, 0], u["moments"])
        v = ops.subtract(z, ops.multiply(slope, u["rate"]))
        return ops.subtract(
            ops.relu(ops.subtract(v, u["threshold"])), ops.relu(ops.subtract(ops.negative(v), u["threshold"]))
        )

    def zeros(self, params: Tree, u: Tree) -> Array:
        """Return zeros, shape (batch, p)."""
        return 0 * static_value(u["moments"])


def columns(x: Array) -> tuple[Array, Array, Array]:
    """Return what the rows of a fold hold, shapes (batch, rows, p), (batch, rows, 1) and (batch, rows, 1)."""
    return x[:, :, :-2], x[:, :, -2:-1], x[:, :, -1:]


class LassoNetwork(DEQChain):
    """The predictions X w of a lasso, shape (batch, rows)."""

    def __call__(self, params: Tree, x: Array, **options: Any) -> tuple[Array, Equilibrium]:
        """Return the predictions for all rows, and the record of w."""
        record = self.deq(params["deq"], x, **options)
        return ops.matmul(columns(x)[0], ops.expand_dims(record.z, -1))[:, :, 0], record


@dataclass(frozen=True)
class HeldOut(Regression):
    """The mean squared error of the rows that have a target; the others have nan."""

    def loss(self, prediction: Array, record: Any, target: Array) -> Array:
        """Return the mean loss of the batch; `prediction` and `target` have the shape (batch, rows)."""
        xp = array_namespace(target)
        held = ~xp.isnan(target)
        error = ops.where(held, ops.subtract(prediction, xp.where(held, target, xp.zeros_like(target))), 0.0)
        count = float(xp.sum(xp.astype(held, xp.int64)))
        return self.regularize(ops.divide(ops.sum(ops.multiply(error, error)), count), record)

    def score(self, prediction: Array, target: Array) -> Array:
        """Return the mean squared error of each fold, shape (batch,)."""
        xp = array_namespace(target)
        held = ~xp.isnan(target)
        error = xp.where(held, prediction - target, xp.zeros_like(target))
        return xp.sum(error * error, axis=-1) / xp.sum(xp.astype(held, target.dtype), axis=-1)


@dataclass(frozen=True)
class LassoExperiment(Checked):
    """The diabetes data with all products of its columns, and the penalty that predicts folds best; beside LassoCV."""

    penalties: str = option("one", help="learn one penalty, or one for each column", choices=("one", "each"))

    def make_recipe(self) -> Recipe:
        """Return the recipe; all folds are one batch."""

        def network(method: Choice) -> DEQChain:
            cell = LassoCell(COLUMNS, 1 if self.penalties == "one" else COLUMNS)
            return LassoNetwork(Chain(), equilibrium(cell, ZeroGuess(), method), Chain())

        return Recipe(
            network=network,
            schedule=lambda steps: Cosine(0.1, steps),
            solver="auto",
            options={"rtol": 1e-4, "max_steps": 1000},
            objective=HeldOut(Regularization()),
            plan=Plan(epochs=30, batch_size=FOLDS),
            title=f"lasso with {self.penalties} penalty",
            samples="folds",
            conclude=_compared,
        )

    def load_data(self, context: RunContext) -> Dataset:
        """Return five folds of two thirds of the rows, other ones for each seed; the test predicts the last third."""
        rows, y = _table()
        order = context.rng(1).permutation(len(y))
        fitted, tested = order[: FOLDS * 60], order[FOLDS * 60 :]
        mean, spread = (getattr(rows[fitted], name)(0) for name in ("mean", "std"))
        rows, y = (rows - mean) / spread, (y - y[fitted].mean()) / y[fitted].std()
        held = np.arange(len(fitted)).reshape(FOLDS, -1)
        folds = [_fold(rows[fitted], y[fitted], np.isin(np.arange(len(fitted)), each)) for each in held]
        test = _fold(rows[order], y[order], np.isin(order, tested))
        return Dataset(
            train_inputs=np.stack([x for x, _ in folds]),
            train_targets=np.stack([target for _, target in folds]),
            test_inputs=test[0][None],
            test_targets=test[1][None],
            source=f"scikit-learn's diabetes: {len(fitted)} rows in {FOLDS} folds, {len(tested)} to test",
        )


COLUMNS = 64


def _table() -> tuple[np.ndarray, np.ndarray]:
    """Return the ten columns with their products, but for the square of the sex, which is no other column."""
    data = require("sklearn.datasets", purpose="the diabetes data").load_diabetes()
    x = data.data
    products = [x[:, i] * x[:, j] for i in range(10) for j in range(i, 10) if (i, j) != (1, 1)]
    return np.column_stack([x, *products]), data.target


def _fold(rows: np.ndarray, y: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.where(held, 0.0, y)
    table = np.column_stack([rows, known, ~held]).astype(np.float32)
    return table, np.where(held, y, np.nan).astype(np.float32)


def _compared(trainer: Trainer) -> dict[str, float]:
    """Return the penalty that was learned, and what scikit-learn's LassoCV finds on the same folds by a grid."""
    linear = require("sklearn.linear_model", purpose="the comparison with LassoCV")
    rows, y, fitted = (to_host(each[0]).astype(float) for each in columns(trainer.data.test_inputs))
    target = to_host(trainer.data.test_targets)[0]
    known = fitted[:, 0] == 1
    train = to_host(trainer.data.train_targets)
    everything = np.arange(train.shape[1])
    folds = [(everything[np.isnan(each)], everything[~np.isnan(each)]) for each in train]
    model = linear.LassoCV(cv=folds, fit_intercept=False, max_iter=100_000).fit(rows[known], y[known, 0])
    penalty = np.exp(to_host(trainer.params["deq"]["cell"]["log_penalty"]))
    error = float(np.mean((model.predict(rows[~known]) - target[~known]) ** 2))
    return {
        "learned penalty": float(penalty.mean()),
        "penalty of LassoCV": float(model.alpha_),
        "squared error of LassoCV": error,
    }
