"""Axes hold their values, and ticks stand where their labels say."""

from __future__ import annotations

import numpy as np
import pytest

from equilib.report.scale import Scale, linear_scale, log_scale, whole_scale


def value_of(label: str) -> float:
    """Read a label."""
    plain = label.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")).replace(",", "")
    factor, _, power = plain.rpartition("·")
    if label[-1] in "⁰¹²³⁴⁵⁶⁷⁸⁹":
        return float(factor or 1) * 10.0 ** int(power.removeprefix("10"))
    return float(plain)


def check(scale: Scale, values: list[float], *, unit: float = 1.0) -> None:
    """Check what holds for every axis."""
    assert scale.low <= min(values) * (1 + 1e-9) + 1e-12
    assert scale.high >= max(values) * (1 - 1e-9) - 1e-12
    assert scale.place(scale.low) == pytest.approx(0)
    assert scale.place(scale.high) == pytest.approx(1)
    places = [scale.place(tick) for tick in scale.ticks]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert len(set(scale.labels)) == len(scale.labels) == len(scale.ticks)
    assert 1 <= len(scale.ticks) <= 12
    for tick, label in zip(scale.ticks, scale.labels, strict=True):
        assert value_of(label) == pytest.approx(unit * tick, rel=5e-3, abs=1e-9)


def test_linear_axes(rng: np.random.Generator) -> None:
    """For values of any size, from zero or not."""
    for _ in range(200):
        values = (10.0 ** rng.uniform(-6, 6) * (rng.standard_normal(4) + rng.uniform(-3, 3))).tolist()
        check(linear_scale(values), values)
        check(linear_scale([abs(value) for value in values], from_zero=True), [0.0, *map(abs, values)])


def test_shares_end_at_one(rng: np.random.Generator) -> None:
    """An axis of shares never reaches beyond 100 %, and labels are per cent."""
    for _ in range(100):
        values = rng.uniform(0, 1, 3).tolist()
        scale = linear_scale(values, percent=True)
        check(scale, values, unit=100)
        assert scale.high <= 1 + 1e-9


@pytest.mark.parametrize("values", [[0.0], [1.0], [0.25, 0.25], [-3.0], [1e-9]])
def test_a_single_value_has_an_axis(values: list[float]) -> None:
    """No axis is empty."""
    for scale in (linear_scale(values), linear_scale(values, from_zero=True), linear_scale(values, percent=True)):
        assert scale.low < scale.high
        assert 0 <= scale.place(values[0]) <= 1


def test_logarithmic_axes(rng: np.random.Generator) -> None:
    """For values that differ little and by many decades."""
    for spread in (0.0, 0.1, 1.0, 3.0, 12.0):
        for _ in range(40):
            values = (10.0 ** (rng.uniform(-12, 4) + spread * rng.random(3))).tolist()
            check(log_scale(values), values)


@pytest.mark.parametrize("last", [1, 2, 3, 9, 10, 30, 57, 300, 12345])
def test_epochs_have_whole_numbers(last: int) -> None:
    """The first epoch is labelled, and all ticks are epochs."""
    scale = whole_scale([1.0, float(last)])
    check(scale, [1.0, float(last)])
    assert scale.ticks[0] == 1
    assert all(tick.is_integer() for tick in scale.ticks)
