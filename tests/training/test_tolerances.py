"""Tolerances that begin loose and end as they were asked for."""

from __future__ import annotations

import numpy as np
import pytest

from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.errors import UserError
from equilib.fixed_points.options import SolveOptions
from equilib.training.plan import Plan
from equilib.training.schedules import Constant
from equilib.training.tolerances import check_loosening, introduce, loosened, looseness
from tests.training.small import network, trainer

PLAN = Plan(pretrain_epochs=0, pretrain_depth=4, epochs=3, batch_size=8)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 9, 30])
def test_looseness_falls_to_one(epochs: int) -> None:
    """It begins at the factor, never rises, and is exactly 1 in the last third, and always in the last epoch."""
    factors = [looseness(100.0, epoch, epochs) for epoch in range(1, epochs + 1)]
    assert epochs == 1 or factors[0] == 100.0
    assert factors == sorted(factors, reverse=True)
    tight = -(-epochs // 3)
    assert factors[epochs - tight :] == [1.0] * tight
    assert all(factor > 1 for factor in factors[: epochs - tight])


def test_the_fall_is_geometric() -> None:
    """In the middle of the falling part the tolerance is the geometric mean of its ends."""
    assert looseness(100.0, 4, 9) == pytest.approx(10.0)
    assert looseness(100.0, 7, 9) == 1.0


def test_tolerances_of_training_only() -> None:
    """The forward solve and the adjoint of the first epoch are loose, those of the last and of tests are not."""
    model = network(options=SolveOptions(rtol=1e-5, on_failure="record"), sensitivity=ImplicitAdjoint())
    loose, strict = (trainer(model, plan=PLAN, schedule=Constant(0.0)) for _ in range(2))
    loose.loosen = 1e3
    ours, theirs = list(loose.epochs()), list(strict.epochs())
    assert ours[0]["residual"] > 10 * theirs[0]["residual"]
    assert ours[0]["adjoint_nfe"] < theirs[0]["adjoint_nfe"]
    assert ours[0]["test"] == theirs[0]["test"]
    assert ours[2]["forward_nfe"] == theirs[2]["forward_nfe"]
    assert ours[2]["residual"] == pytest.approx(theirs[2]["residual"], rel=1e-3)


def test_a_factor_of_one_changes_nothing() -> None:
    """The model is the same object."""
    model = network()
    assert loosened(model, 1.0, 1, 3) is model
    assert introduce(1.0) == []
    np.testing.assert_allclose(loosened(model, 10.0, 1, 3).deq.options.rtol, 10 * model.deq.options.rtol)


def test_a_model_without_tolerances_is_refused() -> None:
    """What solves for no equilibrium has no tolerance to be loosened."""
    with pytest.raises(UserError, match="leave out --loosen"):
        check_loosening(10.0, object())
    check_loosening(1.0, object())
