"""The experiments after published models: each runs, its solution and its gradient are found by another route."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import tree_leaves, tree_map
from equilib.autodiff import value_and_grad
from equilib.cli import main
from equilib.errors import RunError
from equilib.experiments.assembly import Training, assemble
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.reporters import QuietReporter
from equilib.runs.request import RunRequest
from equilib_experiments.bratu import TRUTH, BratuCell, steady_state
from equilib_experiments.characters import ALPHABET
from equilib_experiments.graphs import adjacency

SMALL: dict[str, dict[str, Any]] = {
    "table": {"table": "iris", "width": 6},
    "digits-graph": {"labels": 2, "width": 4},
    "characters": {"length": 6, "features": 8, "heads": 2, "limit": 1000},
    "lasso": {"penalties": "each"},
    "bratu": {"points": 6, "strengths": 4},
}
EXACT = {"rtol": "1e-11", "atol": "1e-12", "max_steps": "5000"}


def flags(experiment: str) -> list[str]:
    """Return the small options as they are typed."""
    return [word for name, value in SMALL[experiment].items() for word in (f"--{name}", str(value))]


def assembled(experiment: str, **values: Any) -> Training:
    """Assemble the training of an experiment that solves exactly."""
    request = RunRequest(experiment=experiment, values=values or SMALL[experiment], options=EXACT, device="cpu")
    return assemble(RunContext(request=request, registry=Registry.discover(), reporter=QuietReporter()))


def double(training: Training) -> tuple[Any, Any, Any]:
    """Return parameters, inputs and targets of the training data in float64."""
    data, widen = training.trainer.data, lambda leaf: leaf.astype("float64") if leaf.dtype.kind == "f" else leaf
    first = 3 if training.trainer.data.train_inputs.shape[0] > 5 else 5
    arrays = (training.trainer.params, data.train_inputs[:first], data.train_targets[:first])
    return tree_map(widen, arrays[0]), widen(arrays[1]), widen(arrays[2])


@pytest.mark.parametrize("experiment", SMALL)
def test_it_runs_from_one_command(experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It trains, tests, and says what it is compared with; `check-gradient` finds its gradient right."""
    out = tmp_path / "run"
    assert main(["run", experiment, *flags(experiment), "--epochs", "1", "--device", "cpu", "--out", str(out)]) == 0
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "finished"
    assert capsys.readouterr().err == ""
    tight = [word for name, value in EXACT.items() for word in ("-o", f"{name}={value}")]
    few = ("--samples", "2", "--directions", "1", "--device", "cpu", "--json", "--solver", "auto")
    assert main(["check-gradient", experiment, *flags(experiment), *few, *tight]) == 0
    assert json.loads(capsys.readouterr().out)["confirmed"] is True


@pytest.mark.parametrize("experiment", ["table", "characters", "digits-graph"])
def test_its_gradient_is_that_of_the_iterations(experiment: str) -> None:
    """The implicit gradient of the loss is that of backpropagation through two hundred steps z ← f(z, x)."""
    training = assembled(experiment)
    params, x, y = double(training)
    if experiment == "characters":  # at its initial weights, enlarged by injection alone, the block contracts
        params["deq"]["cell"]["inject"] = tree_map(lambda leaf: 3 * leaf, params["deq"]["cell"]["inject"])

    def loss(model: Any) -> Any:
        def of(params: Any) -> Any:
            prediction, record = model(params, x)
            return training.recipe.objective.loss(prediction, record, y)

        return value_and_grad(of, allow_unused=True)(params)

    value, gradient = loss(training.network)
    expected, unrolled = loss(training.network.unrolled(200))
    assert value == pytest.approx(expected, rel=1e-9)
    for one, other in zip(tree_leaves(gradient), tree_leaves(unrolled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_a_lasso_is_scikit_learns() -> None:
    """The weights are those of `Lasso` with the same penalty, and dw/dλ that of the active columns."""
    linear = pytest.importorskip("sklearn.linear_model")
    training = assembled("lasso", penalties="one")
    params, x, _ = double(training)
    penalty = float(np.exp(params["deq"]["cell"]["log_penalty"][0]))
    for fold in x[:2]:
        rows, y, fitted = fold[:, :-2], fold[:, -2], fold[:, -1] == 1
        model = linear.Lasso(penalty, fit_intercept=False, tol=1e-12, max_iter=1_000_000).fit(rows[fitted], y[fitted])
        w = training.network.deq(params["deq"], fold[None]).z[0]
        np.testing.assert_allclose(w, model.coef_, atol=1e-7)
        active = np.abs(w) > 1e-6
        assert 3 < active.sum() < 40
        gram = rows[fitted][:, active].T @ rows[fitted][:, active] / fitted.sum()
        expected = -penalty * np.linalg.solve(gram, np.sign(w[active])).sum()
        total = lambda own, fold=fold: ops.sum(training.network.deq(own, fold[None]).z)  # noqa: E731
        gradient = value_and_grad(total)(params["deq"])[1]["cell"]["log_penalty"]
        np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_a_steady_state_is_newtons() -> None:
    """The fixed point solves the sparse equations; its derivative is that of Newton's solutions, by differences."""
    training = assembled("bratu")
    params, _, _ = double(training)
    params["deq"]["cell"]["log_rate"] = TRUTH
    cell, strength = BratuCell(6), np.array([[2.5]])

    def newton(coefficients: np.ndarray) -> np.ndarray:
        return steady_state(2.5 * np.exp(np.asarray(cell.log_rate(coefficients))))

    np.testing.assert_allclose(training.network.deq(params["deq"], strength).z[0], newton(TRUTH), atol=1e-10)
    w = np.random.default_rng(0).standard_normal((6, 6))
    total = lambda own: ops.sum(ops.multiply(training.network.deq(own, strength).z, w))  # noqa: E731
    gradient = value_and_grad(total)(params["deq"])[1]["cell"]["log_rate"]
    for place in ((0, 0), (1, 2), (2, 2)):
        step = np.zeros((3, 3))
        step[place] = 1e-5
        difference = np.sum((newton(TRUTH + step) - newton(TRUTH - step)) * w) / 2e-5
        assert gradient[place] == pytest.approx(difference, rel=1e-6)


def test_the_turning_point_is_the_published_one() -> None:
    """At a constant rate there is a steady state below 6.808, and none above it, to the error of the grid."""
    assert np.isfinite(steady_state(np.full((24, 24), 6.79))).all()
    with pytest.raises(RunError, match="no steady state"):
        steady_state(np.full((24, 24), 6.83))


def test_heads_that_do_not_fit_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake of the user is one sentence."""
    assert main(["run", "characters", "--heads", "3"]) == 2
    assert "--heads must divide --features, and 3 does not divide 32" in capsys.readouterr().err


def test_the_graph_is_symmetric_and_normalized() -> None:
    """Every digit has neighbours, and the largest eigenvalue of the adjacency is 1."""
    matrix = adjacency(8)
    assert abs(matrix - matrix.T).max() < 1e-7
    root = np.ones(matrix.shape[0])
    for _ in range(300):
        root = matrix @ root
        root /= np.linalg.norm(root)
    assert root @ (matrix @ root) == pytest.approx(1, abs=1e-3)


def test_the_data_of_a_seed_are_its_own() -> None:
    """Test nodes have no label in training, targets are the next characters, and another seed has other labels."""
    graph = assembled("digits-graph").trainer.data
    assert not ((graph.train_targets >= 0) & (graph.test_targets >= 0)).any()
    assert ((graph.train_targets >= 0).sum(), (graph.test_targets >= 0).sum()) == (20, 1797 - 20)
    text = assembled("characters").trainer.data
    np.testing.assert_array_equal(text.train_inputs[:, 1:], text.train_targets[:, :-1])
    assert text.train_inputs.max() < len(ALPHABET)
