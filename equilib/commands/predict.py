"""The command predict: the model of a recorded run on images or other inputs from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from equilib.adjoints.equilibrium import Record
from equilib.arrays import to_host
from equilib.commands.images import image_format, read_images, read_samples
from equilib.commands.pictures import ReadImage
from equilib.errors import UserError
from equilib.experiments.assembly import classes_of, set_up
from equilib.experiments.images import pixels
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.record import RecordedRun
from equilib.training.data import Dataset, ImageFormat
from equilib.training.reporter import Reporter


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says of one input: its outputs, its class where they are logits, and how the solve ended.

    `image` is the file, and the place in it where it holds several; `label` is the most probable class, "" where a
    logit is not finite or there are no classes; `notes` say what was done to an image, and what is doubtful about it.
    """

    image: str
    label: str
    probability: float | None
    probabilities: dict[str, float]
    outputs: list[Any]
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
    """Read all the images or other inputs, then yield what the model of a run says of each by itself.

    Raises UserError if the run has no model, or a file cannot be read or holds something else.
    """
    run = RecordedRun.read(path)
    context = RunContext(request=run.request_here(**changes), registry=registry, reporter=reporter)
    setup = set_up(context)
    # A recipe without a format of images leaves it to the data what its inputs are.
    data = None if setup.images else setup.experiment.load_data(context)
    network = setup.network
    params = context.put(run.params(context.put(network.init(context.rng()))))
    read = [each for file in files for each in _inputs(file, setup.images, data, invert=invert)]
    for index, (image, inputs) in enumerate(read, start=1):
        with np.errstate(all="ignore"):  # the status says what is not finite
            outputs, record = network(params, context.put(inputs))
            classes = classes_of(setup, data and data.test_targets, outputs.shape[-1])
            found = _prediction(image, classes, to_host(outputs)[0], record)
        yield found
        reporter.batch("Predicting", index, len(read))


def _inputs(
    file: Path, images: ImageFormat | None, data: Dataset | None, *, invert: bool
) -> Iterator[tuple[ReadImage, np.ndarray]]:
    """Yield what a file holds, and the network's input of it, shape (1, ...)."""
    like = None if data is None else to_host(data.test_inputs)
    images = images if like is None else image_format(like)
    if images is not None:
        for each in read_images(file, images, invert=invert):
            inputs = pixels(each.pixels[None])
            yield each, inputs if like is None else inputs.reshape(1, *like.shape[1:]).astype(like.dtype)
    elif invert:
        raise UserError("--invert is for images, which the run was not trained on; leave it out")
    elif like is not None:
        yield from ((each, each.pixels[None]) for each in read_samples(file, like))


def _prediction(image: ReadImage, classes: Sequence[str] | None, outputs: np.ndarray, record: Record) -> Prediction:
    probabilities = softmax(outputs.astype(np.float64))
    best = int(np.argmax(probabilities))
    residual = record.residual_norm
    return Prediction(
        image=image.name,
        label=classes[best] if classes and np.isfinite(outputs).all() else "",
        probability=float(probabilities[best]) if classes else None,
        probabilities=dict(zip(classes or (), probabilities.tolist() if classes else (), strict=True)),
        outputs=outputs.tolist(),
        status=record.status[0].label,
        residual=None if residual is None else float(residual[0]),
        nfe=int(record.nfe),
        notes=image.notes,
    )
