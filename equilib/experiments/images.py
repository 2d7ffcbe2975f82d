"""Experiments that classify images of a data set that is chosen by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from equilib.experiments.recipe import Recipe
from equilib.options import option
from equilib.plugin import DatasetEntry
from equilib.plugin.choosing import build_named
from equilib.runs.context import RunContext
from equilib.runs.flags import IMAGES
from equilib.training.data import Dataset, ImageData, LabelledImages


@dataclass(frozen=True, kw_only=True)
class ImageRecipe(Recipe):
    """A recipe whose network classifies images: `network` is given the method and the `ImageFormat` that it reads.

    A network that cannot read a format raises UserError. `data` is the data set unless the user names another: a name
    with options, or a data set that has no name. `limit` images are taken from the start of the training set,
    `train_share` of them to train, the others to test; None takes all, and the official test set. `with_all` is what
    differs where all images are used.
    """

    data: str | ImageData
    samples: str = "images"
    reads_files: bool = True
    limit: int | None = 2500
    train_share: float = 0.8
    with_all: Mapping[str, Any] = field(default_factory=dict)

    @property
    def uses(self) -> frozenset[str]:
        """What flags of `equilib run` may need."""
        return super().uses | {IMAGES}


def image_data(recipe: ImageRecipe, context: RunContext) -> ImageData:
    """Return the data set that the user named, else that of the recipe; nothing is loaded.

    Raises UserError if there is no data set of that name, or an option is wrong.
    """
    chosen = recipe.data if context.request.data is None else context.request.data
    return build_named(context.registry, DatasetEntry, chosen).part if isinstance(chosen, str) else chosen


@dataclass(frozen=True)
class ImageClassification(ABC):
    """Classification of images; extend it by `image_recipe`. Raises ValueError for `full` with a `limit`."""

    limit: int | None = option(
        None, help="use so many images, from the start of the training set; none: the recipe's", minimum=10
    )
    full: bool = option(False, help="train on all training images there are, and test on the official test set")

    def __post_init__(self) -> None:
        if self.full and self.limit is not None:
            raise ValueError("--full uses all images there are; leave out --limit, or --full")

    @abstractmethod
    def image_recipe(self) -> ImageRecipe:
        """Return the recipe that the options choose.

        Raises UserError if options do not go together.
        """

    def make_recipe(self) -> ImageRecipe:
        """Return the recipe for the images that are used; raises as `image_recipe` does."""
        recipe = self.image_recipe()
        limit = None if self.full else self.limit or recipe.limit
        return replace(recipe, limit=limit, **(recipe.with_all if limit is None else {}))

    def load_data(self, context: RunContext) -> Dataset:
        """Return the images that train and those that test.

        Raises UserError if they cannot be had, or are not what the data set declares.
        """
        recipe = self.make_recipe()
        data = image_data(recipe, context)
        images = data.load(context.data_dir, context.reporter.line)
        images.check(data.images, name=f"data set {context.request.data or recipe.data!r}")
        return _split(images, recipe)


def _split(images: LabelledImages, recipe: ImageRecipe) -> Dataset:
    if recipe.limit is None:
        train, test = (images.train_images, images.train_labels), (images.test_images, images.test_labels)
        used = "all of them"
    else:
        count = min(recipe.limit, images.train_images.shape[0])
        cut = round(recipe.train_share * count)
        some, labels = images.train_images[:count], images.train_labels[:count]
        train, test = (some[:cut], labels[:cut]), (some[cut:], labels[cut:])
        few = f", all there are (--limit {recipe.limit})" if recipe.limit > count else ""
        used = f"the first {count:,} training images{few}"
    return Dataset(
        train_inputs=pixels(train[0]),
        train_targets=train[1].astype(np.int64),
        test_inputs=pixels(test[0]),
        test_targets=test[1].astype(np.int64),
        source=images.source,
        fallback=images.fallback,
        introduction=(f"Using {used}: {len(train[1]):,} to train, {len(test[1]):,} to test",),
    )


def pixels(images: np.ndarray) -> np.ndarray:
    """Return bytes as float32 in [0, 1], channels last: shape (n, height, width, channels)."""
    scaled = unit_range(images)
    return scaled[..., None] if scaled.ndim == 3 else scaled


def unit_range(images: np.ndarray) -> np.ndarray:
    """Return bytes, shape (n, ...), as float32 in [0, 1]."""
    return images.astype(np.float32) / 255
