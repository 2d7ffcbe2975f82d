"""Learning rates: end points, shape, formula."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from typing import Any

import numpy as np
import pytest

from equilib.training.schedules import Constant, Cosine, OneCycle, WarmUp


def test_constant_is_constant() -> None:
    """Every step has the same rate."""
    assert {Constant(5e-4)(step) for step in (0, 1, 1000)} == {5e-4}


def test_cosine_goes_from_peak_to_final_and_stays() -> None:
    """It starts at the peak, falls strictly, reaches the final rate after its steps and keeps it."""
    schedule = Cosine(0.1, 40, final=0.01)
    rates = [schedule(step) for step in range(41)]
    assert rates[0] == pytest.approx(0.1, rel=1e-15)
    assert rates[40] == pytest.approx(0.01, rel=1e-15)
    assert np.all(np.diff(rates) < 0)
    assert schedule(41) == schedule(1000) == pytest.approx(0.01, rel=1e-15)


@pytest.mark.parametrize("step", [0, 3, 10, 20, 33])
def test_cosine_is_the_published_formula(step: int) -> None:
    """η = η_min + ½ (η_max − η_min)(1 + cos(π T_cur / T)): Loshchilov & Hutter 2017, eq. 5."""
    assert Cosine(0.3, 40, final=0.02)(step) == pytest.approx(0.02 + 0.5 * 0.28 * (1 + cos(pi * step / 40)), rel=1e-14)


def test_one_cycle_reaches_its_three_rates() -> None:
    """It starts at peak/25, the last step of the share `warm` has the peak, the last of all peak/10⁴."""
    schedule = OneCycle(3e-3, 100)
    assert schedule(0) == pytest.approx(3e-3 / 25, rel=1e-14)
    assert OneCycle(3e-3, 100, peak_step=40.0)(40) == pytest.approx(3e-3, rel=1e-14)
    assert schedule(29) == pytest.approx(3e-3, rel=1e-14)
    assert schedule(99) == pytest.approx(3e-3 / 1e4, rel=1e-14)
    assert schedule(1000) == schedule(99)


@pytest.mark.parametrize(
    ("warm", "steps"), [(0.3, 100), (0.5, 64), (0.1, 315), (0.0, 20), (0.3, 3)], ids=lambda value: str(value)
)
def test_one_cycle_rises_then_falls(warm: float, steps: int) -> None:
    """It rises strictly up to the warm share and falls strictly after it, never above the peak."""
    rates = np.array([OneCycle(1.0, steps, warm=warm)(step) for step in range(steps)])
    top = int(np.argmax(rates))
    assert top == pytest.approx(max(warm * steps, 1), abs=1)
    assert np.all(np.diff(rates[: top + 1]) > 0)
    assert np.all(np.diff(rates[top:]) < 0)
    assert rates.max() <= 1.0


@pytest.mark.parametrize("step", [0, 7, 20, 21, 50, 79])
def test_one_cycle_anneals_by_half_a_cosine_both_ways(step: int) -> None:
    """Each way is end + (start − end)(1 + cos(π · share))/2 of its own steps."""
    schedule = OneCycle(1.0, 80, warm=0.25, start_ratio=10.0, end_ratio=100.0)
    if step < 20:
        expected = 1 + (0.1 - 1) * (1 + cos(pi * step / 19)) / 2
    else:
        expected = 0.01 + (1 - 0.01) * (1 + cos(pi * (step - 19) / 60)) / 2
    assert schedule(step) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("schedule", [OneCycle(1.0, 1), OneCycle(1.0, 2), OneCycle(1.0, 0), Cosine(1.0, 0)])
def test_the_shortest_trainings_have_a_rate(schedule: OneCycle | Cosine) -> None:
    """No, one or two steps divide by nothing."""
    assert all(0 <= schedule(step) <= 1 for step in range(3))


def test_a_warm_up_goes_before_a_schedule() -> None:
    """It rises in a line to the schedule's first rate, then the schedule begins."""
    schedule = WarmUp(Cosine(0.2, 10), 4, start=0.5)
    assert [schedule(step) for step in range(4)] == pytest.approx([0.1, 0.125, 0.15, 0.175], rel=1e-14)
    assert [schedule(4 + step) for step in range(11)] == [Cosine(0.2, 10)(step) for step in range(11)]
    assert WarmUp(Constant(0.3), 0)(0) == 0.3


@pytest.mark.parametrize(("steps", "warm"), [(50, 0.3), (37, 0.25), (20, 0.5)])
def test_schedules_are_pytorchs(steps: int, warm: float) -> None:
    """OneCycleLR, CosineAnnealingLR, and LinearLR before it, have the same rate in every step."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    lr = torch.optim.lr_scheduler

    def rates(make: Callable[[Any], Any]) -> list[float]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
        scheduler, found = make(optimizer), []
        for _ in range(steps - 1):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return [*found, optimizer.param_groups[0]["lr"]]

    def warmed(optimizer: Any) -> Any:
        parts = [lr.LinearLR(optimizer, 0.1, total_iters=6), lr.CosineAnnealingLR(optimizer, steps - 6)]
        return lr.SequentialLR(optimizer, parts, [6])

    pairs = [
        (OneCycle(0.2, steps, warm, end_ratio=25e4), lambda o: lr.OneCycleLR(o, 0.2, steps, pct_start=warm)),
        (Cosine(0.2, steps), lambda o: lr.CosineAnnealingLR(o, steps)),
        (WarmUp(Cosine(0.2, steps - 6), 6), warmed),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose([ours(step) for step in range(steps)], rates(theirs), rtol=1e-12, atol=1e-16)


OUTSIDE = {
    "rate of Constant": (Constant, (-1.0, np.nan, np.inf)),
    "peak of Cosine": (lambda each: Cosine(each, 10), (-1.0,)),
    "final of Cosine": (lambda each: Cosine(1.0, 10, each), (-1.0,)),
    "steps of Cosine": (lambda each: Cosine(1.0, each), (-1,)),
    "peak of OneCycle": (lambda each: OneCycle(each, 10), (-1.0,)),
    "steps of OneCycle": (lambda each: OneCycle(1.0, each), (-1,)),
    "warm of OneCycle": (lambda each: OneCycle(1.0, 10, each), (-0.1, 1.1)),
    "start_ratio of OneCycle": (lambda each: OneCycle(1.0, 10, start_ratio=each), (0.0,)),
    "end_ratio of OneCycle": (lambda each: OneCycle(1.0, 10, end_ratio=each), (0.0,)),
    "peak_step of OneCycle": (lambda each: OneCycle(1.0, 10, peak_step=each), (-1.0,)),
    "steps of WarmUp": (lambda each: WarmUp(1.0, each), (-1,)),
    "start of WarmUp": (lambda each: WarmUp(1.0, 10, each), (-1.0,)),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_numbers_that_make_no_schedule_are_refused(name: str):
    """A rate, a share or a number of steps out of range is refused by its name where the schedule is made."""
    make, outside = OUTSIDE[name]
    for each in outside:
        with pytest.raises(ValueError, match=f"{name} must be"):
            make(each)
    with pytest.raises(TypeError, match=f"{name} must be"):
        make("0.1")


def test_what_a_warm_up_leads_to_is_a_schedule():
    """It is refused where the warm-up is made, as a trainer refuses it."""
    with pytest.raises(TypeError, match="schedule must be a rate or a function of the step"):
        WarmUp("cosine", 10)
    with pytest.raises(ValueError, match="schedule must be a rate of 0 or more, got -1"):
        WarmUp(-1, 10)
