"""The command evaluate: the model of a recorded run on its test data, or on other data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from equilib.errors import UserError
from equilib.experiments.training import trained
from equilib.machine.process import prepare_process
from equilib.plugin.registry import Registry
from equilib.runs.digest import data_digest
from equilib.runs.record import RecordedRun
from equilib.training.reporter import Reporter


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a model does on test data.

    Attributes
    ----------
    run : str
        The folder of the run.
    score_name : str
    score : float
        The mean score.
    shown : str
        The score as people read it.
    samples : int
    test : dict
        As in `metrics.jsonl`: evaluations, residual, statuses.
    concluded : dict
        What else the experiment measures at the end of a run.
    data : str or None
        Where the data is from.
    same_data : bool
        Whether it is that of the run, all of it.
    recorded : float or None
        The score at the end of the run; None where the run did not get so far.
    """

    run: str
    score_name: str
    score: float
    shown: str
    samples: int
    test: dict[str, Any]
    concluded: dict[str, float]
    data: str | None
    same_data: bool
    recorded: float | None

    def describe(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def evaluate(
    path: Path,
    registry: Registry,
    *,
    reporter: Reporter,
    limit: int | None = None,
    **changes: Any,
) -> Evaluation:
    """Pass test data through the model of a run; `limit` takes the first samples only.

    Raises
    ------
    UserError
        If the run has no model, or cannot be made again here.
    """
    run = RecordedRun.read(path)
    prepare_process()
    training = trained(run, registry, reporter=reporter, **changes)
    trainer, score_name = training.trainer, training.trainer.objective.score_name
    same = data_digest(trainer.data) == run.facts.get("data_digest")
    available = trainer.data.test_inputs.shape[0]
    if not available:
        raise UserError("there is no test data; give a folder that has some with --data-dir")
    if limit is not None and limit < available:
        inputs, targets = trainer.data.test_inputs[:limit, ...], trainer.data.test_targets[:limit, ...]
        trainer.data, same = replace(trainer.data, test_inputs=inputs, test_targets=targets), False
    found = trainer.evaluate()
    return Evaluation(
        run=str(path),
        score_name=score_name,
        score=found.score,
        shown=trainer.objective.show(found.score),
        samples=int(trainer.data.test_inputs.shape[0]),
        test=found.describe(),
        concluded=training.conclude(),
        data=trainer.data.source,
        same_data=same,
        recorded=run.results.get(f"test_{score_name}"),
    )
