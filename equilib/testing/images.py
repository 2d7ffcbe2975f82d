"""Laws of a data set of labelled images: the obligations of `equilib.training.data.ImageData`."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equilib.errors import UserError
from equilib.testing.check import require
from equilib.testing.contract import arrives_by_pickle, global_generator_untouched, options_are_declared
from equilib.testing.subject import skip
from equilib.training.data import ImageData, ImageFormat, LabelledImages

PARTS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class ImageDataSubject:
    """A data set under test, and the folder of its files."""

    dataset: ImageData
    data_dir: Path | None = None

    def load(self) -> LabelledImages:
        """Load a copy."""
        try:
            return copy.deepcopy(self.dataset).load(self.data_dir, lambda line: None)
        except UserError as error:
            skip(f"its images cannot be had here: {error}")


def declares_its_options(subject: ImageDataSubject) -> None:
    """The command line lists, parses and records the fields of a frozen dataclass."""
    options_are_declared(subject.dataset)


def goes_to_other_processes(subject: ImageDataSubject) -> None:
    """A pool of processes is sent data sets by pickle."""
    arrives_by_pickle(subject.dataset)


def knows_its_format_before_it_loads(subject: ImageDataSubject) -> None:
    """A network is made from the format, and predicting needs no data."""
    images = copy.deepcopy(subject.dataset).images
    require(isinstance(images, ImageFormat), f"images is a {type(images).__name__}, not an ImageFormat")
    classes = images.classes
    require(len(set(classes)) == len(classes) > 1, f"the classes are {', '.join(classes)}; name two or more, each once")


def holds_what_it_declares(subject: ImageDataSubject) -> None:
    """A network reads the images in the declared format, and tells the declared classes apart."""
    found = subject.load()
    require(isinstance(found, LabelledImages), f"load returns a {type(found).__name__}, not LabelledImages")
    try:
        found.check(subject.dataset.images, name="load")
    except UserError as error:
        raise AssertionError(str(error)) from error
    require(bool(found.source), "source is empty; say where the images are from")
    for part in ("train", "test"):
        seen = np.unique(getattr(found, f"{part}_labels")).size
        require(seen > 1, f"{part}_labels hold {seen} class; a score on them says nothing")


def keeps_its_test_from_its_training(subject: ImageDataSubject) -> None:
    """A score on images that were trained on is no test."""
    found = subject.load()
    trained = {image.tobytes() for image in found.train_images}
    known = sum(image.tobytes() in trained for image in found.test_images)
    count = len(found.test_images)
    require(2 * known <= count, f"{known} of {count} images of the test are among those of the training")


def loads_the_same_again(subject: ImageDataSubject) -> None:
    """A run is resumed and evaluated on the data it was trained on, of which its record has a digest."""
    with global_generator_untouched():
        first, second = subject.load(), subject.load()
    for part in PARTS:
        same = np.array_equal(getattr(first, part), getattr(second, part))
        require(same, f"{part} are others when they are loaded again; draw with a generator made from an option")
