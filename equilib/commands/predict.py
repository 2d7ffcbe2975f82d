"""A recorded run's model on images from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from equilib.arrays import to_host
from equilib.arrays.trees import Tree
from equilib.commands.images import ImageInput, ReadImage, read_images
from equilib.errors import UserError
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.record import RecordedRun
from equilib.runs.reopen import revive
from equilib.training.model import Model
from equilib.training.reporter import Reporter


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A classifier of images.

    Attributes
    ----------
    model : Model
        It returns logits, shape (n, classes).
    params : tree of arrays
        The initial parameters, on the host.
    images : ImageInput
    prepare : callable
        Maps bytes, shape (n, height, width, channels), to inputs of the model, on the host.
    """

    model: Model
    params: Tree
    images: ImageInput
    prepare: Callable[[np.ndarray], np.ndarray]


@runtime_checkable
class Predicts(Protocol):
    """**Protocol:** an experiment whose model classifies images, for `equilib predict`."""

    def predictor(self, context: RunContext) -> Predictor:
        """Build the model as `job` does; no data is read.

        Raises
        ------
        UserError
            If an option is wrong.
        """


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says of one image.

    Attributes
    ----------
    image : str
        The file, and the place in it where it holds several.
    label : str
        The most probable class; "" where a logit is not finite.
    probability : float
    probabilities : dict
        Of every class.
    status : str
        How the solve ended.
    residual : float or None
    nfe : int
        Evaluations of f.
    notes : tuple of str
        What was done to the image, and what is doubtful about it.
    """

    image: str
    label: str
    probability: float
    probabilities: dict[str, float]
    status: str
    residual: float | None
    nfe: int
    notes: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


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

    Raises
    ------
    UserError
        If the run has no model, its experiment does not classify images, or a file cannot be read.
    """
    run = RecordedRun.read(path)
    request = run.request(**changes)
    experiment, context = revive(request, registry, reporter=reporter)
    if not isinstance(experiment, Predicts):
        raise UserError(
            f"experiment {request.experiment!r} does not classify images from files: it has no method `predictor`"
        )
    predictor = experiment.predictor(context)
    params = context.device.put(run.params(predictor.params))
    images = [image for file in files for image in read_images(file, predictor.images, invert=invert)]
    for index, image in enumerate(images, start=1):
        yield _predict(predictor, params, image, context)
        reporter.test_batch("Predicting", index, len(images))


@np.errstate(all="ignore")  # the status says what is not finite
def _predict(predictor: Predictor, params: Tree, image: ReadImage, context: RunContext) -> Prediction:
    classes = predictor.images.classes
    inputs = context.device.put(predictor.prepare(image.pixels[None]))
    logits, record = predictor.model(params, inputs)
    scores = to_host(logits)[0].astype(np.float64)
    weights = np.exp(scores - scores.max())
    probabilities = weights / weights.sum()
    best = int(np.argmax(probabilities))
    residual = record.residual_norm
    return Prediction(
        image=image.name,
        label=classes[best] if np.isfinite(scores).all() else "",
        probability=float(probabilities[best]),
        probabilities={name: float(each) for name, each in zip(classes, probabilities, strict=True)},
        status=record.status[0].label,
        residual=None if residual is None else float(residual[0]),
        nfe=int(record.nfe),
        notes=image.notes,
    )
