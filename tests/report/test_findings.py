"""What is said of predictions."""

from __future__ import annotations

import base64
import gzip
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from equilib.report.findings import Findings, confusion
from equilib.report.samples import galleries, wrong_ones
from equilib.training.statistics import PassStatistics
from tests.report.reading import report


def decode(uri: str) -> np.ndarray:
    """Return the pixels of an image in a page."""
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))) as image:
        return np.asarray(image)


def findings(logits: list[list[float]], targets: list[int]) -> Findings:
    """Return predictions of made-up samples."""
    return Findings(
        samples=len(targets),
        available=len(targets),
        kind="points",
        same_data=True,
        data=None,
        run="run",
        score_name="accuracy",
        score=0.0,
        shown="0%",
        statistics=PassStatistics(),
        inputs=np.zeros((len(targets), 2), np.float32),
        targets=np.asarray(targets),
        predictions=np.asarray(logits, np.float32),
        classes=("a", "b"),
        first_solve=None,
    )


def test_rows_are_true_and_columns_predicted() -> None:
    """Two samples of class 0 of which one is taken for 1, and one without a prediction, are where they belong."""
    found = findings([[2, 1], [1, 2], [1, 3], [np.nan, 9]], [0, 0, 1, 1])
    assert confusion(found).tolist() == [[1, 1, 0], [0, 1, 1]]
    assert found.predicted.tolist() == [0, 1, 1, -1]


def test_probabilities_are_those_of_the_softmax() -> None:
    """They do not overflow, and there is none where a logit is not finite."""
    found = findings([[0, np.log(3)], [1e4, 0], [np.inf, 0]], [1, 0, 0])
    np.testing.assert_allclose(found.probability, [0.75, 1.0, np.nan], rtol=1e-6)


def test_the_most_confident_mistake_is_first() -> None:
    """Mistakes are in the order of their probability; those without one are last, what is right is left out."""
    found = findings([[1, 0], [np.nan, 0], [4, 0], [9, 0]], [1, 1, 1, 0])
    assert wrong_ones(found).tolist() == [2, 0, 1]


def test_the_pictures_are_the_test_images(runs: Any, tmp_path: Path) -> None:
    """The first gallery shows the images that follow those of training, in their order, to the byte."""
    page = report(tmp_path, runs.newton)
    stored = gzip.decompress((runs.digits / "train-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(stored, np.uint8, offset=16).reshape(-1, 28, 28, 1)[40:50]
    shown = page.all("ul", class_="gallery")[0].all("img")
    assert len(shown) == 10
    for image, picture in zip(images, shown, strict=True):
        assert np.array_equal(decode(picture.attributes["src"] or ""), image[..., 0])


def test_pictures_have_their_colours() -> None:
    """Images of three channels are shown in colour, to the byte."""
    found = findings([[2, 1]], [0])
    pixels = np.random.default_rng(0).integers(0, 256, (1, 5, 7, 3), np.uint8)
    (_, (sample,)), (_, wrong) = galleries(replace(found, inputs=pixels / np.float32(255)))
    assert np.array_equal(decode(sample.uri), pixels[0])
    assert not wrong
