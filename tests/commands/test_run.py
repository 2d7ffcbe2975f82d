"""A run from its request to its record, with an experiment that does what the test wants."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from equilib import Picard, SolveOptions, solve
from equilib.arrays import Array
from equilib.commands.run import launch
from equilib.errors import RunError, UserError
from equilib.experiments import Recipe, equilibrium
from equilib.fixed_points.solution import ConvergenceError, ConvergenceWarning
from equilib.layers import Chain, Dense, TruncatedNormal
from equilib.models import DEQChain, InjectedCell, ZeroGuess
from equilib.options import OptionError, option
from equilib.plugin import ExperimentEntry, hookimpl
from equilib.plugin.choice import Choice
from equilib.plugin.registry import Registry, UnknownName
from equilib.runs.context import RunContext
from equilib.runs.request import RunRequest
from equilib.training.data import Dataset
from equilib.training.objectives import Regression
from equilib.training.plan import Plan
from equilib.training.schedules import Constant

Act = Callable[[RunContext], object]

BATCH = 4


@dataclass(frozen=True)
class Study:
    """Trains for one batch of an epoch, in which it does what `act` says."""

    size: int = option(3, help="of something", minimum=1)

    act: ClassVar[Act]
    context: ClassVar[RunContext]

    def make_recipe(self) -> Recipe:
        """Return a linear equilibrium, after which `act` comes."""

        def network(method: Choice) -> DEQChain:
            cell = InjectedCell(Chain(), Dense(2, 2, initial_weight=TruncatedNormal(0.1)), Chain())
            return DEQChain(Chain(), equilibrium(cell, ZeroGuess(), method), Chain())

        def transform(x: Array, rng: np.random.Generator) -> Array:
            if x.shape[0] == BATCH:  # a rehearsal gives fewer
                type(self).act(type(self).context)
            return x

        return Recipe(
            network=network,
            schedule=lambda steps: Constant(0.0),
            solver="picard",
            options={"max_steps": 4},
            objective=Regression(),
            plan=Plan(epochs=1, batch_size=BATCH),
            transform=transform,
        )

    def load_data(self, context: RunContext) -> Dataset:
        """Return four points."""
        type(self).context = context
        x = np.ones((BATCH, 2), np.float32)
        return Dataset(train_inputs=x, train_targets=x, test_inputs=x, test_targets=x, source="none")


class Plugin:
    """The plugin of the study."""

    @hookimpl
    def equilib_experiments(self) -> Iterable[ExperimentEntry]:
        """Yield it."""
        yield ExperimentEntry(name="study", factory=Study, summary="A study")


@pytest.fixture
def registry() -> Registry:
    """Return all that is installed, and the study."""
    registry = Registry.discover()
    registry.register(Plugin(), name="study")
    return registry


def start(registry: Registry, act: Act, out: Path, **request: Any) -> dict[str, Any]:
    """Launch the study; return what run.json says and, as "raised", what was raised."""
    Study.act = staticmethod(act)
    raised: BaseException | None = None
    try:
        launch(RunRequest(experiment="study", out=out, device="cpu", **request), registry)
    except (KeyboardInterrupt, Exception) as error:
        raised = error
    return {**json.loads((out / "run.json").read_text(encoding="utf-8")), "raised": raised}


def nothing(context: RunContext) -> None:
    """Do nothing."""


def raises(error: BaseException) -> Act:
    """Return what raises."""

    def act(context: RunContext) -> None:
        raise error

    return act


def test_a_record_says_what_was_asked(registry: Registry, tmp_path: Path) -> None:
    """run.json holds command line, options with defaults, method, seed, device, facts and environment."""
    argv = ("run", "study", "--seed", "7")
    record = start(registry, nothing, tmp_path / "run", seed=7, argv=argv, solver="picard:damping=0.5")
    assert record["experiment"] == "study"
    assert record["argv"] == list(argv)
    assert (record["options"]["size"], record["options"]["train_samples"], record["options"]["epochs"]) == (3, 4, 1)
    assert record["method"]["solver"] == {"name": "picard", "options": {"damping": 0.5}}
    assert record["method"]["solve"]["max_steps"] == 4
    assert record["optimizer"] == {
        "name": "adam",
        "options": {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0},
    }
    assert (record["seed"], record["device"], record["data"]) == (7, "cpu", "none")
    assert {"versions", "python", "platform", "git", "started", "ended"} <= set(record)


def test_a_run_that_ends_is_finished(registry: Registry, tmp_path: Path) -> None:
    """Its results are the metrics of the last epoch."""
    record = start(registry, nothing, tmp_path / "a")
    assert (record["status"], record["results"]["epoch"], record["raised"]) == ("finished", 1, None)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KeyboardInterrupt(), "interrupted", None),
        (RunError("the loss became nan"), "failed", "the loss became nan"),
        (ZeroDivisionError("a bug"), "failed", "a bug"),
        (AssertionError(), "failed", "AssertionError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_run_that_ends_early_says_how(
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: str,
    text: str | None,
) -> None:
    """The record has the status and the error, a line says where it lies, and the error goes on."""
    record = start(registry, raises(error), tmp_path / "run")
    assert (record["status"], record["error"]) == (status, text)
    assert record["raised"] is error
    out = capsys.readouterr().out
    assert out.endswith(f"] {status.capitalize()}; what was recorded until then is in {tmp_path / 'run'}\n")


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"experiment": "studi"}, UnknownName, "no experiment 'studi'. Did you mean 'study'?"),
        ({"values": {"size": 0}}, OptionError, "experiment 'study': option 'size' expects an int >= 1"),
        ({"device": "gpu"}, UserError, "no device 'gpu'"),
        ({"solver": "picar"}, UnknownName, "no solver 'picar'. Did you mean 'picard'?"),
        ({"solver": ""}, OptionError, "not of the form NAME"),
        ({"adjoint": ""}, OptionError, "not of the form NAME"),
        ({"options": {"rtol": "x"}}, OptionError, "option 'rtol' expects a float"),
    ],
)
def test_nothing_is_written_for_a_request_that_is_wrong(
    registry: Registry, tmp_path: Path, request_: dict[str, Any], error: type[UserError], message: str
) -> None:
    """The mistake is told before a folder exists."""
    Study.act = staticmethod(nothing)
    arguments = {"experiment": "study", "device": "cpu", "out": tmp_path / "a" / "run"} | request_
    with pytest.raises(error) as caught:
        launch(RunRequest(**arguments), registry)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_run_finds_a_place_of_its_own(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out it is recorded in a new folder under runs/, named after experiment and time."""
    monkeypatch.chdir(tmp_path)
    Study.act = staticmethod(nothing)
    launch(RunRequest(experiment="study"), registry)
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"study-\d{8}-\d{6}", folder.name)
    assert (folder / "run.json").exists()


def unconverged(on_failure: str) -> Act:
    """Return a solve that does not converge."""

    def act(context: RunContext) -> None:
        for start in (0.0, 5.0):
            options = SolveOptions(max_steps=1, on_failure=on_failure)
            solve(lambda z: 2 * z + 1, Picard(), np.full((1, 2), start), options)

    return act


def test_solves_that_warn_are_lines_of_the_log(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has its line, without the place in the source; other warnings go where they always go."""
    assert start(registry, unconverged("warn"), tmp_path / "run")["status"] == "finished"
    out, err = capsys.readouterr()
    said = [line.partition("] ")[2] for line in out.splitlines() if "Warning" in line]
    assert len(said) == 2
    assert all(line.startswith("Warning: Picard(damping=0.0) left 1 of 1 samples unconverged: ") for line in said)
    assert err == ""

    def other(context: RunContext) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("something else", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="something else"):
        start(registry, other, tmp_path / "other")
    assert "something else" not in capsys.readouterr().out
    with pytest.warns(ConvergenceWarning):
        solve(lambda z: 2 * z + 1, Picard(), np.ones((1, 2)), max_steps=1, on_failure="warn")


def test_solves_that_raise_end_the_run(registry: Registry, tmp_path: Path) -> None:
    """The record tells what did not converge."""
    record = start(registry, unconverged("raise"), tmp_path / "run")
    assert isinstance(record["raised"], ConvergenceError)
    assert record["status"] == "failed"
    assert "left 1 of 1 samples unconverged" in record["error"]
