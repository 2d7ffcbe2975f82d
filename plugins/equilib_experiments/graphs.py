"""The experiment `digits-graph`: an implicit graph network on the neighbours of digits, few of which have a label.

F. Gu, H. Chang, W. Zhu, S. Sojoudi, L. El Ghaoui, "Implicit Graph Neural Networks", NeurIPS 2020, arXiv:2009.06211,
eq. 2: Z = φ(W Z A + b(X)). The whole graph is one sample, its nodes an axis of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from equilib import ops
from equilib.arrays import to_host
from equilib.errors import require
from equilib.experiments import Recipe, equilibrium
from equilib.layers import Chain, Dense, SparseProduct, TruncatedNormal
from equilib.models import DEQChain, InjectedCell, ZeroGuess
from equilib.options import Checked, option
from equilib.plugin.choice import Choice
from equilib.runs.context import RunContext
from equilib.training.data import Dataset
from equilib.training.objectives import Labelling
from equilib.training.plan import Plan
from equilib.training.schedules import Cosine
from equilib.training.trainer import Trainer

PIXELS, CLASSES, INK = 64, 10, 16


@dataclass(frozen=True)
class GraphExperiment(Checked):
    """scikit-learn's 1,797 digits as nodes, joined to their neighbours; a few of each class have a label."""

    labels: int = option(5, help="give so many digits of each class their label", minimum=1, maximum=100)
    neighbours: int = option(8, help="join each digit to so many neighbours", minimum=1, maximum=100)
    width: int = option(32, help="put so many numbers in the state of a node", minimum=1)

    def make_recipe(self) -> Recipe:
        """Return the recipe: the cell is tanh(W A z + U x + b), with the normalized adjacency A."""

        def network(method: Choice) -> DEQChain:
            recur = Dense(self.width, self.width, bias=False, initial_weight=TruncatedNormal(0.05))
            neighbours = SparseProduct(adjacency(self.neighbours))
            cell = InjectedCell(Dense(PIXELS, self.width), Chain(neighbours, recur), Chain(ops.tanh))
            return DEQChain(Chain(), equilibrium(cell, ZeroGuess(), method), Dense(self.width, CLASSES))

        return Recipe(
            network=network,
            schedule=lambda steps: Cosine(2e-2, steps),
            solver="anderson",
            options={"rtol": 1e-3, "max_steps": 50},
            objective=Labelling(),
            optimizer="adamw:weight_decay=1",
            plan=Plan(epochs=50, batch_size=1, test_batch_size=1),
            title=f"implicit graph network, {self.width} numbers a node",
            samples="graphs",
            conclude=self._compared,
        )

    def load_data(self, context: RunContext) -> Dataset:
        """Return the graph, with labels of some nodes to train, other ones for each seed, and of the others to test."""
        digits = _digits()
        nodes = (digits.data / INK).astype(np.float32)[None]
        order = context.rng(1).permutation(len(digits.target))
        known = np.concatenate([order[digits.target[order] == each][: self.labels] for each in range(CLASSES)])
        train, test = (np.full(len(digits.target), -1, np.int64) for _ in range(2))
        train[known] = digits.target[known]
        test[train < 0] = digits.target[train < 0]
        return Dataset(
            train_inputs=nodes,
            train_targets=train[None],
            test_inputs=nodes,
            test_targets=test[None],
            source=f"scikit-learn's digits: {nodes.shape[1]:,} nodes, {len(known)} with a label",
        )

    def _compared(self, trainer: Trainer) -> dict[str, float]:
        """Return the accuracy of scikit-learn's label spreading on the graph, and of logistic regression without it."""
        semi = require("sklearn.semi_supervised", purpose="the comparison with label spreading")
        linear = require("sklearn.linear_model", purpose="the comparison with logistic regression")
        nodes, train, _, test = (to_host(each)[0] for each in trainer.data.arrays().values())
        known, unknown = train >= 0, test >= 0
        spread = semi.LabelSpreading(kernel="knn", n_neighbors=self.neighbours).fit(nodes, train)
        plain = linear.LogisticRegression(max_iter=1000).fit(nodes[known], train[known])
        return {
            "accuracy of label spreading, %": 100 * float(np.mean(spread.transduction_[unknown] == test[unknown])),
            "accuracy of logistic regression, %": 100 * float(plain.score(nodes[unknown], test[unknown])),
        }


def _digits() -> Any:
    return require("sklearn.datasets", purpose="the digits of the graph").load_digits()


@cache
def adjacency(neighbours: int) -> Any:
    """Return D^−½ (A + Aᵀ) D^−½ of the digits' nearest neighbours, a matrix of scipy.sparse of spectral radius 1."""
    graphs = require("sklearn.neighbors", purpose="the graph of the digits")
    joined = graphs.kneighbors_graph(_digits().data, neighbours)
    joined = joined.maximum(joined.T)
    root = np.asarray(joined.sum(axis=1)).ravel() ** -0.5
    return joined.multiply(root[:, None]).multiply(root[None, :]).tocsr().astype(np.float32)
