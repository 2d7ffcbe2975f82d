"""The result of a run in a comparison: every metric, and the order from best to worst."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from equilib.commands.combinations import Combination
from equilib.commands.compare import NUMBERS, RunResult, number_called, ranked, read_result
from equilib.errors import UserError

TEST = {"forward_nfe": 3.0, "residual": 1e-4, "unconverged": 0.25, "status": {"converged": 3, "stalled": 1}}
EPOCH = {
    "test_accuracy": 0.75,
    "train_accuracy": 0.5,
    "seconds": 1.5,
    "forward_nfe": 4.0,
    "residual": 1.0,
    "test": TEST,
}


def recorded(folder: Path, **facts: Any) -> RunResult:
    """Return the result of a run with two such epochs, whose record holds these facts."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"status": "finished", "results": EPOCH, **facts}))
    (folder / "metrics.jsonl").write_text(2 * (json.dumps(EPOCH) + "\n"))
    return read_result(Combination(name="run", solver="picard", adjoint=None), folder, folder / "log", 0)


def test_a_run_is_described_by_every_number_there_is(tmp_path: Path) -> None:
    """Scores and residuals are those of the test, work that of training, time that of all epochs; the rest is None."""
    found = recorded(tmp_path / "run", peak_memory=2**20).describe()
    known = {name: found[name] for name in NUMBERS if found[name] is not None}
    assert known == {
        "score": 0.75,
        "seconds": 3.0,
        "forward_nfe": 4.0,
        "residual": 1e-4,
        "unconverged": 0.25,
        "peak_memory": 2**20,
    }
    assert found["score_name"] == "accuracy"
    assert found["status"] == "finished"


def result(name: str, score_name: str = "accuracy", **metrics: Any) -> RunResult:
    """Return the result of a run with these metrics."""
    numbers = dict.fromkeys(NUMBERS) | metrics
    return RunResult(
        name=name, solver=name, adjoint="", status="finished", error=None, score_name=score_name, metrics=numbers
    )


@pytest.mark.parametrize(
    ("score_name", "called", "order"),
    [("accuracy", "score", "bac"), ("squared_error", "score", "abc"), ("accuracy", "nfe", "abc")],
)
def test_the_best_comes_first_and_the_unknown_last(score_name: str, called: str, order: str) -> None:
    """The greatest accuracy, the least error and the least work are best; a run that has no number has no rank."""
    name = number_called(called)
    runs = [result("c", score_name), result("b", score_name, **{name: 2.0}), result("a", score_name, **{name: 1.0})]
    assert "".join(each.name for each in ranked(runs, name)) == order


def test_a_metric_that_does_not_exist_is_refused() -> None:
    """The closest name is offered, or all of them."""
    with pytest.raises(UserError, match=r"no metric 'vpj'\. Did you mean 'vjp'\?"):
        number_called("vpj")
    with pytest.raises(UserError, match=r"no metric 'beauty'\. There are .*forward_nfe"):
        number_called("beauty")
