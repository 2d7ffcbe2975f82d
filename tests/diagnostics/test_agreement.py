"""Comparing gradients: the numbers that the verdicts rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib.diagnostics.agreement import agreement, difference, random_direction

TREE = {"a": np.array([3.0, 4.0]), "b": [np.zeros(2)]}


def scaled(factor: float, b: float = 0.0) -> Any:
    """Return factor·TREE with another value of b."""
    return {"a": factor * TREE["a"], "b": [np.array([b, 0.0])]}


@pytest.mark.parametrize(
    ("gradient", "cosine", "relative_error"),
    [
        (scaled(1), 1, 0),
        (scaled(2), 1, 1),
        (scaled(-1), -1, 2),
        (scaled(1, b=5), 0.5**0.5, 1),
        (scaled(0, b=5), 0, 2**0.5),
    ],
)
def test_agreement_is_by_angle_and_by_distance(gradient: Any, cosine: float, relative_error: float) -> None:
    """The cosine forgets lengths, the relative error does not; both see all leaves as one vector."""
    found = agreement(gradient, TREE)
    assert (found.cosine, found.relative_error) == pytest.approx((cosine, relative_error))


def test_nothing_agrees_with_a_gradient_of_zero() -> None:
    """Beside a zero gradient there is no angle, and the error is the gradient's own length."""
    found = agreement(TREE, scaled(0))
    assert np.isnan(found.cosine)
    assert found.relative_error == pytest.approx(5)


def test_differences_of_a_quartic_are_exact_and_admit_what_was_extrapolated() -> None:
    """Extrapolated central differences are exact up to degree 4; the estimate is the cubic term at half the change."""
    slope, error = difference(lambda x: float(x[0] ** 4), [np.array(2.0)], [np.array(1.0)], 0.5)
    assert slope == pytest.approx(32)
    assert error == pytest.approx(4 * 2 * 0.25**2)


def test_a_direction_fits_each_leaf(rng: np.random.Generator) -> None:
    """A random direction is of the size of each leaf, and of 1 where a leaf is zero."""
    tree = {"small": 1e-6 * np.ones(1000), "zero": np.zeros(1000), "large": np.full(1000, 1e6, dtype="float32")}
    found = random_direction(tree, rng)
    sizes = {name: float(np.sqrt(np.mean(np.square(leaf, dtype=float)))) for name, leaf in found.items()}
    assert sizes == pytest.approx({"small": 1e-6, "zero": 1.0, "large": 1e6}, rel=0.1)
    assert found["large"].dtype == np.float32
