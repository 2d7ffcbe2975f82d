"""Solves that start from what the last epoch found for the same sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.adjoints.jacobian_free import JacobianFree
from equilib.arrays.trees import tree_leaves
from equilib.autodiff import value_and_grad
from equilib.errors import UserError
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.solution import Status
from equilib.layers import Dense
from equilib.models import InitialGuess, LayerGuess, OneStepGuess, ZeroGuess
from equilib.runs.checkpoint_file import read_checkpoint, write_checkpoint
from equilib.training.plan import Plan
from equilib.training.schedules import Constant
from equilib.training.shares import Share
from equilib.training.snapshot import Snapshot
from equilib.training.trainer import Trainer
from equilib.training.warm_starts import BOTH, EQUILIBRIA, WarmStarts
from equilib_anderson.solver import Anderson
from tests.training.small import FEATURES, STATE, TRAIN, network, trainer

PLAN = Plan(pretrain_epochs=0, pretrain_depth=4, epochs=2, batch_size=8)
GUESSES: tuple[InitialGuess, ...] = (ZeroGuess(), OneStepGuess(), LayerGuess(Dense(FEATURES + 2, STATE)))
CLOCKS = ("seconds", "test_seconds")


def warm(subject: Trainer, kept: str = BOTH) -> Trainer:
    """Return the trainer, keeping that."""
    subject.warm_starts = WarmStarts(kept, TRAIN)
    return subject


def without_times(metrics: dict[str, Any]) -> dict[str, Any]:
    """Drop what no seed decides."""
    return {name: value for name, value in metrics.items() if name not in CLOCKS}


def gradients(subject: Trainer) -> list[np.ndarray]:
    """Return the gradient of a batch at the parameters of the trainer, twice: as it starts, and cold."""
    rows = np.arange(8)
    x, y = subject.data.train_inputs[rows], subject.data.train_targets[rows]
    kept, found = subject.warm_starts, []
    for starts in (kept, WarmStarts()):
        subject.warm_starts = starts
        share = Share(rows, rows.size, subject.rng)
        _, gradient = value_and_grad(subject._loss(subject.model), has_aux=True)(subject.params, x, y, share)
        found.append(np.concatenate([np.ravel(leaf) for leaf in tree_leaves(gradient)]))
    return found


@pytest.mark.parametrize("guess", GUESSES, ids=lambda guess: type(guess).__name__)
def test_unchanged_parameters_take_no_step(guess: InitialGuess) -> None:
    """Where nothing was learned, the second epoch, in another order, finds every z* and every w where it was."""
    model = network(guess=guess, solver=Anderson(), sensitivity=ImplicitAdjoint())
    subject = warm(trainer(model, plan=PLAN, schedule=Constant(0.0)))
    first, second = subject.epochs()
    assert first["forward_nfe"] > guess.nfe + 2
    assert first["adjoint_nfe"] > 2
    assert (second["forward_nfe"], second["adjoint_nfe"]) == (guess.nfe + 2, 1)
    assert second["status"] == {"converged": TRAIN}
    assert second["loss"] == pytest.approx(first["loss"], abs=1e-6)


def test_tests_start_cold() -> None:
    """What is kept belongs to the training set; a test takes as many evaluations as without."""
    subject = warm(trainer(plan=PLAN, schedule=Constant(0.0)))
    first, second = subject.epochs()
    assert without_times(first["test"]) == without_times(second["test"])


@pytest.mark.parametrize("guess", GUESSES, ids=lambda guess: type(guess).__name__)
def test_gradients_are_those_of_cold_solves(guess: InitialGuess) -> None:
    """From the last epoch's z* and w, loss and gradient are the same, also of the guess that is trained."""
    options = SolveOptions(rtol=1e-6, on_failure="record")
    subject = warm(trainer(network(guess=guess, options=options, sensitivity=ImplicitAdjoint()), plan=PLAN))
    list(subject.epochs())
    assert subject.warm_starts.guesses(subject.model, np.arange(8)).keys() == {"start", "adjoint_guess"}
    ours, cold = gradients(subject)
    np.testing.assert_allclose(ours, cold, atol=1e-5 * float(np.max(np.abs(cold))))
    assert np.any(ours != cold)


def test_each_sample_gets_its_own() -> None:
    """Whatever the order, row i is given the fixed point of input i."""
    subject = warm(trainer(plan=PLAN, schedule=Constant(0.0)), EQUILIBRIA)
    list(subject.epochs())
    rows = np.asarray([41, 3, 17])
    _, record = subject.model(subject.params, subject.data.train_inputs[rows])
    start = subject.warm_starts.guesses(subject.model, rows)["start"]
    np.testing.assert_allclose(start, record.z, atol=1e-4)
    assert not np.allclose(start[0], start[1], atol=1e-2)


def test_adjoints_are_those_of_any_batch_size() -> None:
    """The gradient is a mean over the batch; in a batch half as large the kept w is twice as large."""
    subject = warm(trainer(plan=PLAN))
    list(subject.epochs())
    whole, half = (subject.warm_starts.guesses(subject.model, np.arange(n))["adjoint_guess"] for n in (8, 4))
    np.testing.assert_array_equal(half, 2 * whole[:4])


def test_failed_samples_start_cold() -> None:
    """What stalled or diverged is forgotten, its batch mates are not, and a batch without any is given nothing."""
    subject = warm(trainer(plan=PLAN), EQUILIBRIA)
    rows = np.asarray([5, 6, 7])
    _, record = subject.model(subject.params, subject.data.train_inputs[rows])
    status = (Status.CONVERGED, Status.STALLED, Status.MAX_STEPS)
    subject.warm_starts.remember((replace(record, solution=replace(record.solution, status=status)), rows))
    start = subject.warm_starts.guesses(subject.model, rows)["start"]
    np.testing.assert_array_equal(np.isnan(start).all(axis=1), [False, True, False])
    assert subject.warm_starts.guesses(subject.model, np.arange(5)) == {}
    _, again = subject.model(subject.params, subject.data.train_inputs[rows], start=start)
    np.testing.assert_array_equal(again.solution.steps == 0, [True, False, True])
    np.testing.assert_array_equal(again.solution.z0[1], again.z0[1])


def through_a_file(snapshot: Snapshot, like: Trainer, path: Path) -> Snapshot:
    """Write a checkpoint and read it again."""
    write_checkpoint(path, snapshot, {"run": "a1", "request": {"experiment": "study", "seed": 3}})
    return read_checkpoint(path).snapshot(like.state())


def test_a_resumed_run_knows_what_was_kept(tmp_path: Path) -> None:
    """From a checkpoint of any batch the rest is bit for bit that of the run that did not stop."""
    plan = Plan(pretrain_epochs=1, pretrain_depth=4, epochs=2, batch_size=8)
    whole, states = warm(trainer(plan=plan)), []
    whole.loosen = 10.0
    whole.after_batch = lambda: states.append((whole.epochs_done, whole.state()))
    metrics = [without_times(epoch) for epoch in whole.epochs()]
    for done, snapshot in states[1::5]:
        resumed = warm(trainer(plan=plan))
        resumed.loosen = 10.0
        resumed.restore(through_a_file(snapshot, resumed, tmp_path / "checkpoint.npz"))
        assert [without_times(epoch) for epoch in resumed.epochs()] == metrics[done:]
        for left, right in zip(tree_leaves(whole.params), tree_leaves(resumed.params), strict=True):
            np.testing.assert_array_equal(left, right, strict=True)
        for name, rows in whole.warm_starts.state().items():
            np.testing.assert_array_equal(np.stack(rows), np.stack(resumed.warm_starts.state()[name]), strict=True)


def test_a_snapshot_keeps_what_was_kept_then() -> None:
    """What later batches find does not change an earlier state."""
    subject, states = warm(trainer(plan=PLAN)), []
    subject.after_batch = lambda: states.append(subject.state())
    list(subject.epochs())
    known = [sum(row is not None for row in state.warm_starts["start"]) for state in states[:7]]
    assert known == [8, 16, 24, 32, 40, 48, 50]


def test_other_warm_starts_are_refused() -> None:
    """A checkpoint of a run that kept nothing, or less, does not fit."""
    cold = trainer(plan=PLAN).state()
    with pytest.raises(ValueError, match="it keeps other warm starts"):
        warm(trainer(plan=PLAN)).restore(cold)


class NoEquilibrium:
    """A model without an equilibrium."""


@pytest.mark.parametrize(
    ("model", "transform", "sentence"),
    [
        (NoEquilibrium(), None, "solves for no equilibrium"),
        (network(sensitivity=JacobianFree()), None, "take --warm-start equilibria, or another adjoint"),
        (network(), lambda x, rng: x, "the inputs are changed at random"),
    ],
)
def test_what_cannot_start_warm_says_so(model: Any, transform: Any, sentence: str) -> None:
    """No equilibrium, an adjoint without a guess and inputs that never come twice are refused."""
    with pytest.raises(UserError, match=sentence):
        WarmStarts(BOTH, TRAIN).check(model, transform)
    WarmStarts("none", TRAIN).check(model, transform)


def test_an_adjoint_without_a_guess_still_has_equilibria() -> None:
    """Any adjoint goes with the equilibria alone, and those that take a guess with both."""
    for sensitivity, kept in (
        (JacobianFree(), EQUILIBRIA),
        (ImplicitAdjoint(Anderson()), BOTH),
        (ImplicitAdjoint(), BOTH),
    ):
        WarmStarts(kept, TRAIN).check(network(sensitivity=sensitivity), None)


def test_the_memory_is_said() -> None:
    """Two float32 arrays of the state for each of the 50 samples."""
    subject = warm(trainer(plan=PLAN))
    (line,) = subject.warm_starts.describe(subject.model, subject.params, subject.data.train_inputs)
    size = 2 * TRAIN * STATE * 4 / 1e6
    assert line.startswith(f"Warm start: equilibria and adjoints of {TRAIN} samples, {size:.1f} MB")
    assert WarmStarts().describe(subject.model, subject.params, subject.data.train_inputs) == []
