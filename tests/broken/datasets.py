"""Data sets of images that break one law each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from equilib.training.data import ImageFormat, LabelledImages
from tests.broken.fault import Fault, laws

FORMAT = ImageFormat(height=4, width=3, channels=1, classes=("upright", "lying"))


@dataclass(frozen=True)
class Sound:
    """Noise of two classes, made on the spot, to be broken."""

    images: ClassVar[ImageFormat] = FORMAT

    def load(self, data_dir: Any, report: Any) -> LabelledImages:
        """Draw the images."""
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (30, 4, 3), dtype=np.uint8)
        labels = np.arange(30, dtype=np.uint8) % 2
        return LabelledImages(images[:20], labels[:20], images[20:], labels[20:], source="noise, made on the spot")


@dataclass
class NotFrozen:
    """A dataclass, but not a frozen one."""

    images: ClassVar[ImageFormat] = FORMAT
    load = Sound.load


@dataclass(frozen=True)
class HoldingALambda(Sound):
    """A function made inside another, on the data set."""

    augment: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", lambda images: images)


@dataclass(frozen=True)
class FormatAfterwards(Sound):
    """A format that is known once the images are."""

    images: ClassVar[Any] = None

    def load(self, data_dir: Any, report: Any) -> LabelledImages:
        """Draw the images."""
        object.__setattr__(self, "images", FORMAT)
        return super().load(data_dir, report)


@dataclass(frozen=True)
class OneName(Sound):
    """Two classes of one name."""

    images: ClassVar[ImageFormat] = replace(FORMAT, classes=("digit", "digit"))


@dataclass(frozen=True)
class Turned(Sound):
    """Width before height."""

    def load(self, data_dir: Any, report: Any) -> LabelledImages:
        """Turn the images."""
        found = super().load(data_dir, report)
        return replace(
            found, train_images=found.train_images.swapaxes(1, 2), test_images=found.test_images.swapaxes(1, 2)
        )


@dataclass(frozen=True)
class Scaled(Sound):
    """Pixels between 0 and 1."""

    def load(self, data_dir: Any, report: Any) -> LabelledImages:
        """Divide by 255."""
        found = super().load(data_dir, report)
        return replace(found, train_images=found.train_images / 255, test_images=found.test_images / 255)


@dataclass(frozen=True)
class FromOne(Sound):
    """Labels that are counted from 1."""

    def load(self, data_dir: Any, report: Any) -> LabelledImages:
        """Add one."""
        found = super().load(data_dir, report)
        return replace(found, train_labels=found.train_labels + 1, test_labels=found.test_labels + 1)


@dataclass(frozen=True)
class Sorted(Sound):
    """Images in the order of their classes, of which the test gets the last."""

    def load(self, data_dir: Any, report: Any) -> LabelledImages:
        """Sort before the cut."""
        found = super().load(data_dir, report)
        return replace(found, train_labels=np.sort(found.train_labels), test_labels=np.ones_like(found.test_labels))


@dataclass(frozen=True)
class TestingOnTraining(Sound):
    """The first images of the training for a test."""

    def load(self, data_dir: Any, report: Any) -> LabelledImages:
        """Cut both from the beginning."""
        found = super().load(data_dir, report)
        return replace(found, test_images=found.train_images[:10], test_labels=found.train_labels[:10])


@dataclass(frozen=True)
class Shuffling(Sound):
    """Images in an order that nobody can repeat."""

    def load(self, data_dir: Any, report: Any) -> LabelledImages:
        """Shuffle the training."""
        found = super().load(data_dir, report)
        order = np.random.default_rng().permutation(len(found.train_images))
        return replace(found, train_images=found.train_images[order], train_labels=found.train_labels[order])


@dataclass(frozen=True)
class Seeding(Sound):
    """A seed for everybody."""

    def load(self, data_dir: Any, report: Any) -> LabelledImages:
        """Seed NumPy's global generator."""
        np.random.seed(0)  # noqa: NPY002
        return super().load(data_dir, report)


FORMATS = "knows_its_format_before_it_loads"
HOLDS = "holds_what_it_declares"

FAULTS = (
    Fault(NotFrozen(), "declares_its_options"),
    Fault(HoldingALambda(), "goes_to_other_processes"),
    Fault(FormatAfterwards(), FORMATS, laws(HOLDS)),
    Fault(OneName(), FORMATS),
    Fault(Turned(), HOLDS),
    Fault(Scaled(), HOLDS),
    Fault(FromOne(), HOLDS),
    Fault(Sorted(), HOLDS),
    Fault(TestingOnTraining(), "keeps_its_test_from_its_training"),
    Fault(Shuffling(), "loads_the_same_again"),
    Fault(Seeding(), "loads_the_same_again"),
)
"""Each with the law that names its fault; what else it fails is in `also`."""
