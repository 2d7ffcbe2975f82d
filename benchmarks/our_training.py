"""How our contestants train: the least there is to a training loop, on batches whose order is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Arrays
from equilib.arrays.trees import Tree
from equilib.autodiff import stop_gradient, value_and_grad
from equilib.training.optimizers import Adam
from equilib.training.warm_starts import WarmStarts

Model = Callable[..., tuple[Any, Any]]
"""Parameters and images to logits and the record of the solve; with warm starts an `EquilibriumModel`."""


@dataclass
class Training:
    """Parameters on their way.

    `model_of(epoch)` gives the phase and the model of an epoch; `loss` maps logits, the record and the labels to the
    loss; `work` maps the record, after the backward pass, to evaluations, products J·v and products Jᵀ·w. `warm` keeps
    what a training sample's next solve starts from, as `equilib run --warm-start` does.
    """

    params: Tree
    arrays: Arrays
    rate: float
    model_of: Callable[[int], tuple[str, Model]]
    loss: Callable[[Any, Any, np.ndarray], Any]
    work: Callable[[Any], tuple[float, float, float]]
    optimizer: Adam = field(default_factory=Adam)
    warm: WarmStarts = field(default_factory=WarmStarts)
    first_batch: float | None = None

    def __post_init__(self) -> None:
        self.state = self.optimizer.init(self.params)

    def epochs(self) -> list[dict[str, Any]]:
        """Train for all epochs there are batches for, and return their records."""
        return [self._epoch(index) for index in range(len(self.arrays["order"]))]

    def _epoch(self, index: int) -> dict[str, Any]:
        phase, model = self.model_of(index)

        def loss_of(params: Tree, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> tuple[Any, Any]:
            prediction, done = model(params, x, **self.warm.guesses(model, rows))
            return self.loss(prediction, done, y), stop_gradient(done)

        gradient_of = value_and_grad(loss_of, has_aux=True)
        counts = np.zeros(3)
        start = perf_counter()
        for rows in self.arrays["order"][index]:
            x, y = self.arrays["train_images"][rows], self.arrays["train_labels"][rows]
            (value, done), gradient = gradient_of(self.params, x, y, rows)
            self.params, self.state = self.optimizer.update(self.params, gradient, self.state, self.rate)
            self.warm.remember((done, rows))
            counts += self.work(done)
            if self.first_batch is None:
                self.first_batch = perf_counter() - start
        seconds = perf_counter() - start
        nfe, njvp, vjp = (counts / len(self.arrays["order"][index])).tolist()
        figures = {"nfe": nfe, "njvp": njvp, "vjp": vjp, "loss": float(value), "test_accuracy": self._accuracy(model)}
        return {"phase": phase, "seconds": seconds, **figures}

    def _accuracy(self, model: Model) -> float:
        images, labels = self.arrays["test_images"], self.arrays["test_labels"]
        right = 0
        for first in range(0, len(images), 100):
            prediction, _ = model(self.params, images[first : first + 100])
            right += int(np.sum(np.argmax(prediction, axis=-1) == labels[first : first + 100]))
        return right / len(images)
