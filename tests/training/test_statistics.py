"""The statistics of a pass: means over samples and batches, and a status for every sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.adjoints.equilibrium import Equilibrium
from equilib.autodiff import value_and_grad
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.solution import Solution, Status
from equilib.ode.evolution import evolve
from equilib.training.metric import Batch
from equilib.training.reductions import describe_statuses
from equilib.training.statistics import Measured, PassStatistics
from equilib_ode.tsit5 import Tsit5

C, M, N = Status.CONVERGED, Status.MAX_STEPS, Status.NONFINITE


def measured(**known: Any) -> Measured:
    """Return what is measured of a batch of which that is known."""
    return Measured.of(Batch(**known))


def solution(statuses: tuple[Status, ...], residual: list[float], *, nfe: int = 0, njvp: int = 0) -> Solution:
    """Return what a solve would, with these counts."""
    nothing = np.zeros((len(statuses), 1))
    return Solution(
        z0=nothing,
        z=nothing,
        residual=nothing,
        status=statuses,
        residual_norm=np.asarray(residual),
        steps=np.ones(len(statuses), int),
        nfe=nfe,
        njvp=njvp,
        nvjp=0,
        sample_nfe=nfe * len(statuses),
        trace=np.zeros((1, len(statuses))),
        solver="",
        options=SolveOptions(),
        attempt=np.zeros(len(statuses), int),
    )


def equilibrium(forward: Solution, *adjoints: Solution, guess: int = 0) -> Equilibrium:
    """Return the record of a batch."""
    return Equilibrium(
        z=forward.z,
        z0=forward.z0,
        residual=forward.residual,
        residual_norm=forward.residual_norm,
        status=forward.status,
        nfe=guess + forward.nfe,
        njvp=forward.njvp,
        solution=forward,
        adjoints=list(adjoints),
    )


def test_means_weigh_samples_and_batches_as_documented() -> None:
    """Loss, score and residual are means over samples of unequal batches; evaluations over batches."""
    statistics = PassStatistics()
    first = solution((C, C, C), [0.1, 0.2, 0.3], nfe=4, njvp=6)
    second = solution((M,), [1.0], nfe=8, njvp=2)
    statistics.add(measured(record=equilibrium(first, guess=1), scores=np.array([True, True, False]), loss=2.0))
    statistics.add(measured(record=equilibrium(second, guess=1), scores=np.array([True]), loss=6.0))
    assert statistics["loss"] == pytest.approx((3 * 2.0 + 6.0) / 4)
    assert statistics.score == pytest.approx(3 / 4)
    described = statistics.describe()
    assert described["residual"] == pytest.approx(1.6 / 4)
    assert described["forward_nfe"] == pytest.approx((5 + 9) / 2)
    assert described["forward_njvp"] == pytest.approx((6 + 2) / 2)


def test_every_sample_is_in_one_status() -> None:
    """The counts of forward and adjoint statuses add up to the samples, and the shares are theirs."""
    statistics = PassStatistics()
    statistics.add(
        measured(record=equilibrium(solution((C, M, N), [0, 1, 1]), solution((C, C, N), [0, 0, 1])), scores=np.ones(3))
    )
    statistics.add(measured(record=equilibrium(solution((C,), [0]), solution((C,), [0])), scores=np.ones(1)))
    described = statistics.describe()
    assert described["status"] == {"converged": 2, "max_steps": 1, "nonfinite": 1}
    assert described["unconverged"] == 0.5
    assert described["adjoint_status"] == {"converged": 3, "nonfinite": 1}
    assert described["adjoint_unconverged"] == 0.25


def test_products_of_the_adjoint_are_counted() -> None:
    """The adjoint's cost is its evaluations and its products together, per batch; its residual is the worst."""
    statistics = PassStatistics()
    statistics.add(
        measured(record=equilibrium(solution((C,), [0]), solution((C,), [3e-3], nfe=2, njvp=5)), scores=np.ones(1))
    )
    statistics.add(
        measured(record=equilibrium(solution((C,), [0]), solution((C,), [1e-3], nfe=1, njvp=2)), scores=np.ones(1))
    )
    described = statistics.describe()
    assert described["adjoint_nfe"] == 5
    assert described["adjoint_residual_max"] == 3e-3


@pytest.mark.parametrize("residuals", [(np.nan, 1e-3), (1e-3, np.nan)], ids=["first", "last"])
def test_an_adjoint_residual_that_is_nan_is_not_hidden(residuals: tuple[float, float]) -> None:
    """The worst residual is nan wherever one is, in the first batch as in the last."""
    statistics = PassStatistics()
    for residual in residuals:
        statistics.add(measured(record=equilibrium(solution((C,), [0]), solution((N,), [residual])), scores=np.ones(1)))
    assert np.isnan(statistics.describe()["adjoint_residual_max"])


def test_a_pass_over_nothing_is_described() -> None:
    """No batch gives zeros and no status, not a division by zero."""
    described = PassStatistics().describe()
    assert described["unconverged"] == described["forward_nfe"] == 0
    assert described["status"] == described["adjoint_status"] == {}


def test_statuses_are_told_in_words() -> None:
    """Each status that occurs is named with its number."""
    assert describe_statuses([C, N, C, C]) == "3 converged, 1 nonfinite"
    assert describe_statuses([]) == ""


def test_an_integration_is_described_like_a_solve_without_a_residual() -> None:
    """Statuses, evaluations and the products of the backward integration are counted; there is no residual."""
    y = np.ones((3, 2))
    field = {"W": np.asarray([[-1.0, 0.2], [0.0, -0.5]])}
    pulled = value_and_grad(lambda w: _energy(w, y), has_aux=True)
    (_, evolution), _ = pulled(field)
    statistics = PassStatistics()
    statistics.add(measured(record=evolution, scores=np.ones(3), loss=2.0))
    described = statistics.describe()
    assert described["status"] == {"finished": 3}
    assert (described["residual"], described["unconverged"]) == (None, 0.0)
    assert described["forward_nfe"] == evolution.solution.nfe > 5
    assert described["adjoint_nfe"] == evolution.adjoint_nvjp > 5
    assert described["adjoint_status"] == {"finished": 1}


def _energy(field: dict[str, Any], y0: np.ndarray) -> tuple[Any, Any]:
    found = evolve(lambda t, y, w: ops.dense(y, w["W"]), y0, (0.0, 1.0), field, integrator=Tsit5())
    return ops.mean(ops.multiply(found.y, found.y)), found
