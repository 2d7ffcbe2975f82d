"""The experiment mnist: its recipes, what it uses of the data, what it says and what it records."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib import ImplicitAdjoint, Picard, SolveOptions
from equilib.arrays.trees import named_leaves
from equilib.cli import main
from equilib.plugin.choice import Choice, Named
from equilib.training.optimizers import Adam
from equilib.training.schedules import Constant
from equilib_experiments.augment import Shift
from equilib_experiments.classification import MNIST as RECIPES
from equilib_experiments.data.digits import DIGITS
from equilib_experiments.data.mnist import OFFICIAL, Mnist
from equilib_experiments.recipes import digits as recipes
from equilib_experiments.recipes.architecture import GUESSES
from tests.digits import write_digits

REAL = os.environ.get("EQUILIB_DATA_DIR")
TRAIN_IMAGES, TEST_IMAGES = 120, 30
METHOD = Choice(
    forward=Named(name="picard", part=Picard(), options={}),
    backward=Named(name="implicit", part=ImplicitAdjoint(), options={}),
    options=SolveOptions(on_failure="record"),
)
QUICK = ("--epochs", "1", "--pretrain-epochs", "1", "--limit", "20", "--batch-size", "8")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of made-up digits."""
    return write_digits(tmp_path_factory.mktemp("digits"), train=TRAIN_IMAGES, test=TEST_IMAGES)


class Run:
    """What a finished run left."""

    def __init__(self, out: Path, text: str) -> None:
        self.record: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
        metrics = out / "metrics.jsonl"
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
        self.metrics: list[dict[str, Any]] = [json.loads(line) for line in lines]
        with np.load(out / "model.npz", allow_pickle=False) as model:
            self.model = dict(model)
        self.said = [line.partition("] ")[2] for line in text.splitlines()]


@dataclasses.dataclass
class Runner:
    """Types `equilib run mnist`."""

    digits: Path
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *argv: str) -> Run:
        """Run it to its end."""
        out = self.folder / "run"
        data = () if "--data-dir" in argv else ("--data-dir", str(self.digits))
        status = main(["run", "mnist", *data, "--device", "cpu", "--overwrite", "--out", str(out), *argv])
        text, errors = self.capsys.readouterr()
        assert (status, errors) == (0, "")
        return Run(out, text)


@pytest.fixture
def run(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    """Return the command, set to the made-up digits and a new folder."""
    return Runner(digits, tmp_path, capsys)


# Recipes


def test_the_tutorial_recipe_is_the_sources() -> None:
    """Data, schedule, tolerances and solver limits are those of the basic MNIST tutorial."""
    recipe = RECIPES["tutorial"]["regdeq"]
    assert (recipe.limit, recipe.plan.batch_size, recipe.train_share) == (2500, 32, 0.8)
    assert (recipe.plan.pretrain_epochs, recipe.plan.pretrain_depth, recipe.plan.epochs) == (2, 5, 3)
    assert recipe.schedule(315) == Constant(5e-4)
    assert recipe.optimizer == "adam"
    assert Adam() == Adam(beta1=0.9, beta2=0.999, weight_decay=0.0)
    assert (recipe.options["linear_solver.restart"], recipe.options["max_steps"]) == (10, 10)


def test_the_tutorial_network_is_the_sources() -> None:
    """Each layer has the source's shape; the cell's kernels have no bias and a deviation of 0.01."""
    recipe, rng = recipes.TUTORIAL, np.random.default_rng(0)
    before = recipe.before(DIGITS)
    parts = {"before": before, "cell": recipe.cell(DIGITS), "guess": recipe.guess(), "after": recipe.after(DIGITS)}
    shapes = {
        f"{part}/{name}": leaf.shape for part, layer in parts.items() for name, leaf in named_leaves(layer.init(rng))
    }
    assert shapes == {
        "before/0/weight": (3, 3, 1, 64),
        "before/0/bias": (64,),
        "before/2/scale": (64,),
        "before/2/shift": (64,),
        "before/3/weight": (4, 4, 64, 64),
        "before/3/bias": (64,),
        "cell/inject/0/weight": (3, 3, 64, 64),
        "cell/recur/0/weight": (3, 3, 64, 64),
        "cell/after/0/weight": (3, 3, 64, 64),
        "guess/0/weight": (3, 3, 64, 64),
        "guess/0/bias": (64,),
        "after/0/scale": (64,),
        "after/0/shift": (64,),
        "after/3/weight": (64, 10),
        "after/3/bias": (10,),
    }
    for name, kernel in named_leaves(recipe.cell(DIGITS).init(rng)):
        assert kernel.std() == pytest.approx(0.01, rel=0.02), name
        assert abs(kernel).max() < 0.025
    images = before(before.init(rng), np.zeros((2, 28, 28, 1), np.float32))
    assert images.shape == (2, 13, 13, 64)


def test_the_default_recipe_has_the_tutorials_data_and_epochs() -> None:
    """It differs in architecture and schedule, not in how much it sees."""
    for field in ("limit", "plan"):
        assert getattr(RECIPES["default"]["deq"], field) == getattr(RECIPES["tutorial"]["deq"], field)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("model", GUESSES)
def test_every_recipe_trains_every_model(run: Runner, recipe: str, model: str) -> None:
    """Each combination runs to its end; only a guess by a layer has parameters, only f(0, x) costs an evaluation."""
    ended = run(*QUICK, "--recipe", recipe, "--model", model, "--pretrain-epochs", "1", "--epochs", "0")
    depth = RECIPES[recipe][model].plan.pretrain_depth
    assert ended.metrics[0]["forward_nfe"] == depth + (1 if model == "regdeq" else 0)
    assert any(name.startswith("deq/initial_guess/") for name in ended.model) == (model == "skipdeq")
    assert (ended.record["options"]["recipe"], ended.record["options"]["model"]) == (recipe, model)


def test_full_changes_the_default_recipe_only() -> None:
    """More images are trained on at a lower rate and moved about; the tutorial has no such thing."""
    recipe = RECIPES["default"]["regdeq"]
    full = dataclasses.replace(recipe, **recipe.with_all)
    assert (recipe.transform, full.transform) == (None, Shift(2))
    assert max(map(full.schedule(1000), range(1000))) < max(map(recipe.schedule(1000), range(1000)))
    assert not RECIPES["tutorial"]["regdeq"].with_all


@pytest.mark.parametrize("model", ["dense-deq", "reduced", "mdeq", "skip-mdeq"])
def test_the_other_models_train(run: Runner, model: str) -> None:
    """Dense layers, a small state, two scales: each runs through pretraining and training to its end."""
    ended = run("--limit", "10", "--batch-size", "8", "--pretrain-epochs", "1", "--epochs", "1", "--model", model)
    assert [each["phase"] for each in ended.metrics] == ["pretrain", "train"]
    assert ended.metrics[-1]["status"] == {"converged": 8}
    assert any(name.startswith("deq/initial_guess/") for name in ended.model) == (model != "mdeq")


def test_a_reduced_state_is_smaller_than_its_input() -> None:
    """The tutorial's network has 512 features, and an equilibrium of 128 numbers."""
    network = RECIPES["tutorial"]["reduced"].network(METHOD, DIGITS)
    params = network.init(np.random.default_rng(0))
    _, found = network(params, np.zeros((2, 28, 28, 1), np.float32))
    assert params["deq"]["cell"]["inject"][0]["weight"].shape == (512, 64)
    assert found.z.shape == (2, 128)


def test_two_scales_have_two_sizes() -> None:
    """The second scale has half the side of the first, and the prediction depends on both."""
    network = RECIPES["default"]["mdeq"].network(METHOD, DIGITS)
    params = network.init(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    prediction, found = network(params, rng.random((2, 28, 28, 1), dtype=np.float32))
    fine, coarse = found.output
    assert (fine.shape, coarse.shape) == ((2, 12, 12, 24), (2, 6, 6, 32))
    for changed in ((fine**3, coarse), (fine, coarse**3)):
        assert not np.allclose(network.after(params["after"], changed), prediction)


def test_a_recipe_refuses_a_model_that_it_does_not_have(
    digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The error says which models it is for, and which recipe the model has; nothing is written."""
    out = tmp_path / "run"
    argv = ("--data-dir", str(digits), "--out", str(out), "--recipe", "tutorial", "--model", "mdeq")
    assert main(["run", "mnist", *argv]) == 2
    assert capsys.readouterr().err == (
        "error: --recipe tutorial is for --model deq, regdeq, skipdeq, reduced; for --model mdeq there is "
        "--recipe default\n"
    )
    assert not out.exists()


# Data


@pytest.mark.parametrize(("limit", "train", "test"), [("20", 16, 4), ("11", 9, 2), ("100", 80, 20)])
def test_a_limit_takes_the_first_images_four_fifths_to_train(run: Runner, limit: str, train: int, test: int) -> None:
    """The record, the log and the statuses tell how many images train and how many test."""
    ended = run(*QUICK, "--limit", limit)
    assert (ended.record["options"]["train_images"], ended.record["options"]["test_images"]) == (train, test)
    assert ended.said[1] == f"Using the first {limit} training images: {train} to train, {test} to test"
    assert sum(ended.metrics[-1]["status"].values()) == train
    assert sum(ended.metrics[-1]["test"]["status"].values()) == test


def test_a_limit_beyond_the_data_uses_all_and_says_so(run: Runner) -> None:
    """More images than there are is no error, and no secret."""
    ended = run(*QUICK, "--limit", "999999", "--epochs", "0")
    assert ended.said[1] == (
        f"Using the first {TRAIN_IMAGES} training images, all there are (--limit 999999): 96 to train, 24 to test"
    )
    assert ended.record["options"]["train_images"] == 96


def test_full_trains_on_all_and_tests_on_the_test_set(run: Runner) -> None:
    """--full splits nothing."""
    ended = run("--full", "--epochs", "0", "--pretrain-epochs", "1")
    assert ended.said[1] == f"Using all of them: {TRAIN_IMAGES} to train, {TEST_IMAGES} to test"
    assert sum(ended.metrics[0]["status"].values()) == TRAIN_IMAGES
    assert sum(ended.metrics[0]["test"]["status"].values()) == TEST_IMAGES


def test_the_source_of_the_data_is_told_and_recorded(run: Runner, digits: Path) -> None:
    """Log and record name the folder."""
    ended = run(*QUICK, "--epochs", "0")
    source = f"MNIST from {digits}: {TRAIN_IMAGES} training and {TEST_IMAGES} test images"
    assert ended.said[0] == f"Data: {source}"
    assert (ended.record["data"], ended.record["data_fallback"]) == (source, False)


def test_offline_the_run_says_which_digits_it_uses(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without data and network it trains on scikit-learn's digits, announced first and recorded."""
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    offline = dataclasses.replace(OFFICIAL, mirrors=("http://127.0.0.1:9/",))
    elsewhere = Mnist(distribution=offline, cache=tmp_path / "cache").load
    monkeypatch.setattr(Mnist, "load", lambda self, data_dir, report: elsewhere(None, report))
    ended = run(*QUICK, "--epochs", "0")
    assert ended.said[0].startswith("MNIST could not be downloaded")
    assert ended.said[1].startswith("Data: scikit-learn's handwritten digits")
    assert ended.record["data_fallback"] is True
    assert "not MNIST" in ended.record["data"]


# Options


def test_options_left_open_are_the_recipes(run: Runner) -> None:
    """The record holds the resolved values: those given and those of the recipe."""
    ended = run("--limit", "10", "--epochs", "0", "--pretrain-epochs", "0")
    recipe = RECIPES["default"]["regdeq"]
    assert ended.record["options"] == {
        "recipe": "default",
        "model": "regdeq",
        "limit": 10,
        "full": False,
        "train_images": 8,
        "test_images": 2,
        "epochs": 0,
        "pretrain_epochs": 0,
        "pretrain_depth": recipe.plan.pretrain_depth,
        "batch_size": recipe.plan.batch_size,
    }


def test_no_epoch_at_all_reports_the_untrained_model(run: Runner) -> None:
    """Without training there are no metrics, and the accuracy of the initial parameters, which are saved."""
    ended = run("--limit", "10", "--epochs", "0", "--pretrain-epochs", "0")
    assert ended.metrics == []
    assert ended.record["status"] == "finished"
    assert ended.record["results"]["test_accuracy"] in (0.0, 0.5, 1.0)
    assert sum(ended.record["results"]["test"]["status"].values()) == 2
    assert ended.model["deq/cell/recur/0/weight"].any()


def test_a_run_learns_and_reports_each_epoch(run: Runner) -> None:
    """On patterns with noise the accuracy is high after few epochs; metrics, results and log agree."""
    ended = run("--limit", "120", "--epochs", "2", "--pretrain-epochs", "2", "--batch-size", "16")
    assert [(each["phase"], each["epoch"]) for each in ended.metrics] == [
        *(("pretrain", 1), ("pretrain", 2)),
        *(("train", 1), ("train", 2)),
    ]
    assert ended.metrics[-1]["test_accuracy"] > 0.8
    assert ended.metrics[-1]["loss"] < ended.metrics[0]["loss"]
    assert ended.record["results"] == ended.metrics[-1]
    assert ended.said[-2] == f"Test accuracy: {100 * ended.metrics[-1]['test_accuracy']:.3f}% of 24 images"
    assert sum(line.startswith("Epoch: [2/2] Loss: ") for line in ended.said) == 1


def test_the_log_introduces_the_run(run: Runner, tmp_path: Path) -> None:
    """Data, what is used of it, model, solver, adjoint and BLAS come first, the place of the record last."""
    ended = run(*QUICK, "--solver", "picard:damping=0.5", "-o", "max_steps=7", "--adjoint", "jacobian-free")
    size = sum(array.size for array in ended.model.values())
    assert ended.said[2:5] == [
        f"Model: regdeq, recipe default, {size:,} parameters, on cpu",
        f"Solver: picard (damping=0.5) with rtol={RECIPES['default']['regdeq'].options['rtol']}, max_steps=7",
        "Adjoint: jacobian-free: an approximate gradient",
    ]
    assert ended.said[5].startswith("BLAS: ")
    assert ended.said[-1] == f"Run recorded in {tmp_path / 'run'}"
    assert re.match(r"Pretraining: \[1/1\] Batch: \[   1/   2\] Loss: \d", ended.said[6])


def test_unconverged_samples_reach_log_and_metrics(run: Runner) -> None:
    """A solve that is not given the steps it needs is told in the epoch's line and counted in the metrics."""
    ended = run(*QUICK, "--solver", "picard", "-o", "max_steps=1", "-o", "rtol=1e-9", "-o", "atol=0")
    assert ended.metrics[-1]["unconverged"] == 1.0
    assert ended.metrics[-1]["status"] == {"max_steps": 16}
    assert any(line.endswith("test unconverged 100.0% (4 max_steps)") for line in ended.said)


@pytest.mark.skipif(not REAL, reason="EQUILIB_DATA_DIR is not set: no real MNIST to train on")
def test_real_digits_are_learned(run: Runner) -> None:
    """On 200 real images the default recipe is far better than chance within seconds."""
    ended = run("--data-dir", str(REAL), "--limit", "200", "--batch-size", "16", "--pretrain-epochs", "1")
    assert ended.metrics[-1]["test_accuracy"] > 0.5
    assert ended.metrics[-1]["unconverged"] < 0.05
    assert not ended.record["data_fallback"]
