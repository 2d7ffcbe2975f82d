"""`equilib run`: flags from an experiment's fields, the request they make, and the exit status of every end."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from equilib import Picard, solve
from equilib.cli import main
from equilib.errors import RunError, UserError
from equilib.experiments import Recipe
from equilib.options import option
from equilib.plugin import ExperimentEntry, hookimpl
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.request import FLAGS, RunRequest
from equilib.training.data import Dataset
from equilib.training.schedules import Constant


class Experiment:
    """What makes a class an experiment; nothing of it runs here."""

    solves: ClassVar[str] = "fixed point"
    reads_files: ClassVar[bool] = True

    def make_recipe(self) -> Recipe:
        """Return a recipe of nothing."""
        return Recipe(network=lambda method: None, schedule=Constant, solves=self.solves, reads_files=self.reads_files)

    def load_data(self, context: RunContext) -> Dataset:
        """Load nothing."""
        raise AssertionError("no run begins here")


@dataclass(frozen=True)
class Study(Experiment):
    """Options of every kind."""

    width: int = option(32, help="units in a layer", minimum=1)
    model: str = option("deq", help="the model", choices=("deq", "regdeq"))
    full: bool = option(False, help="use all data")
    shuffle: bool = option(True, help="mix the samples")
    limit: int | None = option(100, help="samples used", minimum=1)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < self.width:
            raise ValueError("limit is less than width")


@dataclass(frozen=True)
class Flow(Experiment):
    """One that solves an ODE, on data that it draws."""

    reads_files: ClassVar[bool] = False

    solves: ClassVar[str] = "ode"


@dataclass(frozen=True)
class Demanding(Experiment):
    """A required option."""

    degree: int


@dataclass(frozen=True)
class Clashing(Experiment):
    """A field that every run has."""

    seed: int = 0


@dataclass(frozen=True)
class Idle:
    """A class that is no experiment."""


class Plugin:
    """Experiments, of which one is nowhere, and one is none."""

    @hookimpl
    def equilib_experiments(self) -> Iterable[ExperimentEntry]:
        """Yield them."""
        yield ExperimentEntry(name="study", factory=Study, summary="A study of options")
        yield ExperimentEntry(name="demanding", factory=Demanding, summary="Needs a degree")
        yield ExperimentEntry(name="clashing", factory=Clashing, summary="Declares seed")
        yield ExperimentEntry(name="flow", factory=Flow, summary="Solves an ODE")
        yield ExperimentEntry(name="idle", factory=Idle, summary="Is none")
        yield ExperimentEntry(name="lost", factory="nowhere_at_all:Lost", summary="Cannot be imported")


@dataclass
class Front:
    """A command line whose runs are recorded, or end as `ends` says."""

    capsys: pytest.CaptureFixture[str]
    registry: Registry
    request: RunRequest | None = None
    ends: BaseException | None = None
    out: str = ""
    err: str = ""

    def start(self, request: RunRequest, registry: Registry) -> None:
        """Carry out a run: note it down."""
        assert registry is self.registry
        self.request = request
        if self.ends is not None:
            raise self.ends

    def run(self, *argv: str) -> int:
        """Type `equilib run ...`."""
        status = main(("run", *argv), registry=self.registry)
        self.out, self.err = self.capsys.readouterr()
        return status


@pytest.fixture
def front(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Front:
    """Return a command line with the experiments of `Plugin`."""
    registry = Registry()
    registry.register(Plugin(), name="study")
    front = Front(capsys, registry)
    monkeypatch.setattr("equilib.commands.run.launch", front.start)
    return front


def test_a_bare_run_leaves_every_choice_open(front: Front) -> None:
    """Without flags nothing is set but the documented defaults."""
    assert front.run("study") == 0
    assert front.request == RunRequest(experiment="study", argv=("run", "study"))
    assert front.request.device == "auto"
    assert front.request.seed == 0


def test_every_flag_arrives_in_the_request(front: Front, tmp_path: Path) -> None:
    """Own options arrive parsed by field name, common ones in their places, the solver's options as text."""
    argv = (
        *("study", "--width", "8", "--model", "regdeq", "--full", "--no-shuffle", "--limit", "none"),
        *("--solver", "newton-gmres:linear_solver.restart=10", "-o", "max-steps=20", "--option", "rtol=1e-3"),
        *("--adjoint", "implicit:rtol=1e-6", "--device", "cpu", "--seed", "3"),
        *("--data-dir", str(tmp_path), "--out", str(tmp_path / "new"), "--overwrite"),
    )
    assert front.run(*argv) == 0
    assert front.request == RunRequest(
        experiment="study",
        values={"width": 8, "model": "regdeq", "full": True, "shuffle": False, "limit": None},
        solver="newton-gmres:linear_solver.restart=10",
        options={"max_steps": "20", "rtol": "1e-3"},
        adjoint="implicit:rtol=1e-6",
        device="cpu",
        seed=3,
        data_dir=tmp_path,
        out=tmp_path / "new",
        overwrite=True,
        argv=("run", *argv),
    )


def test_a_required_option_may_be_given(front: Front) -> None:
    """A field without default is a flag like the others."""
    assert front.run("demanding", "--degree", "2") == 0
    assert front.request is not None
    assert front.request.values == {"degree": 2}


@pytest.mark.parametrize(
    ("argv", "messages"),
    [
        (
            ("studi",),
            ["no experiment 'studi'. Did you mean 'study'?", "Available: clashing, demanding, flow, idle, lost, study"],
        ),
        ((), ["name an experiment: clashing, demanding, flow, idle, lost, study"]),
        (("study", "--widht", "8"), ["--widht", "--width"]),
        (("study", "--width", "0"), ["'--width'", "expects an int >= 1, got '0'"]),
        (("study", "--width", "many"), ["'--width'", "expects an int >= 1, got 'many'"]),
        (("study", "--model", "regdek"), ["'--model'", "one of 'deq', 'regdeq'", "Did you mean 'regdeq'?"]),
        (("study", "--limit", "5"), ["experiment 'study': limit is less than width"]),
        (("study", "--device", "gpu"), ["'--device'", "'gpu'", "'cuda'"]),
        (("study", "--seed", "-1"), ["'--seed'", "-1"]),
        (("study", "--seed", "x"), ["'--seed'", "'x'"]),
        (("study", "-o", "restart"), ["'restart' is not of the form option=value"]),
        (("study", "-o", "a-b=1", "-o", "a_b=2"), ["option 'a_b' is given twice"]),
        (("study", "--data-dir", "no-such-folder"), ["'--data-dir'", "no-such-folder"]),
        (("study", "--out", __file__), ["'--out'", "is a file"]),
        (("study", "extra"), ["extra"]),
        (("--seed", "1", "study"), ["--seed must follow the experiment's name"]),
        (("demanding",), ["experiment 'demanding' needs a value for option 'degree'"]),
        (("clashing",), ["experiment 'clashing' declares 'seed', which is an option of every run"]),
        (("flow", "--loosen", "2"), ["experiment 'flow' solves for no fixed point: leave out --loosen"]),
        (("flow", "--data", "mnist"), ["experiment 'flow' classifies no images: leave out --data"]),
        (("flow", "--data-dir", "."), ["experiment 'flow' reads no files: leave out --data-dir"]),
        (("idle",), ["experiment 'idle' cannot be used: Idle lacks make_recipe(self) or load_data(self, context)"]),
        (("lost",), ["experiment 'lost' could not be loaded", "No module named 'nowhere_at_all'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_mistakes_stop_before_the_run(front: Front, argv: tuple[str, ...], messages: list[str]) -> None:
    """A mistake is one line on stderr with status 2, and nothing is started."""
    assert front.run(*argv) == 2
    assert front.request is None
    assert front.err.startswith("error: ")
    assert front.err.count("\n") == 1
    assert [message for message in messages if message not in front.err] == []


@pytest.mark.parametrize(
    ("ends", "status", "line"),
    [
        (UserError("no such solver"), 2, "error: no such solver"),
        (RunError("the loss became nan in epoch 2"), 1, "error: the loss became nan in epoch 2"),
        (OSError(28, "No space left on device", "runs"), 1, "error: runs: No space left on device"),
        (OSError(13, "Permission denied", "runs"), 1, "error: runs: Permission denied"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_the_status_tells_how_the_run_ended(front: Front, ends: BaseException, status: int, line: str) -> None:
    """2 is the user's mistake, 1 a failure, 130 Ctrl-C; each without a traceback."""
    front.ends = ends
    assert front.run("study") == status
    assert front.err.strip() == line


def test_a_solve_that_was_told_to_raise_is_a_failure(front: Front) -> None:
    """A ConvergenceError ends the run with its report and status 1."""
    with pytest.raises(RuntimeError) as caught:
        solve(lambda z: 2 * z + 1, Picard(), np.zeros((1, 2)), max_steps=2, on_failure="raise")
    front.ends = caught.value
    assert front.run("study") == 1
    assert front.err == f"error: {caught.value}\n"


def test_a_bug_is_not_hidden(front: Front) -> None:
    """An exception that is nobody's mistake is a failure in one sentence, which keeps its traceback for who asks."""
    front.ends = ZeroDivisionError("a bug")
    assert front.run("study") == 1
    assert "ZeroDivisionError: a bug; report it" in front.err
    assert "Traceback" not in front.err
    assert main(("--traceback", "run", "study"), registry=front.registry) == 1
    assert "raise self.ends" in front.capsys.readouterr().err


def test_the_help_of_run_lists_experiments_without_importing_them(front: Front) -> None:
    """Even one that cannot be imported is listed by its summary."""
    assert front.run("--help") == 0
    for text in ("EXPERIMENT [OPTIONS]", "study", "A study of options", "lost", "Cannot be imported"):
        assert text in front.out


def test_the_help_of_an_experiment_lists_its_options_first(front: Front) -> None:
    """Own options come with default and range, apart from those of every run."""
    assert front.run("study", "--help") == 0
    own, common = front.out.split("Options of every run:")
    words = " ".join(own.split())
    for text in (
        "--width INT Units in a layer. [default: 32; >= 1]",
        "--full / --no-full Use all data. [default: false]",
        "--shuffle / --no-shuffle Mix the samples. [default: true]",
        "--model [deq|regdeq] The model. [default: deq]",
        "--limit INT Samples used. [default: 100; >= 1]",
    ):
        assert text in words
    for flag in ("--solver", "--option", "--adjoint", "--device", "--seed", "--data-dir", "--out", "--overwrite"):
        assert flag in common


def test_flags_that_an_experiment_cannot_use_are_not_offered(front: Front) -> None:
    """Where an ODE is solved, there is no fallback, no warm start and no depth; where no images are, no data set."""
    offered = {}
    for experiment in ("study", "flow", "demanding"):
        assert front.run(experiment, "--help") == 0
        offered[experiment] = set(re.findall(r"--[a-z0-9-]+", front.out))
    assert offered["study"] - offered["flow"] >= {"--fallback", "--warm-start", "--loosen", "--pretrain-epochs"}
    assert offered["flow"] < offered["study"]
    assert "--data" not in offered["study"]
    every = {word for flag in FLAGS for word in flag.spelled if word.startswith("--")}
    assert every <= offered["demanding"]  # what it uses is not known before its degree is


def test_no_experiment_installed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty registry explains itself, in the help too."""
    assert main(["run"], registry=Registry()) == 2
    assert "none is installed" in capsys.readouterr().err
    assert main(["run", "--help"], registry=Registry()) == 0
    assert "no plugin provides an experiment" in capsys.readouterr().out


def test_the_program_exits_with_the_status() -> None:
    """The console script hands the status to the shell."""
    code = "import sys; from equilib.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "solvers", "show", "no-such-solver"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_commands_run_within_main_only(front: Front) -> None:
    """Used without `main` a command says what is missing."""
    from equilib.cli.run import run

    with pytest.raises(TypeError, match=r"equilib\.cli\.main"):
        run.main(["study"], standalone_mode=False)
