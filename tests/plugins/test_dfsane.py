from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import Status, solve
from equilib.options import OptionError
from equilib_dfsane.solver import SUFFICIENT, DFSane
from tests.plugins.solver_laws import SolverLaws, solve_map, trials
from tests.problems import EXPANSIVE, NO_FIXED_POINT, ROTATION, STEEP, TANH, KnownMap


class TestDFSane(SolverLaws):
    """The laws of every solver."""

    solver = DFSane()
    solves_singular = False  # nor where the eigenvalues of I − J lie on both sides of the imaginary axis
    max_steps = 500  # on a rotation, whose spectrum is not real, it is no faster than Picard iteration


def test_the_first_step_is_picard():
    """With σ = 1 the first iterate is f(z₀)."""
    solution = solve_map(TANH, DFSane(), max_steps=1, rtol=0.0)
    np.testing.assert_allclose(solution.state.z, TANH.f(TANH.z0, TANH.bias), rtol=1e-15)


def test_the_step_length_is_the_inverse_rayleigh_quotient():
    """σ = ⟨s, s⟩ / ⟨s, y⟩, which on z − f(z) = c z is 1/c: the second step is exact, for each sample's c."""
    slopes = np.array([[0.9], [-0.5], [0.3]])
    solution = solve(lambda z: slopes * z + 1, DFSane(), np.zeros((3, 3)), rtol=1e-12)
    np.testing.assert_allclose(solution.state.sigma, 1 / (1 - slopes[:, 0]), rtol=1e-12)
    assert set(solution.steps) == {2}
    np.testing.assert_allclose(solution.z, np.broadcast_to(1 / (1 - slopes), (3, 3)), rtol=1e-12)


def test_it_steps_against_the_residual_where_that_descends():
    """On z ↦ 3z the residual points away from the fixed point 0: the first step is tried there, then backwards."""
    assert trials(DFSane(), lambda z: 3 * z, 1.0, max_steps=1) == [1.0, 3.0, -1.0]
    assert solve(lambda z: 3 * z, DFSane(history=1), np.ones((1, 1)), atol=1e-12, rtol=0.0).success


@pytest.mark.parametrize("known", [TANH, STEEP, ROTATION, EXPANSIVE], ids=str)
@pytest.mark.parametrize("history", [1, 10])
def test_merits_stay_below_the_largest_of_the_history(known: KnownMap, history: int):
    """‖F‖² is at most its largest of the last iterates plus ‖F₀‖²/(1 + k)² (La Cruz et al. 2006)."""
    solution = solve_map(known, DFSane(history), max_steps=25, rtol=0.0, atol=0.0, norm="two")
    merits = solution.trace**2
    for k in range(len(merits) - 1):
        ceiling = np.max(merits[max(k + 1 - history, 0) : k + 1], axis=0) + merits[0] / (1 + k) ** 2
        running = solution.steps > k
        assert np.all(merits[k + 1][running] <= ceiling[running] * (1 + 1e-12))


def test_without_a_fixed_point_the_line_search_gives_up():
    """Once the slack is spent no step is acceptable, and the samples stall."""
    solution = solve_map(NO_FIXED_POINT, DFSane(backtracks=0), max_steps=int(2 / SUFFICIENT**0.5))
    assert set(solution.status) == {Status.STALLED}


def test_samples_search_for_themselves():
    """A sample whose step must be shortened does not shorten, or move, the others."""
    slopes = np.array([[0.5], [-30.0]])
    f = lambda z: np.where(slopes < 0, -30 * np.sin(z), 0.5 * z) + 1  # noqa: E731
    together = solve(f, DFSane(), np.ones((2, 1)), rtol=1e-9, max_steps=200, on_failure="record")
    alone = solve(lambda z: 0.5 * z + 1, DFSane(), np.ones((1, 1)), rtol=1e-9)
    assert together.steps[1] > together.steps[0]
    assert together.steps[0] == alone.steps[0]
    np.testing.assert_array_equal(together.z[:1], alone.z)


@pytest.mark.parametrize("options", [{"history": 0}, {"backtracks": -1}])
def test_options_out_of_range_are_refused(options: dict[str, Any]):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        DFSane(**options)
