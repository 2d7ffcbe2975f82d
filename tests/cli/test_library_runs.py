"""`--device torch` and `--device jax` from the command line: every experiment has the losses of the CPU, in float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.cli import main
from equilib.plugin import ExperimentEntry
from equilib.plugin.registry import Registry
from tests.digits import write_digits
from tests.photographs import write_photographs

FEW = ("--limit", "24", "--batch-size", "8")
SMALL: dict[str, tuple[str, ...]] = {
    "bratu": ("--points", "6", "--strengths", "4"),
    "characters": ("--length", "6", "--features", "8", "--heads", "2", "--limit", "1000"),
    "cifar10": ("--limit", "10", "--batch-size", "4", "--recipe", "small", "--pretrain-epochs", "0"),
    "digits-graph": ("--labels", "2", "--width", "4"),
    "lasso": ("-o", "rtol=1e-9", "-o", "max_steps=500"),  # where columns enter and leave, a loose solve tells
    "linear": (),
    "mnist": (*FEW, "--model", "reduced", "--pretrain-epochs", "1"),
    "mnist-neural-ode": FEW,
    "mnist-steady-state": FEW,
    "polynomial": (),
    "table": ("--table", "iris", "--width", "6"),
}
"""The fewest numbers for each experiment."""

EACH = [pytest.param(each, marks=() if each == "linear" else pytest.mark.slow) for each in SMALL]


@pytest.fixture(params=["torch", "jax"])
def device(request: pytest.FixtureRequest) -> str:
    """Return each library that a run may compute by."""
    name: str = request.param
    pytest.importorskip(name, reason=f"{name} is not installed")
    return name


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of made-up digits and photographs."""
    folder = write_digits(tmp_path_factory.mktemp("data"), train=24, test=8)
    write_photographs(folder, train=10, test=4)
    return folder


def epochs(out: Path) -> list[dict[str, Any]]:
    """Return what a run recorded."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def agree(folder: Path, device: str, *argv: str) -> None:
    """Run on both; losses agree, though rounding may change a step, and the run on the device goes on."""
    places = {name: folder / name for name in ("cpu", device)}
    for name, out in places.items():
        argv_of = (*argv, "--dtype", "float64", "--epochs", "1", "--device", name, "--quiet", "--out", str(out))
        assert main(["run", *argv_of]) == 0
    assert main(["resume", str(places[device]), "--epochs", "2", "--quiet"]) == 0
    host, other = map(epochs, places.values())
    assert len(other) == len(host) + 1
    for one, its in zip(host, other, strict=False):
        assert its["phase"] == one["phase"]
        np.testing.assert_allclose(its["loss"], one["loss"], rtol=1e-6)
    assert np.isfinite(other[-1]["loss"])
    assert main(["evaluate", str(places[device]), "--device", "cpu"]) == 0


def test_every_experiment_has_small_options() -> None:
    """An experiment of ours that is new is tried here."""
    ours = [each for each in Registry.discover().provided(ExperimentEntry) if each.owner.distribution == "equilib"]
    assert sorted(SMALL) == sorted(each.entry.name for each in ours)


@pytest.mark.parametrize("experiment", EACH)
def test_an_experiment_is_that_of_the_cpu(experiment: str, device: str, data: Path, tmp_path: Path) -> None:
    """It trains, resumes and is evaluated by its own methods."""
    place = ("--data-dir", str(data)) if experiment.startswith(("mnist", "cifar")) else ()
    agree(tmp_path, device, experiment, *SMALL[experiment], *place)


@pytest.mark.parametrize("solver", ["newton-gmres", "lbroyden", "tsit5"])
def test_a_solver_is_that_of_the_cpu(solver: str, device: str, tmp_path: Path) -> None:
    """Newton's method, a quasi-Newton method and an integrator."""
    agree(tmp_path, device, "linear", "--solver", solver)
