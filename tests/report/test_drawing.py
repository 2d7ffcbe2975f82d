"""Charts hold their values, ticks stand where their labels say, and names stay what they are."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from equilib.report.charts import Chart, Series
from equilib.report.drawing import remove_pictures, save_charts, svg
from tests.report.reading import Node, curves, read_text

FRAME = ((58, 544), (30, 246))
"""Where the axes of a chart lie, from left to right and from top to bottom."""


def chart(values: list[float], label: str = "run", **look: Any) -> Chart:
    """Return a chart with a value for each epoch."""
    points = [(float(place), value) for place, value in enumerate(values, start=1)]
    series = (Series(run=0, label=label, kind="test", points=points),)
    given = {"name": "chart", "title": "Chart", "x_label": "epoch", "y_label": "value"} | look
    return Chart(**given, series=series)


def value_of(label: str) -> float:
    """Read a label."""
    plain = label.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-"))
    if label[-1] in "⁰¹²³⁴⁵⁶⁷⁸⁹":
        factor, _, power = plain.rpartition("·")
        return float(factor or 1) * 10.0 ** int(power.removeprefix("10"))
    return float(plain)


def ticks(picture: Node, anchor: str) -> dict[float, float]:
    """Return where the labels of an axis stand, by their values: "middle" for x, "end" for y."""
    place = {"middle": "x", "end": "y"}[anchor]
    texts = [text for text in picture.all("text") if f"text-anchor: {anchor}" in (text.attributes["style"] or "")]
    labels = [text for text in texts if re.search(r"\d", text.text)]
    found = {value_of(text.text): float(text.attributes[place] or "nan") for text in labels}
    assert len(found) == len(labels), "no label stands twice"
    return found


def check(values: list[float], **look: Any) -> dict[float, float]:
    """Check what holds for every chart; return the ticks of y."""
    picture = read_text(svg(chart(values, **look)))
    (line,) = curves(picture)
    assert len(line) == len(values)
    for place, (low, high) in zip(zip(*line, strict=True), FRAME, strict=True):
        assert low - 1e-3 <= min(place)
        assert max(place) <= high + 1e-3
    found = ticks(picture, "end")
    assert 1 <= len(found) <= 12
    scale = np.log if look.get("logarithmic") else np.asarray
    unit = 100 if look.get("percent") else 1
    known = [*zip(found, (y - 4.94 for y in found.values()), strict=True)]  # a label stands below its tick
    known += [(unit * value, y) for value, (_, y) in zip(values, line, strict=True)]
    at, where = np.asarray(known).T
    slope, start = np.polyfit(scale(at), where, 1)
    np.testing.assert_allclose(where, slope * scale(at) + start, atol=0.5)
    return found


def test_linear_axes(rng: np.random.Generator) -> None:
    """Values of any size, from zero or not, lie on the line through the labels."""
    for _ in range(10):
        values = (10.0 ** rng.uniform(-6, 6) * (rng.standard_normal(4) + rng.uniform(-3, 3))).tolist()
        check(values, from_zero=False)
        assert min(check([abs(value) for value in values])) == 0


def test_logarithmic_axes(rng: np.random.Generator) -> None:
    """So do values that differ little and by many decades."""
    for spread in (0.1, 1.0, 3.0, 12.0):
        for _ in range(3):
            check((10.0 ** (rng.uniform(-12, 4) + spread * rng.random(3))).tolist(), logarithmic=True)


def test_shares_end_at_one(rng: np.random.Generator) -> None:
    """An axis of shares never reaches beyond 100 %."""
    for values in ([1.0, 1.0], [0.97, 0.999], *rng.uniform(0, 1, (5, 3)).tolist()):
        assert max(check(values, percent=True, from_zero=False)) <= 100


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-9])
@pytest.mark.parametrize("look", [{}, {"from_zero": False}, {"percent": True}])
def test_a_single_value_has_an_axis(value: float, look: dict[str, Any]) -> None:
    """No axis is empty."""
    picture = read_text(svg(chart([value], **look)))
    assert ticks(picture, "end")
    assert list(ticks(picture, "middle")) == [1]


@pytest.mark.parametrize("last", [2, 3, 9, 10, 30, 57, 300])
def test_epochs_have_whole_numbers(last: int) -> None:
    """The first epoch is labelled, and all ticks are epochs."""
    found = list(ticks(read_text(svg(chart([1.0] * last))), "middle"))
    assert found[0] == 1
    assert all(tick.is_integer() and tick <= last for tick in found)
    assert len(found) <= 12


def test_many_points_have_no_markers() -> None:
    """A line of hundreds of points is a line."""
    assert len(read_text(svg(chart([1.0, 2.0] * 20))).all("title")) == 40
    assert not read_text(svg(chart([1.0, 2.0] * 21))).all("title")


@pytest.mark.parametrize("name", ['a<b>&"c"', "$\\frac{", "_hidden", "山田", "#0072b2"])
def test_a_name_is_text(name: str, tmp_path: Any) -> None:
    """No name is taken for markup, a formula or a colour, or left out, and none warns."""
    named = chart([1.0, 2.0], label=name, title=name, y_label=name)
    picture = read_text(svg(named))
    assert [title.text for title in picture.all("title")] == [f"{name}, test, epoch {x}: {x}" for x in (1, 2)]
    assert name in [text.text for text in picture.all("text")]
    save_charts([named], tmp_path, single=False)
    assert (tmp_path / "chart.png").exists()


def test_settings_of_matplotlib_are_left_alone_and_change_nothing() -> None:
    """A chart is the same to the byte under the user's settings, which it does not touch."""
    plain = svg(chart([1.0, 2.0]))
    with mpl.rc_context({"lines.linewidth": 9, "svg.fonttype": "path", "axes.grid": False, "text.usetex": True}):
        before = dict(mpl.rcParams)
        assert svg(chart([1.0, 2.0])) == plain
        assert dict(mpl.rcParams) == before


def test_colours_are_those_of_the_page() -> None:
    """Every colour is a variable of the style sheet, so that a chart follows the reader's setting."""
    styles = [node.attributes.get("style") or "" for node in read_text(svg(chart([1.0, 2.0]))).walk()]
    assert "#" not in "".join(styles)
    assert "var(--run-0)" in "".join(styles)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are no files there")
def test_what_is_no_picture_stays_and_is_not_waited_for(tmp_path: Path) -> None:
    """A folder and a pipe that are called like pictures are nobody's earlier report."""
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    remove_pictures(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"folder.png", "pipe.png"}
