"""The reversible relaxation: its steps, what they cost, and that they can be taken back."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from equilib import solve
from equilib.options import OptionError
from equilib_revdeq.solver import RevDEQ
from equilib_revdeq.words import relaxed
from tests.arrays_under_test import lift, lower
from tests.plugins.solver_laws import SolverLaws, solve_map
from tests.problems import TANH

BETAS = (0.5, 0.75, 0.875)


class TestRevDEQ(SolverLaws):
    """The laws of every solver."""

    solver = RevDEQ()
    solves_expansive = False
    exact = False  # it differentiates the steps


@pytest.mark.parametrize("beta", BETAS)
def test_a_step_is_that_of_the_paper(beta: float):
    """It is y ← (1 − β) y + β f(z), z ← (1 − β) z + β f(y), from y = z = z0, and z is the iterate."""
    y = z = TANH.z0
    for steps in range(1, 6):
        y = (1 - beta) * y + beta * TANH.f(z, TANH.bias)
        z = (1 - beta) * z + beta * TANH.f(y, TANH.bias)
        solution = solve_map(TANH, RevDEQ(beta), max_steps=steps, rtol=0.0, atol=0.0)
        np.testing.assert_allclose(solution.state.first[0], y, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(solution.state.z, z, rtol=1e-14, atol=1e-15)
        np.testing.assert_array_equal(solution.state.residual, TANH.f(solution.state.z, TANH.bias) - solution.state.z)
        assert solution.nfe == 1 + 2 * steps


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("words", [1, 2])
def test_a_step_is_taken_back_to_the_rounding_of_the_last_word(beta: float, words: int, xp: ModuleType):
    """Taken back, a state differs by a few eps of float64 if it is one array, by a few eps² if it is two."""
    rng = np.random.default_rng(0)
    eps = float(np.finfo(np.float64).eps)
    high, value = (10.0 ** rng.uniform(-3, 3, 500) * rng.choice([-1, 1], 500) for _ in range(2))
    low = 0.5 * eps * np.abs(high) * rng.uniform(-0.9, 0.9, 500)
    state, f = lift(xp, (high, low)[:words]), lift(xp, value if words == 2 else value.astype(np.float32))
    back = relaxed(relaxed(state, f, 1 - beta), f, 1 / (1 - beta))
    missed = sum(lower(one) - lower(other) for one, other in zip(back, state, strict=True))
    assert np.max(np.abs(missed) / (np.abs(high) + np.abs(value))) < 8 / (1 - beta) * eps**words


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("share", [0.99, 1.01])
def test_where_it_converges(beta: float, share: float):
    """Real eigenvalues of J must be below 1 in size, imaginary ones below (2 − β)/β."""
    turn = (2 - beta) / beta * np.array([[0.0, 1.0], [-1.0, 0.0]])
    for J in (np.eye(2), -np.eye(2), turn):
        solution = solve(
            lambda z, J=J: share * z @ J.T + 1.0, RevDEQ(beta), np.zeros((1, 2)), max_steps=3000, on_failure="record"
        )
        assert solution.success == (share < 1), J


def test_a_finished_sample_keeps_its_states():
    """The last state of a sample is the one at which it converged, whoever goes on beside it."""
    spread = replace(TANH, z0=TANH.solution + 10.0 ** -np.arange(0.0, 10.0, 2.0)[:, None])
    together = solve_map(spread, RevDEQ(), rtol=1e-4)
    assert len(set(together.steps)) > 2
    np.testing.assert_array_equal(together.state.z, together.z)
    for i in range(5):
        alone = solve_map(spread.rows([i]), RevDEQ(), rtol=1e-4)
        np.testing.assert_allclose(together.state.first[0][i], alone.state.first[0][0], rtol=1e-13)


@pytest.mark.parametrize("beta", [0.8, 0.0, 1.0])
def test_another_beta_is_refused(beta: float):
    """With 1 − β no power of two a step would round more than it can take back."""
    with pytest.raises(OptionError, match="beta"):
        RevDEQ(beta)
