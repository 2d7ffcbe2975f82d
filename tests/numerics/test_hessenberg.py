from __future__ import annotations

import numpy as np
import pytest

from equilib.numerics.hessenberg import HessenbergLeastSquares

BATCH, CAPACITY, PRECISION = 4, 7, 1e-15


def hessenberg(rng: np.random.Generator) -> np.ndarray:
    """Draw one Hessenberg matrix for each sample, with positive subdiagonals, shape (batch, capacity + 1, capacity)."""
    H = np.triu(rng.standard_normal((BATCH, CAPACITY + 1, CAPACITY)), -1)
    for j in range(CAPACITY):
        H[:, j + 1, j] = np.abs(H[:, j + 1, j]) + 0.1
    return H


def right_hand_side(beta: float, size: int) -> np.ndarray:
    """Return β e₁."""
    return beta * np.eye(size + 1)[0]


def append(small: HessenbergLeastSquares, column: np.ndarray, running: np.ndarray) -> np.ndarray:
    """Add a column with its norm."""
    return small.append(column, np.linalg.norm(column, axis=1), running)


def test_every_size_is_solved_like_numpy_does(rng: np.random.Generator):
    """After each column, y and the residual norms are those of numpy.linalg.lstsq, for each sample."""
    H, beta = hessenberg(rng), rng.uniform(0.5, 2, BATCH)
    small = HessenbergLeastSquares(beta, CAPACITY, PRECISION)
    for size in range(1, CAPACITY + 1):
        residual = append(small, H[:, : size + 1, size - 1], np.ones(BATCH, bool))
        y = small.solve()
        assert small.size == size
        for i in range(BATCH):
            rhs = right_hand_side(beta[i], size)
            expected = np.linalg.lstsq(H[i, : size + 1, :size], rhs)[0]
            np.testing.assert_allclose(y[i], expected, rtol=1e-10)
            np.testing.assert_allclose(
                residual[i], np.linalg.norm(rhs - H[i, : size + 1, :size] @ expected), atol=1e-13
            )


@pytest.mark.parametrize("filler", [5.0, np.nan])
def test_samples_that_stopped_keep_their_solution(filler: float, rng: np.random.Generator):
    """A sample that is not running keeps its y, with zeros for the columns of the others, whatever is in its column."""
    H, beta = hessenberg(rng), np.ones(BATCH)
    small = HessenbergLeastSquares(beta, CAPACITY, PRECISION)
    ends = np.array([1, 3, CAPACITY, 5])
    for size in range(1, CAPACITY + 1):
        running = size <= ends
        column = np.where(running[:, None], H[:, : size + 1, size - 1], filler)
        append(small, column, running)
    y = small.solve()
    for i, end in enumerate(ends):
        expected = np.linalg.lstsq(H[i, : end + 1, :end], right_hand_side(1.0, end))[0]
        np.testing.assert_allclose(y[i, :end], expected, rtol=1e-10)
        assert not y[i, end:].any()


def test_the_caller_keeps_its_column(rng: np.random.Generator):
    """A column is not changed in place."""
    column = rng.standard_normal((BATCH, 2))
    kept = column.copy()
    append(HessenbergLeastSquares(np.ones(BATCH), 2, PRECISION), column, np.ones(BATCH, bool))
    np.testing.assert_array_equal(column, kept)


def test_a_column_of_rounding_adds_nothing():
    """Where a column is dependent on those before, its y is zero, and the residual is neither lost nor lowered."""
    exact = [np.array([[2.0, 1.0]]), np.array([[4.0, 2.0, 0.0]])]
    rounded = [exact[0], exact[1] + np.array([[0.0, 1e-16, 1e-17]])]
    for columns in (exact, rounded):
        small = HessenbergLeastSquares(np.ones(1), 2, PRECISION)
        residuals = [append(small, column, np.ones(1, bool))[0] for column in columns]
        expected = np.linalg.lstsq(np.array([[2.0], [1.0]]), np.array([1.0, 0.0]))[0]
        np.testing.assert_allclose(small.solve(), [[*expected, 0.0]])
        np.testing.assert_allclose(residuals, 1 / np.sqrt(5))


def test_a_zero_matrix_reduces_nothing():
    """H = 0 leaves y = 0 and the residual β."""
    small = HessenbergLeastSquares(np.array([3.0]), 1, PRECISION)
    assert append(small, np.zeros((1, 2)), np.ones(1, bool)) == 3.0
    assert not small.solve().any()
