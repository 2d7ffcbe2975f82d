"""The command predict: the model of a recorded run on images from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from equilib.adjoints.equilibrium import Record
from equilib.arrays import to_host
from equilib.commands.images import ReadImage, read_images
from equilib.errors import UserError
from equilib.experiments.assembly import set_up
from equilib.experiments.images import pixels
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.record import RecordedRun
from equilib.training.reporter import Reporter


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says of one image: its class and how the solve ended.

    `image` is the file, and the place in it where it holds several; `label` is the most probable class, "" where a
    logit is not finite; `notes` say what was done to the image, and what is doubtful about it.
    """

    image: str
    label: str
    probability: float
    probabilities: dict[str, float]
    status: str
    residual: float | None
    nfe: int
    notes: tuple[str, ...]


def predict(
    path: Path,
    files: Sequence[Path],
    registry: Registry,
    *,
    reporter: Reporter,
    invert: bool = False,
    **changes: Any,
) -> Iterator[Prediction]:
    """Read all the images, then yield what the model of a run says of each by itself.

    Raises UserError if the run has no model, its experiment does not classify images, or a file cannot be read.
    """
    run = RecordedRun.read(path)
    context = RunContext(request=run.request(**changes), registry=registry, reporter=reporter)
    setup = set_up(context)
    if setup.images is None:
        raise UserError(f"experiment {context.request.experiment!r} does not classify images")
    network = setup.network
    params = context.device.put(run.params(network.init(context.rng())))
    read = [image for file in files for image in read_images(file, setup.images, invert=invert)]
    for index, image in enumerate(read, start=1):
        inputs = context.device.put(pixels(image.pixels[None]))
        with np.errstate(all="ignore"):  # the status says what is not finite
            logits, record = network(params, inputs)
            found = _prediction(image, setup.images.classes, to_host(logits)[0], record)
        yield found
        reporter.batch("Predicting", index, len(read))


def _prediction(image: ReadImage, classes: Sequence[str], logits: np.ndarray, record: Record) -> Prediction:
    probabilities = softmax(logits.astype(np.float64))
    best = int(np.argmax(probabilities))
    residual = record.residual_norm
    return Prediction(
        image=image.name,
        label=classes[best] if np.isfinite(logits).all() else "",
        probability=float(probabilities[best]),
        probabilities={name: float(each) for name, each in zip(classes, probabilities, strict=True)},
        status=record.status[0].label,
        residual=None if residual is None else float(residual[0]),
        nfe=int(record.nfe),
        notes=image.notes,
    )
