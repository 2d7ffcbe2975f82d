"""Experiments of two methods, a recipe and data: what their models say of inputs from files, and what is offered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.cli import main
from equilib.experiments import Recipe, equilibrium
from equilib.layers import Chain, Dense, Flatten, TruncatedNormal
from equilib.models import DEQChain, InjectedCell, ZeroGuess
from equilib.options import option
from equilib.plugin import ExperimentEntry, hookimpl
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.training.data import Dataset
from equilib.training.objectives import Classification, Regression
from equilib.training.plan import Plan
from equilib.training.schedules import Cosine

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


@dataclass(frozen=True)
class Own:
    """Squares that are bright at the left or at the right, told apart; or their brightness, fitted."""

    fitted: bool = option(False, help="fit the brightness")

    def make_recipe(self) -> Recipe:
        """Return the recipe of a small equilibrium."""

        def network(method: Any) -> DEQChain:
            cell = InjectedCell(Chain(), Dense(4, 4, initial_weight=TruncatedNormal(0.02)), Chain(ops.tanh))
            before = Chain(Flatten(), Dense(64, 4))
            return DEQChain(before, equilibrium(cell, ZeroGuess(), method), Dense(4, 1 if self.fitted else 2))

        objective = Regression() if self.fitted else Classification()
        return Recipe(
            network=network, schedule=lambda steps: Cosine(0.05, steps), objective=objective, plan=Plan(epochs=5)
        )

    def load_data(self, context: RunContext) -> Dataset:
        """Return the squares."""
        labels = np.arange(40) % 2
        squares = np.zeros((40, 8, 8, 1), np.float32)
        squares[labels == 0, :, :4], squares[labels == 1, :, 4:] = 1, 0.5
        squares = -squares if self.fitted else squares
        targets = squares.mean((1, 2)) if self.fitted else labels
        return Dataset(train_inputs=squares, train_targets=targets, test_inputs=squares, test_targets=targets)


@pytest.fixture
def own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return the way to train the experiment and to predict."""
    registry = Registry.discover()
    registry.register(
        SimpleNamespace(
            equilib_experiments=hookimpl(lambda: [ExperimentEntry(name="own", factory=Own, summary="Own")])
        ),
        name="own",
    )

    def call(*argv: str, status: int = 0) -> str:
        assert main(argv, registry=registry) == status
        out, err = capsys.readouterr()
        return str(err if status else out)

    return call


def test_an_experiment_of_two_methods_classifies_images(own: Callable[..., Any], tmp_path: Path) -> None:
    """The data says that its inputs are images, and how many classes there are: pictures and arrays are read."""
    own("run", "own", "--out", str(tmp_path / "run"))
    left = np.zeros((8, 8), np.uint8)
    left[:, :4] = 255
    Image.fromarray(left).save(tmp_path / "left.png")
    np.save(tmp_path / "both.npy", np.stack([left, left[:, ::-1] // 2]))
    said = own("predict", str(tmp_path / "run"), str(tmp_path / "left.png"), str(tmp_path / "both.npy"), "--json")
    assert [each["label"] for each in json.loads(said)] == ["0", "0", "1"]


def test_without_classes_the_outputs_are_printed(own: Callable[..., Any], tmp_path: Path) -> None:
    """What the model returns for arrays like its inputs; what is none is refused by a sentence."""
    run, good, bad = str(tmp_path / "run"), str(tmp_path / "good.npy"), str(tmp_path / "bad.npy")
    own("run", "own", "--fitted", "--out", run, "--epochs", "1")
    np.save(good, -np.ones((2, 8, 8, 1)))
    np.save(bad, np.ones(3))
    found = json.loads(own("predict", run, good, "--json"))
    assert [len(each["outputs"]) for each in found] == [1, 1]
    assert found[0]["outputs"] == found[1]["outputs"]
    header, row, _ = own("predict", run, good).splitlines()
    assert header.split() == ["INPUT", "OUTPUT", "SOLVE", "RESIDUAL", "NFE", "NOTES"]
    assert float(row.split()[1]) == pytest.approx(found[0]["outputs"][0])
    assert "numbers of shape (8, 8, 1) are expected" in own("predict", run, bad, status=2)
    assert "--invert is for images" in own("predict", run, good, "--invert", status=2)


def test_folders_of_data_are_offered_where_files_are_read(own: Callable[..., Any]) -> None:
    """Curves are drawn, so `--data-dir` would do nothing; images lie in files."""
    offered = {name: "--data-dir" in own("run", name, "--help") for name in ("own", "linear", "polynomial", "mnist")}
    assert offered == {"own": False, "linear": False, "polynomial": False, "mnist": True}


def test_one_sample_is_singular(own: Callable[..., Any], tmp_path: Path) -> None:
    """The last line of a run counts as people do."""
    assert re.search(r" of 1 point\b", own("run", "linear", "--epochs", "1", "--out", str(tmp_path / "run")))
