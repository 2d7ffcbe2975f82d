"""The parts of a trainer are given by names, as objects, or as numbers; what else is given is refused in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib.arrays import tree_leaves
from equilib.errors import UserError
from equilib.models import DeepEquilibrium, SkipDEQ
from equilib.testing.kit import linear_solver_checks, optimizer_checks, solver_checks
from equilib.training.objectives import Classification, Regression
from equilib.training.optimizers import Adam, optimizer
from equilib.training.plan import Plan
from equilib.training.schedules import Constant, Cosine, WarmUp
from equilib.training.trainer import Trainer
from tests.names import named
from tests.training.small import clusters, network

PLAN = Plan(epochs=1, batch_size=25)


def given(**parts: Any) -> Trainer:
    """Return a trainer with its own defaults but for these parts."""
    model = network()
    base = {"params": model.init(np.random.default_rng(0)), "objective": Classification(), "plan": PLAN}
    return Trainer(**{"model": model, "data": clusters(), **base, **parts})


def trained(**parts: Any) -> list[np.ndarray]:
    """Return the parameters after an epoch."""
    subject = given(**parts)
    list(subject.epochs())
    return tree_leaves(subject.params)


@pytest.mark.parametrize(
    ("part", "short", "long"),
    [
        ("optimizer", "adam", Adam()),
        ("optimizer", "adamw:weight_decay=0.5", optimizer("adamw", weight_decay=0.5)),
        ("optimizer", "sgd", optimizer("sgd")),
        ("schedule", 0.01, Constant(0.01)),
        ("schedule", 1, Constant(1.0)),
        ("schedule", np.float32(0.25), Constant(0.25)),
        ("schedule", WarmUp(0.01, 2), WarmUp(Constant(0.01), 2)),
        ("schedule", lambda step: 0.5 / (step + 1), lambda step: 0.5 / (step + 1)),
    ],
    ids=named,
)
def test_a_name_and_a_number_stand_for_their_objects(part: str, short: Any, long: Any):
    """What trains by a name or a number trains as by the object, bit for bit."""
    for one, other in zip(trained(**{part: short}), trained(**{part: long}), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("part", "value", "sentence"),
    [
        ("optimizer", "adamm", "no optimizer 'adamm'. Did you mean 'adam'"),
        ("optimizer", "adam:beta=1", "beta"),
        ("optimizer", 3, 'optimizer must be an optimizer, got an int; give its name, as in "adamw'),
        ("optimizer", Adam, "not a class; write Adam"),
        ("schedule", "cosine", r"schedule must be a rate or a function of the step, such as 1e-3 or .*, got 'cosine'"),
        ("schedule", None, "got None"),
        ("schedule", True, "got a bool"),
        ("schedule", Cosine, r"not a class; write Cosine\(...\)"),
        ("schedule", -1.0, "schedule must be a rate of 0 or more, got -1.0"),
        ("schedule", float("nan"), "got nan"),
        ("objective", "regression", "objective must be an objective, got 'regression'; make one"),
        ("objective", Regression, r"write Regression\(...\)"),
        ("model", "deq", "model must be a model, got 'deq'"),
        ("data", (1, 2), "data must be a Dataset, got a tuple; make one"),
        ("plan", 3, r"plan must be a Plan, got an int; make one, as Plan\(epochs=10\)"),
        ("rng", 0, r"got an int; make one, as np.random.default_rng\(0\)"),
        ("reporter", None, "reporter must be a reporter, got None"),
        ("device", "torch", "device must be a Device, got 'torch'; make one"),
        ("transform", "flip", "transform must be a function, got 'flip'"),
        ("ranks", 2, "ranks must be a Ranks, got an int"),
        ("shares", -1, "shares must be a whole number, 0 or more, got -1"),
    ],
)
def test_another_part_is_refused_where_it_is_given(part: str, value: Any, sentence: str):
    """In a sentence that says what it must be, before anything is trained."""
    with pytest.raises((TypeError, ValueError, UserError), match=sentence):
        given(**{part: value})


def test_a_recipe_takes_a_rate_in_place_of_what_makes_a_schedule():
    """A number is its schedule; a schedule itself, which takes steps, is refused, as it would be a rate of its end."""
    plan = Plan(epochs=2, batch_size=10, warm_up=3)
    assert plan.rates(0.5, 20)(7) == 0.5
    assert plan.rates(0.5, 20)(0) == 0.05
    for wrong in (Cosine(0.1, 100), "cosine", None):
        with pytest.raises(TypeError, match="rate"):
            plan.rates(wrong, 20)  # type: ignore[arg-type]


def test_the_models_of_the_literature_and_the_kit_take_names():
    """As `DeepEquilibrium` does; a layer that is given in place of an initial guess is told how it becomes one."""
    deq = network().deq
    assert SkipDEQ(deq.cell, deq.cell.recur, "anderson:memory=3").solver.memory == 3
    with pytest.raises(TypeError, match=r"of a layer make LayerGuess\(layer\)"):
        DeepEquilibrium(deq.cell, "anderson", deq.cell.recur)
    for checks in (solver_checks("picard"), linear_solver_checks("gmres"), optimizer_checks("sgd:momentum=0.5")):
        assert checks
