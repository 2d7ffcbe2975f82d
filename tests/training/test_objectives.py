"""What training minimizes, and how it is scored."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from equilib.adjoints.equilibrium import Equilibrium
from equilib.fixed_points.solution import Status
from equilib.models.regularizers import Regularization
from equilib.training.objectives import Classification, GuessPull, Regression
from tests.arrays_under_test import lift, lower


def equilibrium(xp: ModuleType, z_star: np.ndarray, z0: np.ndarray) -> Equilibrium:
    """Return a record that holds a fixed point and an initial guess."""
    batch = z_star.shape[0]
    z, u = lift(xp, (z_star, z0))
    return Equilibrium(z=z, z0=u, residual=z, residual_norm=np.zeros(batch), status=(Status.CONVERGED,) * batch, nfe=1)


@pytest.mark.parametrize("weight", [0.01, 0.0, 2.0])
def test_the_loss_is_cross_entropy_and_the_pull_of_the_guess(
    xp: ModuleType, rng: np.random.Generator, weight: float
) -> None:
    """Loss = −mean log softmax(logits)[class] + weight · mean (z* − z0)²."""
    logits, classes = rng.standard_normal((5, 4)), np.array([0, 3, 1, 1, 2])
    z_star, z0 = rng.standard_normal((2, 5, 3, 2))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(probability[np.arange(5), classes]).mean() + weight * ((z_star - z0) ** 2).mean()
    objective = Classification(GuessPull(weight))
    loss = objective.loss(lift(xp, logits), equilibrium(xp, z_star, z0), lift(xp, classes))
    assert loss.shape == ()
    assert float(loss) == pytest.approx(expected, rel=1e-13)


def test_the_default_weight_is_the_tutorials() -> None:
    """The pull counts one hundredth."""
    assert Classification().regularize == GuessPull(0.01)
    assert Classification().score_name == "accuracy"


def test_the_score_says_which_samples_are_right(xp: ModuleType) -> None:
    """A sample is right where its largest logit is that of its class; nan and inf are never right."""
    logits = np.array([[0.1, 0.9], [0.9, 0.1], [np.nan, 0.0], [np.inf, 0.0], [0.2, 0.1]])
    score = Classification().score(lift(xp, logits), lift(xp, np.array([1, 1, 0, 0, 0])))
    assert lower(score).tolist() == [True, False, False, False, True]


def test_an_objective_without_regularization_looks_at_no_record(xp: ModuleType) -> None:
    """The record of an integration, which has no fixed point, serves where nothing is asked of it."""
    logits, classes = lift(xp, np.zeros((3, 4))), lift(xp, np.array([0, 1, 2]))
    assert float(Classification(Regularization()).loss(logits, None, classes)) == pytest.approx(np.log(4))
    assert float(Regression().loss(logits, None, lift(xp, np.full((3, 4), 2.0)))) == pytest.approx(4.0)


def test_a_regression_scores_each_sample_by_its_squared_error(xp: ModuleType) -> None:
    """The mean over outputs, one number per sample, of which less is better; percentages are for accuracies."""
    prediction, target = np.array([[1.0, 2.0], [0.0, 0.5]]), np.array([[1.0, 4.0], [0.0, 0.5]])
    objective = Regression()
    assert lower(objective.score(lift(xp, prediction), lift(xp, target))).tolist() == [2.0, 0.0]
    assert (objective.higher_is_better, Classification().higher_is_better) == (False, True)
    assert (objective.show(0.00123), Classification().show(0.976)) == ("1.230e-03", "97.600%")
