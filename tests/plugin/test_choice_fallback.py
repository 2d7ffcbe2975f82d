"""`--fallback`: from the command line to the model, the record and the lines for people."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from equilib import Picard
from equilib.cli import main
from equilib.commands.combinations import Combination, combine
from equilib.commands.sweep import run_arguments
from equilib.errors import UserError
from equilib.experiments.assembly import set_up
from equilib.experiments.probe import request_like
from equilib.numerics.gmres import GMRES
from equilib.options import OptionError
from equilib.plugin import choosing
from equilib.plugin.choice import Choice
from equilib.plugin.registry import Registry, UnknownName
from equilib.runs.context import RunContext
from equilib.runs.record import RecordedRun
from equilib.runs.reporters import LineReporter
from equilib.runs.request import RunRequest
from equilib_anderson.solver import Anderson
from equilib_newton_gmres.solver import NewtonGMRES
from tests.digits import write_digits

SPECS = ("newton-gmres:linear_solver.restart=7", "anderson")


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Return what is installed."""
    return Registry.discover()


def choose(registry: Registry, *fallback: str) -> Choice:
    """Choose Picard iteration with fallbacks."""
    return choosing.choose(registry, "picard", adjoint="implicit", defaults={"max_steps": 9}, fallback=fallback)


def test_fallbacks_are_chosen_by_name_with_options(registry: Registry) -> None:
    """They are built in their order, introduced in one line with the solver, and recorded with every option."""
    method = choose(registry, *SPECS)
    assert method.solver == Picard()
    assert method.fallback == (NewtonGMRES(GMRES(7)), Anderson())
    assert [each.name for each in method.fallbacks] == ["newton-gmres", "anderson"]
    line, _ = method.introduce()
    assert line.startswith("Solver: picard (damping=0.0), then newton-gmres (")
    assert ", then anderson (" in line
    assert line.endswith("with rtol=0.001, max_steps=9")
    recorded = method.describe()["fallback"]
    assert [each["name"] for each in recorded] == ["newton-gmres", "anderson"]
    assert recorded[0]["options"]["linear_solver.restart"] == 7
    assert choose(registry).describe()["fallback"] == []


def test_mistakes_are_answered(registry: Registry) -> None:
    """Unknown names and options are; tolerances and limits belong to the solver."""
    with pytest.raises(UnknownName, match="no solver 'newton'"):
        choose(registry, "newton")
    with pytest.raises(OptionError, match=r"fallback 'picard' has no option 'dampin'\. Did you mean 'damping'"):
        choose(registry, "picard:dampin=0.1")
    with pytest.raises(
        OptionError, match="'max_steps' is an option of the solve, not of fallback 'picard': give it beside"
    ):
        choose(registry, "picard:max_steps=3")
    with pytest.raises(UnknownName, match="no solver 'newton'"):
        combine(registry, ["picard"], [], {}, ("newton",))


def test_requests_keep_their_fallbacks() -> None:
    """A request goes into a record and comes back, and a comparison hands it to each of its runs."""
    request = RunRequest(experiment="mnist", fallback=SPECS, data_dir=Path("data").absolute())
    assert RunRequest.from_record(json.loads(json.dumps(request.describe()))) == request
    assert RunRequest.from_record({"experiment": "mnist"}).fallback == ()
    arguments = run_arguments(request, Combination(name="picard", solver="picard", adjoint=None), Path("out"))
    given = [value for flag, value in pairwise(arguments) if flag == "--fallback"]
    assert tuple(given) == SPECS


def test_what_was_recorded_can_be_asked_for_again(registry: Registry) -> None:
    """`check-gradient --run` falls back as the run did, unless another solver or fallback is named."""
    asked = RunRequest(experiment="mnist", fallback=SPECS).describe()
    facts = {"experiment": "mnist", "request": asked, "method": choose(registry, *SPECS).describe()}
    run = RecordedRun(Path("run"), json.loads(json.dumps(facts)))
    again = request_like(RunRequest(experiment="mnist"), run)
    assert [spec.partition(":")[0] for spec in again.fallback] == ["newton-gmres", "anderson"]
    assert choose(registry, *again.fallback).fallback == (NewtonGMRES(GMRES(7)), Anderson())
    assert request_like(RunRequest(experiment="mnist", solver="anderson"), run).fallback == ()
    assert request_like(RunRequest(experiment="mnist", fallback=("picard",)), run).fallback == ("picard",)


def test_a_run_falls_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The flag is repeated in the record, the first line names all solvers, and hopeless samples are solved."""
    digits = write_digits(tmp_path / "digits")
    quick = ["--epochs", "1", "--pretrain-epochs", "0", "--limit", "20", "--device", "cpu", "--data-dir", str(digits)]
    hopeless = "picard:damping=0.99,max_steps=12"
    argv = ["run", "mnist", *quick, "--solver", hopeless, "--fallback", "newton-gmres", "--out", str(tmp_path / "out")]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "Solver: picard (damping=0.99), then newton-gmres (" in out
    record: dict[str, Any] = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in record["method"]["fallback"]] == ["newton-gmres"]
    metrics = (tmp_path / "out" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert '"unconverged": 0.0' in metrics[-1]


def test_an_integration_has_no_fallback() -> None:
    """An experiment that integrates refuses the flag instead of ignoring it, whoever made the request."""
    request = RunRequest(experiment="mnist-neural-ode", fallback=("picard",), device="cpu")
    with pytest.raises(UserError, match="leave out --fallback"):
        set_up(RunContext(request=request, registry=Registry.discover(), reporter=LineReporter(io.StringIO())))
