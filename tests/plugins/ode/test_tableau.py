"""Order conditions from rooted trees, and tableaus that refuse wrong digits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from equilib_ode.bs3 import BS3
from equilib_ode.dopri5 import DOPRI5
from equilib_ode.esdirk import SIGHT
from equilib_ode.kencarp47 import KENCARP47
from equilib_ode.order_conditions import defect, density, rooted_trees, stage_weights
from equilib_ode.tableau import ButcherTableau
from equilib_ode.tsit5 import TSIT5

TABLEAUS = {"bs3": BS3, "dopri5": DOPRI5, "kencarp47": KENCARP47, "tsit5": TSIT5}


def test_the_number_of_rooted_trees() -> None:
    """There are 1, 1, 2, 4, 9, 20 rooted trees with 1 to 6 vertices (Hairer, Nørsett & Wanner I, table II.2.1)."""
    assert [len(rooted_trees(order)) for order in range(1, 7)] == [1, 1, 2, 4, 9, 20]


def test_densities() -> None:
    """The tall tree with n vertices has density n!, the bushy one n (ibid., table II.2.2)."""
    tall = ((((),),),)
    assert density(tall) == 24
    assert density(((), (), ())) == 4


def test_the_classical_method_has_order_four_and_no_more() -> None:
    """Kutta's method meets the conditions of order 4 and misses one of order 5."""
    a = np.array([[0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 1, 0]])
    b = np.array([1, 2, 2, 1]) / 6
    assert defect(a, b, 4) < 1e-15
    assert defect(a, b, 5) > 1e-3


@pytest.mark.parametrize("tableau", TABLEAUS.values(), ids=TABLEAUS)
def test_orders_are_exactly_those_stated(tableau: ButcherTableau) -> None:
    """Method, embedded method and interpolant miss a condition of the next order."""
    dense = np.asarray(tableau.interpolant)
    middle = dense @ 0.5 ** np.arange(1, dense.shape[1] + 1)
    assert defect(tableau.matrix, tableau.b, tableau.order + 1) > 1e-6
    assert defect(tableau.matrix, tableau.b + np.asarray(tableau.error), tableau.embedded_order + 1) > 1e-6
    assert defect(tableau.matrix, middle, tableau.interpolant_order + 1, 0.5) > 1e-6


@pytest.mark.parametrize("tableau", TABLEAUS.values(), ids=TABLEAUS)
def test_the_interpolant_is_continuously_differentiable(tableau: ButcherTableau) -> None:
    """Its derivative is the first stage at θ = 0 and the last at θ = 1, which the next step begins with."""
    dense = np.asarray(tableau.interpolant)
    powers = np.arange(1, dense.shape[1] + 1)
    first, last = np.eye(len(tableau.error))[[0, -1]]
    np.testing.assert_allclose(dense[:, 0], first, atol=1e-15)
    np.testing.assert_allclose(dense @ powers, last, atol=2e-12)


def test_kennedy_and_carpenters_method_is_l_stable() -> None:
    """|R(iy)| ≤ 1 on the imaginary axis, with all poles on the right of it, and R(∞) = 0."""
    a, b = KENCARP47.matrix, KENCARP47.b
    ones = np.ones(len(b))

    def growth(z: complex) -> float:
        return abs(1 + z * b @ np.linalg.solve(np.eye(len(b)) - z * a, ones))

    assert max(growth(1j * y) for y in np.geomspace(1e-3, 1e6, 400)) <= 1 + 1e-9
    assert set(np.diag(a)[1:]) == {0.1235}
    assert abs(np.linalg.solve(a[1:, 1:], a[1:, 0])[-1]) < 1e-14


@pytest.mark.parametrize("name", TABLEAUS)
def test_no_jump_of_f_is_unseen(name: str) -> None:
    """Where f jumps between two nodes of a step the estimate of the error is at least a 200th of it."""
    tableau = TABLEAUS[name]
    error = np.asarray(tableau.error) + (SIGHT * np.asarray(tableau.first_slope) if name == "kencarp47" else 0.0)
    nodes = np.asarray(tableau.c)
    for place in np.linspace(0.005, 0.995, 100):
        behind = nodes > place
        assert abs(tableau.b[behind].sum() - (1 - place)) <= 200 * abs(error[behind].sum()), place


def test_the_first_slope_is_seen_by_an_estimate_of_the_order_of_the_method() -> None:
    """Its weights meet the conditions of order 4 of an error, and no smaller ones with 1 for the first slope do."""
    weights, b = np.asarray(KENCARP47.first_slope), KENCARP47.b
    assert weights[0] == 1
    assert defect(KENCARP47.matrix, b + weights, 4) < 1e-11
    conditions = np.stack([stage_weights(KENCARP47.matrix, tree) for n in range(1, 5) for tree in rooted_trees(n)])
    others = np.linalg.svd(np.vstack((conditions, np.eye(7)[0])))[2][6:]
    np.testing.assert_allclose(others @ weights, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": ((), (0.5,), (0.0, 0.75), (2 / 9, 1 / 3 + 1e-9, 4 / 9))}, "order 3 of b"),
        ({"error": (5 / 72, -1 / 12, -1 / 9, 1 / 8 + 1e-9)}, "order 2 of the embedded"),
        (
            {"interpolant": ((1.0, -4 / 3, 5 / 9), (0.0, 1.0, -2 / 3 + 1e-9), (0.0, 4 / 3, -8 / 9), (0.0, -1.0, 1.0))},
            r"b\(1\) = b",
        ),
        ({"interpolant": ((0.0, 2 / 9), (0.0, 1 / 3), (0.0, 4 / 9), (0.0, 0.0))}, "order 3 of the interpolant"),
        ({"error": (0.0, 0.0)}, "4 stages"),
    ],
)
def test_a_wrong_digit_is_refused(change: dict[str, object], message: str) -> None:
    """A tableau whose ninth digit is wrong cannot be made."""
    with pytest.raises(ValueError, match=message):
        replace(BS3, **change)
