"""The command evaluate: the model of a recorded run on its test data, or on other data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from equilib.adjoints.equilibrium import Record
from equilib.arrays import Array
from equilib.experiments.assembly import Training, trained
from equilib.machine.process import prepare_process
from equilib.machine.ranks.group import current_ranks
from equilib.plugin.registry import Registry
from equilib.runs.record import RecordedRun
from equilib.training.reporter import Reporter
from equilib.training.statistics import PassStatistics


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the model of a run does on test data: on `samples` of those that are `available`."""

    run: str
    score_name: str
    score: float
    shown: str  # the mean score as people read it
    samples: int
    available: int
    kind: str  # what the samples are, in the plural
    statistics: PassStatistics
    data: str | None
    same_data: bool  # whether the data is, byte by byte, that of the run
    recorded: float | None = None  # the score at the end of the run; None where the run did not get so far
    concluded: dict[str, float] = field(default_factory=dict)  # what else the experiment measures at the end of a run

    @property
    def is_repetition(self) -> bool:
        """Whether it is of all data that the run was tested on, and of no other."""
        return self.same_data and self.samples == self.available

    def describe(self) -> dict[str, Any]:
        """Return it as plain values; "test" is as in `metrics.jsonl`."""
        own = {each.name: getattr(self, each.name) for each in fields(Evaluation)}
        plain = {name: value for name, value in own.items() if name not in ("statistics", "available", "kind")}
        return {**plain, "test": self.statistics.describe(), "same_data": self.is_repetition}


def evaluate(
    path: Path,
    registry: Registry,
    *,
    reporter: Reporter,
    limit: int | None = None,
    **changes: Any,
) -> Evaluation:
    """Pass test data through the model of a run; `limit` takes the first samples only.

    Raises UserError if the run has no model, or cannot be made again here.
    """
    run = current_ranks().from_first(lambda: RecordedRun.read(path))
    prepare_process()
    training = trained(run, registry, reporter=reporter, **changes)
    return replace(evaluate_model(run, training, limit=limit), concluded=training.conclude())


def evaluate_model(
    run: RecordedRun,
    training: Training,
    *,
    limit: int | None = None,
    each: Callable[[Array, Record], None] = lambda prediction, record: None,
) -> Evaluation:
    """Pass test data through a model that was made again; `each` gets what it returns for each batch.

    With a `limit` the data of the training is cut to the first samples of the test.
    """
    trainer, data = training.trainer, training.trainer.data
    same = training.host_data.digest() == run.facts.get("data_digest")
    available = int(data.test_inputs.shape[0])
    if limit is not None and limit < available:
        inputs, targets = data.test_inputs[:limit, ...], data.test_targets[:limit, ...]
        trainer.data = replace(data, test_inputs=inputs, test_targets=targets)
    found, score_name = trainer.evaluate(title=f"Testing {run.path.name}", each=each), trainer.objective.score_name
    return Evaluation(
        run=str(run.path),
        score_name=score_name,
        score=found.score,
        shown=trainer.objective.show(found.score),
        samples=int(trainer.data.test_inputs.shape[0]),
        available=available,
        kind=training.recipe.samples,
        statistics=found,
        data=data.source,
        same_data=same,
        recorded=run.results.get(f"test_{score_name}"),
    )
