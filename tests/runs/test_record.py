"""The record of a run, damaged."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.errors import UserError
from equilib.report.run import read_runs
from equilib.runs.checkpoint_file import CheckpointFile
from equilib.runs.continuation import Continuation
from equilib.runs.record import RecordedRun
from equilib.runs.request import RunRequest
from equilib.runs.schemas import Method, Record, flaw_of_record
from equilib.runs.spellings import modern
from tests.training.small import trainer


def write(folder: Path, **changes: Any) -> None:
    """Write a record as a run does, but for `changes`."""
    facts = {"experiment": "mnist", "request": RunRequest(experiment="mnist").describe(), "method": None, "results": {}}
    (folder / "run.json").write_text(json.dumps(facts | changes))


def test_a_missing_record_is_named_without_a_number(tmp_path: Path) -> None:
    """The sentence names the file and the reason, not the errno of the system."""
    with pytest.raises(UserError) as caught:
        RecordedRun.read(tmp_path)
    reason = "run.json: No such file or directory"
    assert (
        str(caught.value) == f"{tmp_path} holds no run that can be read ({reason}); give the folder of an earlier run"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are no files there")
@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "model.npz"])
def test_a_pipe_in_a_run_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    """Nobody may ever write into it."""
    write(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)

    def read() -> None:
        record = RecordedRun.read(tmp_path)
        record.params({} if record.epochs == [] else None)

    with pytest.raises(UserError, match=f"{name} is a pipe or a device"):
        read()


@pytest.mark.parametrize(
    ("changes", "evidence"),
    [
        ({"request": 5}, "'request' is 5"),
        ({"results": {"test": "x"}}, "'results.test' is 'x'"),
        ({"method": {"fallback": {}}}, "'method.fallback' is {}"),
        ({"argv": "run mnist"}, "'argv' is 'run mnist'"),
        ({"argv": ["run", 3]}, "'argv.1' is 3"),
        ({"results": {"loss": "0.1"}}, "'results.loss' is '0.1'"),
        ({"results": {"test_accuracy": []}}, "'results.test_accuracy' is []"),
        ({"results": {"test": {"status": {"converged": "all"}}}}, "'results.test.status.converged' is 'all'"),
        ({"method": {"solver": {"options": {}}}}, "'method.solver.name' is missing"),
        ({"method": {"adjoint": {"name": "implicit"}}}, "'method.adjoint.options' is missing"),
        ({"versions": {"numpy": 2}}, "'versions.numpy' is 2"),
    ],
)
def test_a_record_of_another_shape_is_refused(tmp_path: Path, changes: dict[str, Any], evidence: str) -> None:
    """What reads it later finds objects where objects should be."""
    write(tmp_path, **changes)
    with pytest.raises(UserError, match="is not the record of a run") as caught:
        RecordedRun.read(tmp_path)
    assert f"({evidence}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("options", None), ("seed", "x"), ("fallback", None), ("loosen", "x"), ("epochs", True)),
        *(("epochs", -1), ("loosen", float("nan")), ("dtype", "\x00"), ("warm_start", "tepid")),
    ],
)
def test_a_request_of_another_shape_is_refused(tmp_path: Path, name: str, value: object) -> None:
    """A value of another kind, none of the choices, or out of bounds is of another version, or of nobody's."""
    write(tmp_path, request={**RunRequest(experiment="mnist").describe(), name: value})
    with pytest.raises(UserError, match=re.escape(f"'{name}' is {value!r}")):
        RecordedRun.read(tmp_path).request()


def test_a_request_survives_its_record(tmp_path: Path) -> None:
    """What is written is what is read, whatever was set."""
    request = RunRequest(
        experiment="mnist", solver="picard", fallback=("anderson",), checkpoint_minutes=2.5, loosen=10.0, seed=3
    )
    write(tmp_path, request=request.describe())
    assert RecordedRun.read(tmp_path).request().describe() == request.describe()


@pytest.mark.parametrize("place", range(0, 400, 7))
def test_a_damaged_model_is_refused(tmp_path: Path, place: int) -> None:
    """Wherever a byte is wrong, the parameters are right or there is one sentence."""
    write(tmp_path)
    path, params = tmp_path / "model.npz", {"weight": np.arange(6.0)}
    np.savez(path, allow_pickle=False, **params)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 0xFF
    path.write_bytes(content)
    try:
        found = RecordedRun.read(tmp_path).params(params)["weight"]
    except UserError as error:
        found, refusal = params["weight"], str(error)
    else:
        refusal = str(path)
    assert refusal.startswith(str(path))
    np.testing.assert_array_equal(found, params["weight"])


def test_what_a_record_leaves_empty_is_read_as_empty(tmp_path: Path) -> None:
    """Every value that may be null is: it is no flaw, and nothing that reads the record fails of it."""
    nulls = dict.fromkeys(Record.__annotations__)
    assert flaw_of_record(nulls) is None
    record = RecordedRun(tmp_path, modern(nulls))
    assert record.method()["options"] == {}
    assert RecordedRun(tmp_path, {"method": dict.fromkeys(Method.__annotations__)}).method()["solver"] is None
    assert record.results == {}
    write(tmp_path, **nulls)
    reported = read_runs([tmp_path])[0]
    assert (reported.experiment, reported.status, reported.methods) == ("unknown experiment", "unknown", [])
    header = {"progress": {"epochs_done": 0, "batches": 0}}
    checkpoint = CheckpointFile(path=tmp_path / "checkpoint-00000000.npz", header=header, arrays={})
    record = RecordedRun(tmp_path, {**record.facts, "request": RunRequest(experiment="mnist").describe()})
    facts = Continuation(run=record, checkpoint=checkpoint).facts({"argv": [], "request": {}})
    assert len(facts["resumed"]) == 1
    with pytest.raises(UserError, match="the data is not that of the run"):
        Continuation(run=record, checkpoint=checkpoint).restore(trainer(), "a digest")
