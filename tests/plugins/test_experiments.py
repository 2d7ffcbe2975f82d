"""The experiments beside mnist: each runs to its end with compatible methods, and says what its source asks."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.arrays.trees import tree_leaves
from equilib.cli import main
from equilib.experiments.experiment import make_experiment
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.reporters import QuietReporter
from equilib.runs.request import RunRequest
from equilib.training.data import Dataset
from equilib_experiments.classification import CIFAR10
from equilib_experiments.data.cifar10 import Cifar10
from equilib_experiments.data.digits import DIGITS
from equilib_experiments.recipes import dense
from equilib_experiments.recipes.curves import POLYNOMIAL
from tests.digits import write_digits
from tests.photographs import write_photographs
from tests.plugins.test_mnist_experiment import METHOD

REAL = os.environ.get("EQUILIB_DATA_DIR")
FEW = ("--limit", "20", "--epochs", "1")


@dataclass
class Ended:
    """What a run left and what it printed."""

    record: dict[str, Any]
    metrics: list[dict[str, Any]]
    said: list[str]


@dataclass
class Runner:
    """Types `equilib run`."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, experiment: str, *argv: str) -> Ended:
        """Run it to its end."""
        out = self.folder / "run"
        place = ("--device", "cpu", "--overwrite", "--out", str(out))
        status = main(["run", experiment, *place, *argv])
        text, errors = self.capsys.readouterr()
        assert (status, errors) == (0, "")
        lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        said = [line.partition("] ")[2] for line in text.splitlines()]
        return Ended(json.loads((out / "run.json").read_text(encoding="utf-8")), list(map(json.loads, lines)), said)

    def refused(self, experiment: str, *argv: str) -> str:
        """Return the error of a run that must not begin."""
        out = self.folder / "refused"
        assert main(["run", experiment, "--out", str(out), *argv]) == 2
        assert not out.exists()
        return self.capsys.readouterr().err


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of made-up digits and photographs."""
    folder = tmp_path_factory.mktemp("data")
    write_digits(folder / "mnist")
    write_photographs(folder / "cifar10")
    return folder


@pytest.fixture
def run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return the command, set to the made-up data and a new folder."""
    monkeypatch.setenv("EQUILIB_DATA_DIR", str(data))
    return Runner(tmp_path, capsys)


# mnist-neural-ode


def test_the_neural_ode_recipe_is_the_sources() -> None:
    """1,500 images, nine tenths of them to train, batches of 128, Adam at 1e-3 for 9 epochs, 16,450 parameters."""
    recipe = dense.NEURAL_ODE
    assert (recipe.limit, recipe.train_share, recipe.plan.batch_size, recipe.plan.epochs) == (1500, 0.9, 128, 9)
    assert (recipe.schedule(99)(0), recipe.schedule(99)(98), recipe.plan.pretrain_epochs) == (1e-3, 1e-3, 0)
    assert (recipe.solver, recipe.options) == ("tsit5", {"rtol": 1e-3, "atol": 1e-3})


@pytest.mark.parametrize("adjoint", ["interpolating", "gauss", "backsolve", "discrete"])
def test_a_neural_ode_trains_with_every_adjoint(run: Runner, adjoint: str) -> None:
    """The line of an epoch has both accuracies and the evaluations, and no residual, which an integration has not."""
    ended = run("mnist-neural-ode", *FEW, "--adjoint", adjoint)
    epoch = ended.metrics[-1]
    assert epoch["status"] == {"finished": 18}
    assert epoch["test"]["status"] == {"finished": 2}
    assert epoch["forward_nfe"] > 6
    assert epoch["adjoint_nfe"] > 6
    assert epoch["residual"] is None
    assert ended.record["method"]["adjoint"]["name"] == adjoint
    line = next(line for line in ended.said if line.startswith("Epoch: [1/1] Loss"))
    assert "Accuracy: " in line
    assert "(training " in line
    assert "residual" not in line


def test_a_neural_ode_learns(run: Runner) -> None:
    """On ten patterns with noise the accuracy is far above chance after few epochs, with another integrator too."""
    ended = run("mnist-neural-ode", "--full", "--epochs", "5", "--batch-size", "30", "--solver", "bs3:rtol=1e-2")
    assert ended.metrics[-1]["test_accuracy"] > 0.8
    assert ended.record["method"]["solver"]["name"] == "bs3"
    assert ended.record["method"]["solve"]["rtol"] == 1e-2


def test_an_integration_that_fails_ends_the_run_in_one_sentence(run: Runner) -> None:
    """Too few steps are told with the statuses of the samples."""
    out = run.folder / "failed"
    argv = ("--out", str(out), *FEW, "-o", "max_steps=1", "-o", "rtol=1e-12")
    assert main(["run", "mnist-neural-ode", *argv]) == 1
    assert "the loss became nan at Epoch: [1/1] Batch: [1/1] (samples: 18 max_steps)" in run.capsys.readouterr().err


def test_a_neural_ode_refuses_the_methods_of_equilibria(run: Runner) -> None:
    """What solves equations is no integrator, and the adjoints of equilibria are not those of integrations."""
    assert "no integrator 'newton-gmres'" in run.refused("mnist-neural-ode", "--solver", "newton-gmres")
    assert "adjoint 'implicit' differentiates a fixed point" in run.refused("mnist-neural-ode", "--adjoint", "implicit")


# mnist-steady-state


def test_the_steady_state_network_is_the_sources() -> None:
    """784 → 200 → 20, an equilibrium 20 → 10 → 10 → 20 that starts at f(0, x), 20 → 15 → 10; Tsit5, batches of 8."""
    recipe = dense.STEADY_STATE
    assert (recipe.solver, recipe.plan.batch_size, recipe.plan.epochs, recipe.limit) == ("tsit5", 8, 10, None)
    assert recipe.schedule(1)(0) == 3e-4
    network = recipe.network(METHOD, DIGITS)
    params = network.init(np.random.default_rng(0))
    weights = [leaf.shape for leaf in tree_leaves(params) if leaf.ndim == 2]
    assert sorted(weights) == sorted([(784, 200), (200, 20), (20, 10), (10, 10), (10, 20), (20, 15), (15, 10)])
    _, found = network(params, np.ones((2, 28, 28, 1), np.float32))
    assert found.z0.shape == (2, 20)
    assert found.z0.any()


@pytest.mark.parametrize("method", [(), ("--solver", "anderson", "--adjoint", "jacobian-free")], ids=["tsit5", "other"])
def test_a_steady_state_trains(run: Runner, method: tuple[str, ...]) -> None:
    """Every sample reaches its steady state; any solver and adjoint of equilibria will do."""
    ended = run("mnist-steady-state", *FEW, *method)
    assert ended.metrics[-1]["status"] == {"converged": 16}
    assert ended.record["method"]["solver"]["name"] == (method[1] if method else "tsit5")


def test_a_steady_state_takes_all_images_unless_told(run: Runner) -> None:
    """Like the source it trains on the training set and tests on the test set."""
    ended = run("mnist-steady-state", "--epochs", "0", "--pretrain-epochs", "1")
    assert (ended.record["options"]["train_images"], ended.record["options"]["test_images"]) == (120, 30)
    assert ended.said[1] == "Using all of them: 120 to train, 30 to test"


# linear, polynomial


def test_the_line_is_learned_beyond_the_data(run: Runner) -> None:
    """After training y = 2x at 1 to 10 the prediction at −5 is −10 within 0.05, printed and recorded."""
    ended = run("linear", "--solver", "newton-gmres", "--epochs", "40")
    prediction = ended.record["results"]["prediction at -5"]
    assert abs(prediction + 10) < 0.05
    assert f"prediction at -5: {prediction:.6g}" in ended.said
    assert ended.metrics[-1]["test_squared_error"] == pytest.approx((prediction + 10) ** 2, abs=1e-5)
    assert ended.record["options"]["train_points"] == 10


def test_the_line_is_followed_by_the_sources_solver(run: Runner) -> None:
    """Tsit5 runs to the steady state of every point."""
    ended = run("linear", "--epochs", "1")
    assert ended.record["method"]["solver"]["name"] == "tsit5"
    assert ended.metrics[-1]["status"] == {"converged": 10}


def points_of(experiment: str, seed: int) -> Dataset:
    """Return the data of an experiment."""
    request, registry = RunRequest(experiment=experiment, seed=seed, device="cpu"), Registry.discover()
    context = RunContext(request=request, registry=registry, reporter=QuietReporter())
    return make_experiment(request, registry).load_data(context)


def test_the_points_are_those_of_the_source() -> None:
    """The line has ten points; the polynomial has 512 with noise in [−1, 1], other ones for each seed."""
    line = points_of("linear", 0)
    assert line.train_inputs[:, 0].tolist() == list(range(1, 11))
    np.testing.assert_array_equal(line.train_targets, 2 * line.train_inputs)
    points = points_of("polynomial", 0)
    x = points.train_inputs
    exact = 1.5 * x**3 + x**2 - 5 * x + 2 * np.sin(x) - 3
    assert (x.shape, points.test_inputs.shape) == ((512, 1), (128, 1))
    assert np.abs(x).max() <= 1
    assert 0.003 < (points.train_targets - exact).std() < 0.007
    assert not np.array_equal(x, points_of("polynomial", 1).train_inputs)


@pytest.mark.parametrize("model", POLYNOMIAL)
def test_a_polynomial_is_fitted(run: Runner, model: str) -> None:
    """Each model runs to its end and tells the evaluations of f that a solve of the test points takes."""
    ended = run("polynomial", "--model", model, "--epochs", "1", "--batch-size", "128")
    evaluations = ended.record["results"]["evaluations of f for the test points"]
    assert evaluations == ended.metrics[-1]["test"]["forward_nfe"] > 1
    assert f"evaluations of f for the test points: {evaluations:.6g}" in ended.said


# cifar10


@pytest.mark.parametrize("model", CIFAR10["small"])
def test_photographs_are_learned(run: Runner, model: str) -> None:
    """The small network trains on all photographs there are and tests on the test set."""
    ended = run("cifar10", "--full", "--epochs", "1", "--pretrain-epochs", "1", "--batch-size", "10", "--model", model)
    assert [each["phase"] for each in ended.metrics] == ["pretrain", "train"]
    assert ended.metrics[-1]["loss"] < ended.metrics[0]["loss"]
    assert (ended.record["options"]["train_images"], ended.record["options"]["test_images"]) == (40, 10)


@pytest.mark.parametrize("model", CIFAR10["source"])
def test_fastdeqs_network_has_its_size_and_solves(model: str) -> None:
    """About 170,000 parameters, two scales of 24 channels, and logits that are finite."""
    network = CIFAR10["source"][model].network(METHOD, Cifar10.images)
    params = network.init(np.random.default_rng(0))
    own = {name: part for name, part in params["deq"].items() if name == "cell"}
    size = sum(leaf.size for leaf in tree_leaves([params["before"], own, params["after"]]))
    assert 150_000 < size < 190_000
    image = np.random.default_rng(1).random((1, 32, 32, 3), dtype=np.float32)
    prediction, found = network.unrolled(2)(params, image, rng=np.random.default_rng(2))
    assert [part.shape for part in found.output] == [(1, 32, 32, 24), (1, 16, 16, 24)]
    assert np.isfinite(prediction).all()
    assert network.needs_rng


# For all


@pytest.mark.parametrize("experiment", ["mnist-steady-state", "linear", "polynomial"])
def test_an_equilibrium_can_be_looked_at(run: Runner, experiment: str) -> None:
    """`equilib check-gradient` finds the gradient right at a tight tolerance."""
    data = ("--device", "cpu", "--samples", "2", "--directions", "1")
    tight = ("--solver", "newton-gmres", "-o", "rtol=1e-10", "-o", "atol=1e-12", "-o", "max_steps=50")
    assert main(["check-gradient", experiment, *data, *tight, "--json"]) == 0
    assert json.loads(run.capsys.readouterr().out)["confirmed"] is True


def test_full_and_a_limit_exclude_each_other(run: Runner) -> None:
    """One sentence says so, for every experiment with images."""
    for experiment in ("mnist-neural-ode", "mnist-steady-state", "cifar10"):
        assert "--full uses all images there are" in run.refused(experiment, "--full", "--limit", "10")


# Real data


@pytest.mark.skipif(not REAL, reason="EQUILIB_DATA_DIR is not set: no real data to train on")
def test_the_neural_ode_reaches_the_sources_accuracy(run: Runner) -> None:
    """After 9 epochs on 1,350 real images the accuracy on 150 others is about the source's 82.67 %."""
    ended = run("mnist-neural-ode", "--data-dir", str(REAL))
    assert len(ended.metrics) == 9
    assert ended.metrics[-1]["test_accuracy"] >= 0.8
    assert ended.metrics[-1]["unconverged"] == 0


@pytest.mark.skipif(not REAL, reason="EQUILIB_DATA_DIR is not set: no real data to train on")
@pytest.mark.parametrize("experiment", ["mnist-steady-state", "cifar10"])
def test_real_images_are_trained_on(run: Runner, experiment: str) -> None:
    """A few of them go through pretraining and training."""
    ended = run(experiment, *FEW, "--pretrain-epochs", "1", "--data-dir", str(REAL))
    assert ended.metrics[-1]["status"] == {"converged": 16}
    assert ended.record["data_fallback"] is False
