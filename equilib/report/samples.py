"""Test samples and what the model of a run makes of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from equilib.errors import some
from equilib.report import numbers
from equilib.report.charts import DASHED, SOLID, Chart, Series
from equilib.report.findings import Findings, confusion
from equilib.report.run import ReportedRun
from equilib.training.metrics import SCORE

FIRST, WRONG = 20, 30
"""Images shown of all, and of the wrong ones."""


@dataclass(frozen=True, kw_only=True)
class TestImage:
    """A test image as an address that needs no file, its class, and the class that the model took it for."""

    place: int
    uri: str
    true: str
    said: str
    right: bool
    percent: str


def summary(tested: Findings) -> str:
    """Return what the score is of, whether it is as recorded, and how the solves ended."""
    shown, whole = some(tested.samples, f"test {tested.kind}"), tested.samples == tested.available
    row, recorded = SCORE.called(tested.score_name), tested.recorded
    text = f"{row.short} on " + (f"all {shown}" if whole else f"the first {shown} of {tested.available:,}")
    if tested.is_repetition and recorded is not None:
        text += ", as recorded" if recorded == tested.score else f"; recorded: {numbers.typeset(row.show(recorded))}"
    status = tested.statistics["status"].items()
    return f"{text}. Solves: " + ", ".join(f"{count:,} {ending.replace('_', ' ')}" for ending, count in status) + "."


def matrix(tested: Findings) -> tuple[tuple[str, ...], list[tuple[str, list[int]]]]:
    """Return the columns of the confusion matrix, and for each class its row."""
    classes, counts = tested.classes or (), confusion(tested)
    columns = (*classes, "not finite") if counts[:, -1].any() else classes
    return columns, list(zip(classes, counts[:, : len(columns)].tolist(), strict=True))


def wrong_ones(tested: Findings) -> np.ndarray:
    """Return the places of the samples that were taken for another class, the most confident mistake first."""
    wrong = np.flatnonzero(tested.predicted != tested.targets)
    confidence = np.nan_to_num(tested.probability[wrong], nan=-1.0)
    return wrong[np.argsort(-confidence, kind="stable")]


def galleries(tested: Findings) -> list[tuple[str, list[TestImage]]]:
    """Return the first images and the wrong ones, with a title."""
    wrong = wrong_ones(tested)
    first, count = range(min(FIRST, tested.samples)), f"{len(wrong):,}" if len(wrong) else "none"
    title = f"Wrong: the {WRONG} most confident of {count}" if len(wrong) > WRONG else f"Wrong: {count}"
    return [(f"The first {len(first)}", _samples(tested, first)), (title, _samples(tested, wrong[:WRONG].tolist()))]


def _samples(tested: Findings, places: Iterable[int]) -> list[TestImage]:
    images, classes, predicted, probability = tested.images, tested.classes, tested.predicted, tested.probability
    if images is None or classes is None:
        return []
    return [
        TestImage(
            place=place,
            uri=_uri(images[place]),
            true=classes[tested.targets[place]],
            said=classes[predicted[place]] if predicted[place] >= 0 else "nothing",
            right=predicted[place] == tested.targets[place],
            percent=numbers.MISSING if np.isnan(probability[place]) else f"{100 * probability[place]:.0f} %",
        )
        for place in places
    ]


def _uri(pixels: np.ndarray) -> str:
    content = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def fit_chart(run: ReportedRun, tested: Findings) -> Chart | None:
    """Return prediction and target of a function of one number; None for other data, or a single point."""
    inputs, targets, predictions = tested.inputs, tested.targets, tested.predictions
    if tested.samples < 2 or inputs[0].size != 1 or targets[0].size != 1 or predictions[0].size != 1:
        return None
    lines = []
    for kind, values, style in (("prediction", predictions, SOLID), ("target", targets, DASHED)):
        pairs = zip(inputs.reshape(-1).tolist(), values.reshape(-1).tolist(), strict=True)
        points = sorted((pair for pair in pairs if np.isfinite(pair[1])), key=lambda pair: pair[0])
        if points:
            lines.append(Series(run=run.index, label=run.label, kind=kind, style=style, points=points))
    name = f"fit-{run.index + 1}"
    return Chart(name=name, title="Prediction", x_label="x", y_label="y", series=tuple(lines), from_zero=False)
