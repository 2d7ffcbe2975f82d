"""Findings about the model of a run: what it makes of test samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import softmax

from equilib.adjoints.equilibrium import Equilibrium, Record
from equilib.arrays import Array, to_host
from equilib.commands.evaluate import Evaluation, evaluate_model
from equilib.errors import RunError, UserError
from equilib.experiments.assembly import Training, classes_of, trained
from equilib.fixed_points.solution import Solution, UnsolvedError
from equilib.plugin.registry import Registry
from equilib.runs.folder import MODEL
from equilib.runs.record import RecordedRun
from equilib.training.reporter import Reporter


@dataclass(frozen=True, kw_only=True)
class Findings(Evaluation):
    """What the model of a run says of the first test samples."""

    inputs: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)
    predictions: np.ndarray = field(repr=False)
    classes: tuple[str, ...] | None  # their names; None unless the model is a classifier
    first_solve: Solution | None = field(repr=False)  # of the first batch; None where no equilibrium was solved for

    @property
    def predicted(self) -> np.ndarray:
        """The class of the largest logit, int, shape (samples,); -1 where a logit is not finite."""
        finite = np.isfinite(self.predictions).all(axis=-1)
        return np.where(finite, np.argmax(self.predictions, axis=-1), -1)

    @property
    def probability(self) -> np.ndarray:
        """The probability of that class, shape (samples,); nan where a logit is not finite."""
        largest = softmax(np.where(np.isfinite(self.predictions), self.predictions, 0).astype(np.float64), axis=-1)
        return np.where(self.predicted >= 0, largest.max(axis=-1), np.nan)

    @property
    def images(self) -> np.ndarray | None:
        """The inputs as bytes, shape (samples, height, width, 1 or 3); None unless they are images in [0, 1]."""
        inputs = self.inputs
        if inputs.ndim != 4 or inputs.shape[-1] not in (1, 3) or not ((inputs >= 0) & (inputs <= 1)).all():
            return None
        rounded: np.ndarray = np.rint(255 * inputs).astype(np.uint8)
        return rounded


def confusion(tested: Findings) -> np.ndarray:
    """Return how often each class, a row, was taken for each, a column; the last column counts no prediction."""
    size = tested.predictions.shape[-1]
    counts = np.zeros((size, size + 1), np.int64)
    np.add.at(counts, (tested.targets, tested.predicted), 1)
    return counts


def try_measure(
    run: RecordedRun, registry: Registry, *, reporter: Reporter, limit: int, **changes: Any
) -> tuple[Findings | None, str | None]:
    """Pass the first `limit` test samples through the model of a run, or return a sentence that says why not."""
    if limit == 0:
        return None, "the model was not tested, as asked by --limit 0"
    if not (run.path / MODEL).exists():
        return None, "no model was saved"
    try:
        return _measure(run, trained(run, registry, reporter=reporter, **changes), limit), None
    except (UserError, RunError, UnsolvedError) as error:
        return None, str(error)


def _measure(run: RecordedRun, training: Training, limit: int) -> Findings:
    predictions: list[np.ndarray] = []
    solves: list[Solution | None] = []

    def keep(prediction: Array, record: Record) -> None:
        predictions.append(to_host(prediction))
        if not solves:
            solves.append(record.solution if isinstance(record, Equilibrium) else None)

    found = evaluate_model(run, training, limit=limit, each=keep)
    data, predicted = training.trainer.data, np.concatenate(predictions)
    return Findings(
        **vars(found),
        inputs=to_host(data.test_inputs),
        targets=to_host(data.test_targets),
        predictions=predicted,
        classes=classes_of(training, data.test_targets, predicted.shape[-1]),
        first_solve=solves[0],
    )
