"""The model of a run, passed over its test data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equilib.arrays import to_host
from equilib.errors import RunError, UserError
from equilib.experiments.training import Training, trained
from equilib.fixed_points.solution import ConvergenceError, Solution
from equilib.models.equilibrium import Equilibrium
from equilib.ode.solution import IntegrationError
from equilib.plugin.registry import Registry
from equilib.runs.digest import data_digest
from equilib.runs.folder import MODEL
from equilib.runs.record import RecordedRun
from equilib.training.metric import Batch
from equilib.training.reporter import Reporter
from equilib.training.statistics import PassStatistics


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the model of a run says of the first test samples.

    Attributes
    ----------
    samples, available : int
        How many were taken, of how many.
    kind : str
        What they are, in the plural.
    same_data : bool
        Whether the data is, byte by byte, that of the run.
    data : str or None
        Where it is from.
    score_name : str
    statistics : PassStatistics
    inputs, targets, predictions : ndarray
    classes : tuple of str or None
        The names of the classes; None unless the model is a classifier.
    first_solve : Solution or None
        The solve of the first batch; None unless an equilibrium was solved for.
    """

    samples: int
    available: int
    kind: str
    same_data: bool
    data: str | None
    score_name: str
    statistics: PassStatistics
    inputs: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)
    predictions: np.ndarray = field(repr=False)
    classes: tuple[str, ...] | None
    first_solve: Solution | None = field(repr=False)

    @property
    def predicted(self) -> np.ndarray:
        """The class of the largest logit, int, shape (samples,); -1 where a logit is not finite."""
        finite = np.isfinite(self.predictions).all(axis=-1)
        return np.where(finite, np.argmax(self.predictions, axis=-1), -1)

    @property
    def probability(self) -> np.ndarray:
        """The probability of that class, shape (samples,); nan where a logit is not finite."""
        finite = np.isfinite(self.predictions).all(axis=-1)
        scores = np.where(finite[:, None], self.predictions, 0).astype(np.float64)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.where(finite, weights.max(axis=-1) / weights.sum(axis=-1), np.nan)

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
    """Test the model of a run, or return a sentence that says why that cannot be done."""
    if limit == 0:
        return None, "the model was not tested, as asked by --limit 0"
    if not (run.path / MODEL).exists():
        return None, "no model was saved"
    try:
        return measure(run, registry, reporter=reporter, limit=limit, **changes), None
    except (UserError, RunError, ConvergenceError, IntegrationError) as error:
        return None, str(error)


def measure(run: RecordedRun, registry: Registry, *, reporter: Reporter, limit: int, **changes: Any) -> Findings:
    """Pass the first `limit` test samples through the model of a run, in batches like those of the run's own tests.

    Raises
    ------
    UserError
        If the run has no model, or cannot be made again here.
    """
    training = trained(run, registry, reporter=reporter, **changes)
    trainer = training.trainer
    available = int(trainer.data.test_inputs.shape[0])
    count, size = min(limit, available), trainer.plan.test_batch_size
    if not count:
        raise UserError("there is no test data")
    statistics, predictions, first = PassStatistics(), [], None
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        with np.errstate(all="ignore"):  # the statuses say what is not finite
            prediction, record = trainer.model(trainer.params, trainer.data.test_inputs[rows, ...])
        scores = trainer.objective.score(prediction, trainer.data.test_targets[rows, ...])
        statistics.add(Batch(record=record, scores=scores))
        predictions.append(to_host(prediction))
        if start == 0 and isinstance(record, Equilibrium):
            first = record.solution
        reporter.test_batch(f"Testing {run.path.name}", start // size + 1, -(-count // size))
    targets, predicted = to_host(trainer.data.test_targets[:count, ...]), np.concatenate(predictions)
    return Findings(
        samples=count,
        available=available,
        kind=training.recipe.samples,
        same_data=data_digest(trainer.data) == run.facts.get("data_digest"),
        data=trainer.data.source,
        score_name=trainer.objective.score_name,
        statistics=statistics,
        inputs=to_host(trainer.data.test_inputs[:count, ...]),
        targets=targets,
        predictions=predicted,
        classes=_classes(training, predicted.shape[-1]),
        first_solve=first,
    )


def _classes(training: Training, size: int) -> tuple[str, ...] | None:
    if training.setup.images is not None:
        return training.setup.images.classes
    targets = training.trainer.data.test_targets
    if targets.ndim != 1 or to_host(targets).dtype.kind not in "iu":
        return None
    return tuple(str(number) for number in range(size))
