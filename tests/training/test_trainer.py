"""The training loop: what it computes, what it reports, and how it stops."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from equilib import ImplicitAdjoint, ops
from equilib.adjoints.equilibrium import Equilibrium
from equilib.adjoints.jacobian_free import JacobianFree
from equilib.arrays import Array
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.autodiff import IndependentError
from equilib.errors import RunError
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.picard import Picard
from equilib.fixed_points.solution import Status
from equilib.fixed_points.solver import Solver
from equilib.layers import Dense
from equilib.models import ZeroGuess
from equilib.training.objectives import Regression
from equilib.training.optimizers import global_norm
from equilib.training.plan import Plan
from equilib.training.schedules import Constant, OneCycle
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_sgd.optimizer import SGD
from tests.training.small import CLASSES, FEATURES, STATE, TEST, TRAIN, Heard, clusters, network, trainer

FIELDS = {
    *("phase", "epoch", "step", "loss", "train_accuracy", "test_accuracy", "seconds", "test_seconds"),
    *("learning_rate", "gradient_norm", "test"),
}
STATISTICS = {
    *("forward_nfe", "forward_njvp", "residual", "unconverged", "status"),
    *("adjoint_nfe", "adjoint_residual_max", "adjoint_unconverged", "adjoint_status"),
}
TIMES = {"seconds", "test_seconds"}


def without_times(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop what no seed decides."""
    return [{key: value for key, value in metrics.items() if key not in TIMES} for metrics in epochs]


# What it computes


def test_pretraining_iterates_to_its_depth() -> None:
    """The first loss of pretraining is that of exactly `depth` iterations of the cell from the initial guess."""
    model, heard = network(guess=ZeroGuess()), Heard()
    plan = Plan(pretrain_epochs=1, pretrain_depth=3, epochs=0, batch_size=TRAIN)
    subject = trainer(model, plan=plan, reporter=heard)
    params, data = subject.params, clusters()
    hidden = data.train_inputs @ params["before"]["weight"] + params["before"]["bias"]
    cell = params["deq"]["cell"]
    u = hidden @ cell["inject"]["weight"] + cell["inject"]["bias"]
    z = np.zeros_like(u)
    for _ in range(3):
        z = np.tanh(z @ cell["recur"]["weight"] + u)
    logits = (z @ params["after"]["weight"] + params["after"]["bias"]).astype(np.float64)
    entropy = np.log(np.exp(logits).sum(1)) - logits[np.arange(TRAIN), data.train_targets]
    (metrics,) = subject.epochs()
    assert heard.batches[0][3] == pytest.approx(entropy.mean() + 0.01 * (z**2).mean(), rel=1e-5)
    assert metrics["forward_nfe"] == 3
    assert metrics["phase"] == "pretrain"


def test_training_goes_through_the_equilibrium() -> None:
    """After pretraining the state is a fixed point: the residual meets the tolerance, and an adjoint was solved."""
    pretrain, *train = trainer().epochs()
    assert pretrain["adjoint_status"] == {}
    for metrics in train:
        assert metrics["phase"] == "train"
        assert metrics["residual"] < 1e-4
        assert metrics["adjoint_nfe"] > 0


def test_training_learns() -> None:
    """On clusters the loss falls in every epoch and the classes are told apart, on unseen samples too."""
    plan = Plan(pretrain_epochs=1, pretrain_depth=5, epochs=4, batch_size=8)
    epochs = list(trainer(plan=plan, schedule=Constant(3e-2)).epochs())
    losses = [metrics["loss"] for metrics in epochs]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]
    assert epochs[-1]["train_accuracy"] > 0.85
    assert epochs[-1]["test_accuracy"] > 0.8


def test_the_schedule_is_followed_step_by_step() -> None:
    """Step s is taken at schedule(s), counted through all epochs; the metrics hold the last."""
    asked: list[int] = []

    def schedule(step: int) -> float:
        asked.append(step)
        return 1e-3

    subject = trainer(schedule=schedule)
    steps = [metrics["step"] for metrics in subject.epochs()]
    assert steps == [7, 14, 21]
    assert subject.plan.steps(TRAIN) == 21
    assert sorted(set(asked)) == list(range(21))
    cycle = OneCycle(1e-2, 21)
    assert [m["learning_rate"] for m in trainer(schedule=cycle).epochs()] == [cycle(6), cycle(13), cycle(20)]


def test_a_warm_up_lengthens_no_training() -> None:
    """The schedule is made for the updates that the warm-up leaves, and follows it."""
    plan, asked = replace(trainer().plan, warm_up=5), []
    rates = plan.rates(lambda steps: asked.append(steps) or Constant(1e-2), TRAIN)
    assert asked == [21 - 5]
    assert [rates(step) for step in (0, 5, 20)] == pytest.approx([1e-3, 1e-2, 1e-2])


def test_a_gradient_is_clipped_before_the_update() -> None:
    """With a plain step of gradient descent parameters move by the limit at most, and the metrics show the norm."""
    plan = Plan(epochs=1, batch_size=TRAIN, clip_gradient=0.01)
    subject = trainer(plan=plan, schedule=Constant(1.0))
    subject.optimizer = SGD(momentum=0.0)
    subject._state = subject.optimizer.init(subject.params)
    before = subject.params
    (metrics,) = subject.epochs()
    moved = global_norm(tree_map(lambda new, old: new - old, subject.params, before))
    assert moved == pytest.approx(0.01, rel=1e-2)
    assert metrics["gradient_norm"] > 0.05


def test_training_stops_early_where_it_is_stuck() -> None:
    """At a rate of zero no epoch is better than the first: it ends after as many more as the plan is patient."""
    heard, plan = Heard(), Plan(pretrain_epochs=1, pretrain_depth=2, epochs=50, batch_size=TRAIN, patience=3)
    subject = trainer(plan=plan, schedule=Constant(0.0), reporter=heard)
    assert [metrics["epoch"] for metrics in subject.epochs()] == [1, 1, 2, 3, 4]
    assert heard.lines[-1] == "Stopped early: no better test score in 3 epochs"
    resumed = trainer(plan=plan, schedule=Constant(0.0))
    resumed.restore(subject.state())
    assert list(resumed.epochs()) == []


def test_a_score_that_is_no_number_is_no_best_once_there_is_another() -> None:
    """A first test whose score is nan is worse than any other, which neither ends the training nor stays the best."""
    plan, data = Plan(epochs=3, batch_size=TRAIN, patience=1), clusters()
    one_hot = np.eye(CLASSES, dtype=np.float32)
    train, test = one_hot[data.train_targets], one_hot[data.test_targets]
    whole = replace(data, train_targets=train, test_targets=test)
    subject = trainer(plan=plan, objective=Regression(), data=replace(whole, test_targets=test * np.nan))
    epochs = subject.epochs()
    assert np.isnan(next(epochs)["test_squared_error"])
    assert subject.best is not None
    subject.data = whole
    second = next(epochs)
    assert subject.best == {"phase": "train", "epoch": 2, "test_squared_error": second["test_squared_error"]}


RATES: dict[str, tuple[Callable[[int], Any], type[Exception], str]] = {
    "nothing": (lambda step: None, TypeError, "schedule must return a rate at every step, at step 0 it returned None"),
    "several": (lambda step: np.ones(2), TypeError, r"at step 0 it returned an array of shape \(2,\)"),
    "negative": (lambda step: 1e-3 - 1e-3 * step, ValueError, "rates of 0 or more, at step 2 it returned -0.001"),
    "no number": (lambda step: np.float32("nan"), ValueError, "rates of 0 or more, at step 0 it returned nan"),
}


@pytest.mark.parametrize("name", RATES)
def test_a_schedule_that_returns_no_rate_is_refused(name: str) -> None:
    """By the step: uphill, or to nan, the parameters are not moved."""
    schedule, kind, sentence = RATES[name]
    subject = trainer(schedule=schedule)
    with pytest.raises(kind, match=sentence):
        list(subject.epochs())
    assert all(np.isfinite(leaf).all() for leaf in tree_leaves(subject.params))


def test_a_rate_of_zero_changes_nothing() -> None:
    """The parameters move by the optimizer alone."""
    subject = trainer(schedule=Constant(0.0))
    before = [leaf.copy() for leaf in tree_leaves(subject.params)]
    list(subject.epochs())
    for leaf, old in zip(tree_leaves(subject.params), before, strict=True):
        np.testing.assert_array_equal(leaf, old)


def test_accuracy_counts_every_test_sample_once() -> None:
    """The score is the share of right answers, and does not depend on how the test set is cut into batches."""
    subject = trainer()
    prediction, _ = subject.model(subject.params, subject.data.test_inputs)
    expected = (np.argmax(prediction, axis=1) == subject.data.test_targets).mean()
    for size in (1, 7, TEST, 100):
        subject.plan = replace(subject.plan, test_batch_size=size)
        assert subject.evaluate().score == pytest.approx(expected)


def test_the_transform_meets_training_inputs_only() -> None:
    """An augmentation gets every batch of training with the run's random numbers, and never the test data."""
    seen: list[Array] = []

    def mirror(x: Array, rng: np.random.Generator) -> Array:
        rng.random()
        seen.append(x)
        return -x

    subject = trainer(transform=mirror)
    score = subject.evaluate().score
    assert seen == []
    assert subject.evaluate().score == score
    subject.rehearse()
    assert sum(x.shape[0] for x in seen) == 2
    seen.clear()
    next(subject.epochs())
    assert sum(x.shape[0] for x in seen) == TRAIN


def test_the_seed_decides_everything() -> None:
    """The same seed gives bit-identical metrics and parameters, another seed others."""
    first, again, other = (trainer(seed=seed) for seed in (1, 1, 2))
    metrics = [without_times(list(subject.epochs())) for subject in (first, again, other)]
    assert metrics[0] == metrics[1]
    assert metrics[0] != metrics[2]
    for left, right in zip(tree_leaves(first.params), tree_leaves(again.params), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": -1}, "option 'epochs' expects an int >= 0, got -1"),
        ({"pretrain_epochs": -1}, "'pretrain_epochs' expects an int >= 0"),
        ({"batch_size": 0}, "option 'batch_size' expects an int >= 1, got 0"),
        ({"test_batch_size": 0}, "'test_batch_size' expects an int >= 1"),
        ({"pretrain_depth": 0}, "'pretrain_depth' expects an int >= 1"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(change: dict[str, int], message: str) -> None:
    """Negative numbers of epochs and empty batches are errors."""
    with pytest.raises(ValueError, match=message):
        replace(Plan(pretrain_epochs=1, pretrain_depth=5, epochs=1, batch_size=8), **change)


# What it reports


def test_the_metrics_have_their_fields() -> None:
    """Each epoch has the documented fields, in training and in testing, and plain values."""
    for metrics in trainer().epochs():
        assert set(metrics) == FIELDS | STATISTICS
        assert set(metrics["test"]) == STATISTICS
        assert {type(value) for value in metrics.values()} <= {str, int, float, dict}


@pytest.mark.parametrize("solver", [NewtonGMRES(), Picard()], ids=["newton-gmres", "picard"])
@pytest.mark.parametrize("max_steps", [1, 50])
def test_every_sample_has_a_status(solver: Solver, max_steps: int) -> None:
    """Forward and adjoint statuses count every training sample, the test's every test sample."""
    options = SolveOptions(rtol=1e-6, max_steps=max_steps, on_failure="record")
    for metrics in trainer(network(solver=solver, options=options)).epochs():
        assert sum(metrics["status"].values()) == TRAIN
        assert sum(metrics["test"]["status"].values()) == TEST
        assert metrics["test"]["adjoint_status"] == {}
        assert sum(metrics["adjoint_status"].values()) == (TRAIN if metrics["phase"] == "train" else 0)
        converged = metrics["status"].get("converged", 0)
        assert metrics["unconverged"] == pytest.approx(1 - converged / TRAIN)


def test_a_sensitivity_without_a_solve_reports_none() -> None:
    """Jacobian-free training has no adjoint status, and says so by an empty count."""
    *_, last = trainer(network(sensitivity=JacobianFree())).epochs()
    assert last["adjoint_status"] == {}
    assert last["adjoint_nfe"] == last["adjoint_unconverged"] == 0


def test_batches_and_epochs_are_reported_in_order() -> None:
    """Every batch is reported under its epoch's title, and each epoch ends with one line."""
    heard = Heard()
    list(trainer(reporter=heard).epochs())
    assert [(title, index, count) for title, index, count, _ in heard.batches] == [
        (title, index, 7) for title in ("Pretraining: [1/1]", "Epoch: [1/2]", "Epoch: [2/2]") for index in range(1, 8)
    ]
    number = r"\d+\.\d"
    pretraining, *epochs = heard.lines
    percent = r"\d+\.\d{3}%"
    start = rf"Loss: \d\.\d{{5}} Accuracy: {percent} \(training {percent}\) {number} s, nfe {number}"
    assert re.fullmatch(rf"Pretraining: \[1/1\] {start}, residual \S+", pretraining)
    work = rf" \+ {number} jvp, adjoint {number} vjp, residual \S+e-\d\d, unconverged 0\.0%"
    for epoch, line in enumerate(epochs, start=1):
        assert re.fullmatch(rf"Epoch: \[{epoch}/2\] {start}{work}", line)


def test_the_line_of_an_epoch_names_what_failed() -> None:
    """Unconverged samples are told by share, number and status: forward, adjoint and in the test."""
    heard = Heard()
    options = SolveOptions(rtol=0, atol=0, max_steps=1, on_failure="record")
    model = network(solver=Picard(), options=options, sensitivity=ImplicitAdjoint(rtol=0.0))
    *_, last = trainer(model, reporter=heard).epochs()
    failed = last["adjoint_status"]["max_steps"]
    assert failed > 0
    assert heard.lines[-1].endswith(
        f"unconverged 100.0% ({TRAIN} max_steps), "
        f"adjoint unconverged {100 * failed / TRAIN:.1f}% ({failed} max_steps), "
        f"test unconverged 100.0% ({TEST} max_steps)"
    )
    assert "unconverged" not in heard.lines[0]


# How it stops


@dataclass
class Stopping(Heard):
    """A reporter at whose third batch somebody presses Ctrl-C."""

    def batch(self, title: str, index: int, count: int, loss: float | None = None) -> None:
        """Remember a batch, or be interrupted."""
        super().batch(title, index, count, loss)
        if len(self.batches) == 3:
            raise KeyboardInterrupt


def test_an_interruption_loses_no_update() -> None:
    """After Ctrl-C the trainer holds the parameters of the last update."""
    interrupted = trainer(reporter=Stopping())
    with pytest.raises(KeyboardInterrupt):
        list(interrupted.epochs())
    assert interrupted.step == 3
    shown: list[list[np.ndarray]] = []

    @dataclass
    class Watching(Heard):
        """A reporter that takes the parameters after each batch."""

        def batch(self, title: str, index: int, count: int, loss: float | None = None) -> None:
            """Take the parameters."""
            shown.append(tree_leaves(whole.params))

    whole = trainer(reporter=Watching())
    list(whole.epochs())
    for left, right in zip(tree_leaves(interrupted.params), shown[2], strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    """One nan among the inputs: the error names epoch, batch, statuses and row, and the parameters stay finite."""
    data = clusters()
    data.train_inputs[5, 0] = np.nan
    heard = Heard()
    plan = Plan(pretrain_epochs=0, pretrain_depth=1, epochs=3, batch_size=8)
    subject = trainer(data=data, plan=plan, reporter=heard)
    with pytest.raises(RunError) as caught:
        list(subject.epochs())
    batch = len(heard.batches) + 1
    assert str(caught.value) == (
        f"the loss became nan at Epoch: [1/3] Batch: [{batch}/7] (samples: 7 converged, 1 nonfinite): "
        "train_inputs hold nan or inf in 1 of its 8 samples, first at row 5; leave such samples out, or fill in what "
        "they lack"
    )
    assert all(np.isfinite(leaf).all() for leaf in tree_leaves(subject.params))


@dataclass(frozen=True)
class Cusp:
    """A finite loss without a finite gradient: the square root of nothing."""

    score_name: str = "accuracy"
    higher_is_better: bool = True

    def loss(self, prediction: Array, equilibrium: Equilibrium, target: Array) -> Array:
        """Return the mean of √(0·p)."""
        return ops.mean(ops.sqrt(ops.multiply(prediction, 0.0)))

    def score(self, prediction: Array, target: Array) -> Array:
        """Return zeros."""
        return np.zeros(prediction.shape[0])

    def show(self, score: float) -> str:
        """Return the number."""
        return str(score)


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    """A finite loss whose gradient is nan never reaches the parameters."""
    subject = trainer(objective=Cusp(), plan=Plan(pretrain_epochs=0, pretrain_depth=1, epochs=1, batch_size=TRAIN))
    before = tree_leaves(subject.params)
    with pytest.raises(RunError) as caught:
        list(subject.epochs())
    assert f"gradient's norm became nan at Epoch: [1/1] Batch: [1/1] (adjoint: {TRAIN} " in str(caught.value)
    assert str(caught.value).endswith("; lower the learning rate, or try another seed or solver")
    assert all(left is right for left, right in zip(tree_leaves(subject.params), before, strict=True))


@pytest.mark.parametrize("solver", [NewtonGMRES(), Picard()], ids=["newton-gmres", "picard"])
@pytest.mark.parametrize(
    ("activation", "weight"),
    [(ops.tanh, 4.0), (ops.relu, 3.0), (lambda z: z, 5.0), (lambda z: ops.multiply(z, z), 9.0)],
    ids=["tanh", "relu", "linear", "square"],
)
def test_an_expansive_cell_is_never_silently_wrong(solver: Solver, activation: Any, weight: float) -> None:
    """Where f expands, each sample called converged is at a fixed point, and training ends well or says why not."""
    options = SolveOptions(rtol=1e-3, max_steps=12, on_failure="record")
    subject = trainer(network(solver=solver, weight=weight, activation=activation, options=options))
    x = subject.data.train_inputs
    _, equilibrium = subject.model(subject.params, x)
    expected = [status is Status.CONVERGED for status in equilibrium.status]
    assert true_convergence(subject, equilibrium, options) >= set(np.flatnonzero(expected))
    assert np.isfinite(equilibrium.z).all()
    try:
        epochs = list(subject.epochs())
    except RunError as error:
        assert re.search(r"became (nan|inf) at .* Batch: \[\d+/7\]", str(error))  # noqa: PT017
    else:
        for metrics in epochs[1:]:
            assert sum(metrics["status"].values()) == TRAIN
            assert metrics["unconverged"] == pytest.approx(1 - metrics["status"].get("converged", 0) / TRAIN)
        if isinstance(solver, Picard):
            assert epochs[-1]["unconverged"] > 0.2


def true_convergence(subject: Any, equilibrium: Equilibrium, options: SolveOptions) -> set[int]:
    """Return the samples whose state meets the tolerance, by evaluating the cell once more."""
    params, deq = subject.params, subject.model.deq
    u = deq.cell.inject(params["deq"]["cell"], subject.model.before(params["before"], subject.data.train_inputs))
    z = equilibrium.z
    with np.errstate(all="ignore"):
        residual = np.sqrt(((deq.cell.step(params["deq"]["cell"], z, u) - z) ** 2).mean(axis=1))
    # A little more than the tolerance: the solver's last evaluation may have been rounded in another order.
    limit = 1.01 * (options.atol + options.rtol * np.sqrt((z**2).mean(axis=1)))
    assert z.shape == (TRAIN, STATE)
    return set(np.flatnonzero(residual <= limit))


def test_a_parameter_that_nothing_uses_ends_the_training():
    """The first batch names it; a plan that allows it leaves it as it was, and trains the others."""

    @dataclass(frozen=True)
    class Forgetful(Dense):
        def init(self, rng: np.random.Generator) -> Any:
            return {**super().init(rng), "spare": np.ones(3, np.float32)}

    model = replace(network(), before=Forgetful(FEATURES, STATE))
    plan = Plan(epochs=1, batch_size=8)
    with pytest.raises(IndependentError, match=r"'before/spare': .*allow_unused=True"):
        list(trainer(model, plan=plan).epochs())
    allowing = trainer(model, plan=replace(plan, allow_unused=True))
    before = allowing.params["before"]
    list(allowing.epochs())
    np.testing.assert_array_equal(allowing.params["before"]["spare"], before["spare"])
    assert (allowing.params["before"]["weight"] != before["weight"]).all()
