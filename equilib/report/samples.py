"""What the model of one run does on test samples, as a section of the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from equilib.report import numbers
from equilib.report.bitmap import data_uri
from equilib.report.charts import DASHED, SOLID, Chart, Series
from equilib.report.findings import Findings
from equilib.report.html import Html, element, joined
from equilib.report.run import ReportedRun
from equilib.report.svg import figure
from equilib.report.tables import confusion_table

FIRST, WRONG = 20, 30
"""Images shown of all, and of the wrong ones."""


def section(run: ReportedRun, tested: Findings) -> Html:
    """Return what there is to see: the score, a confusion matrix, images; for a curve, its fit."""
    parts: list[Html] = [element("p", *_summary(run, tested))]
    if not tested.same_data:
        parts.append(element("p", *_other_data(run, tested), class_="notice"))
    classes = tested.classes
    if classes is None:
        fit = fit_chart(run, tested)
        parts.append(figure(fit, single=True) if fit else element("p", "No confusion matrix: nothing is classified."))
        return joined(parts)
    images = tested.images
    if images is None:
        pictures = [element("p", f"No pictures: the {tested.kind} are not images in [0, 1].", class_="note")]
    else:
        pictures = _galleries(tested, images, classes)
    matrix = (
        element("h3", "Confusion matrix"),
        confusion_table(tested, classes),
        element("p", "Shaded by the share of the row, that is of the samples of a class.", class_="note"),
    )
    parts.append(element("div", element("div", *matrix), element("div", *pictures), class_="looks"))
    return joined(parts)


def _summary(run: ReportedRun, tested: Findings) -> Iterator[object]:
    whole = tested.samples == tested.available
    name, score = tested.score_name, tested.statistics.score
    test_samples = numbers.some(tested.samples, f"test {tested.kind}")
    yield element("strong", numbers.number(score, lambda value: numbers.score(name, value)))
    yield f" {name.replace('_', ' ')} on "
    yield f"all {test_samples}" if whole else f"the first {test_samples} of {tested.available:,}"
    recorded = run.results.get(f"test_{name}")
    if whole and tested.same_data and isinstance(recorded, int | float):
        yield ", as recorded" if recorded == score else f"; recorded: {numbers.score(name, recorded)}"
    status = tested.statistics.describe()["status"]
    yield ". Solves: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in status.items()) + "."


def _other_data(run: ReportedRun, tested: Findings) -> Iterator[str]:
    yield "This is not the data of the run"
    if tested.data:
        yield f": here it is {tested.data}, there {run.facts.get('data') or 'it is not recorded'}"
    yield "; give the folder with its data as --data-dir."


def wrong_ones(tested: Findings) -> np.ndarray:
    """Return the places of the samples that were taken for another class, the most confident mistake first."""
    wrong = np.flatnonzero(tested.predicted != tested.targets)
    confidence = np.nan_to_num(tested.probability[wrong], nan=-1.0)
    return wrong[np.argsort(-confidence, kind="stable")]


def _galleries(tested: Findings, images: np.ndarray, classes: tuple[str, ...]) -> list[Html]:
    wrong = wrong_ones(tested)
    first = range(min(FIRST, tested.samples))
    shown = f"the {WRONG} most confident of {len(wrong):,}" if len(wrong) > WRONG else f"{len(wrong):,}"
    return [
        element("h3", f"The first {len(first)}"),
        _gallery(tested, images, classes, first),
        element("h3", f"Wrong: {shown}" if len(wrong) else "Wrong: none"),
        _gallery(tested, images, classes, wrong[:WRONG].tolist()) if len(wrong) else Html(""),
    ]


def _gallery(tested: Findings, images: np.ndarray, classes: tuple[str, ...], places: Iterable[int]) -> Html:
    predicted, probability = tested.predicted, tested.probability
    items = []
    for place in places:
        true, sure = classes[tested.targets[place]], probability[place]
        said = classes[predicted[place]] if predicted[place] >= 0 else "nothing"
        right = predicted[place] == tested.targets[place]
        percent = numbers.MISSING if np.isnan(sure) else f"{100 * sure:.0f} %"
        caption = (
            (element("b", said),) if right else (element("span", true), " → ", element("b", said, class_="mistake"))
        )
        items.append(
            element(
                "li",
                element(
                    "img",
                    src=data_uri(images[place]),
                    width=56,
                    height=56,
                    alt=f"test image {place}: {true}, predicted {said} with {percent}",
                ),
                element("span", *caption, class_="said"),
                element("span", percent, class_="muted"),
            )
        )
    return element("ul", *items, class_="gallery")


def fit_chart(run: ReportedRun, tested: Findings) -> Chart | None:
    """Return prediction and target of a function of one number; None for other data, or a single point."""
    inputs, targets, predictions = tested.inputs, tested.targets, tested.predictions
    if tested.samples < 2 or inputs[0].size != 1 or targets[0].size != 1 or predictions[0].size != 1:
        return None
    x = inputs.reshape(-1)
    order = np.argsort(x, kind="stable")
    lines = [
        Series(
            run=run.index,
            label=run.label,
            kind=kind,
            style=style,
            points=[(float(x[i]), float(y.reshape(-1)[i])) for i in order if np.isfinite(y.reshape(-1)[i])],
        )
        for kind, y, style in (("prediction", predictions, SOLID), ("target", targets, DASHED))
    ]
    drawn = tuple(line for line in lines if line.points)
    return Chart(name="fit", title="Prediction", x_label="x", y_label="y", series=drawn, from_zero=False)
