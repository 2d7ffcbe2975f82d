"""Experiments that classify images: their options, their data, their job."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from equilib.commands.images import ImageInput
from equilib.commands.predict import Predictor
from equilib.errors import UserError
from equilib.experiments.example import Example
from equilib.options import option
from equilib.plugin.choice import Method
from equilib.plugin.integration_choice import IntegrationMethod
from equilib.runs.context import RunContext
from equilib.runs.job import TrainingJob, train
from equilib.runs.record import RecordedRun
from equilib.training.plan import Dataset, Plan
from equilib_experiments.assembly import assemble, show
from equilib_experiments.data.labelled import LabelledImages
from equilib_experiments.reading import DIGITS
from equilib_experiments.recipes.recipe import Recipe


@dataclass(frozen=True)
class ImageClassification(ABC):
    """What every experiment with images has: its options, and how they become a job."""

    limit: int | None = option(
        None, help="images to use, from the start of the training set; none: the recipe's", minimum=10
    )
    epochs: int | None = option(None, help="epochs of training; none: the recipe's", minimum=0)
    batch_size: int | None = option(None, help="images in a batch; none: the recipe's", minimum=1)
    full: bool = option(False, help="all training images there are, tested on the official test set")

    @abstractmethod
    def recipe_of(self) -> Recipe:
        """Return the recipe that the options choose."""

    @abstractmethod
    def load(self, context: RunContext) -> LabelledImages:
        """Load the images."""

    @abstractmethod
    def method_of(self, recipe: Recipe, context: RunContext) -> Method | IntegrationMethod:
        """Return how the recipe's model is solved and differentiated."""

    @abstractmethod
    def called(self) -> str:
        """Return what the model is, for people."""

    def plan_of(self, recipe: Recipe) -> Plan:
        """Return how long to train."""
        return recipe.plan(epochs=self.epochs, batch_size=self.batch_size)

    def run(self, context: RunContext) -> Mapping[str, Any]:
        """Train the model and return its final metrics.

        Raises
        ------
        UserError
            If an option or the data is wrong.
        RunError
            If training failed on its way.
        """
        return train(self.job(context), context)

    def job(self, context: RunContext) -> TrainingJob:
        """Load the images and build the model.

        Raises
        ------
        UserError
            If an option or the data is wrong.
        """
        recipe, method = self.resolve(context)
        images = self.load(context)
        data = self.split(images, recipe)
        return assemble(
            recipe,
            method,
            self.plan_of(recipe),
            data,
            context,
            called=self.called(),
            options={**asdict(self), "full": self.takes_all(recipe)},
            facts={"data": images.source, "data_fallback": images.fallback},
            introduction=self._introduce(images, data, recipe),
        )

    def reads(self) -> ImageInput:
        """Return the images that the model reads; digits unless the experiment says otherwise."""
        return DIGITS

    def predictor(self, context: RunContext) -> Predictor:
        """Build the model without data.

        Raises
        ------
        UserError
            If an option is wrong.
        """
        recipe, method = self.resolve(context)
        network = recipe.network(method)
        return Predictor(model=network, params=network.init(context.rng()), images=self.reads(), prepare=pixels)

    def resolve(self, context: RunContext) -> tuple[Recipe, Any]:
        """Return the recipe, changed for all images where all are used, and the method.

        Raises
        ------
        UserError
            If an option is wrong.
        """
        recipe = self.recipe_of()
        method = self.method_of(recipe, context)
        if self.full and self.limit is not None:
            raise UserError("--full uses all images there are; leave out --limit, or --full")
        return (replace(recipe, **recipe.with_all) if self.takes_all(recipe) else recipe), method

    def takes_all(self, recipe: Recipe) -> bool:
        """Tell whether all images are used."""
        return self.full or (self.limit is None and recipe.images is None)

    def split(self, images: LabelledImages, recipe: Recipe) -> Dataset:
        """Return what trains and what tests, on the host."""
        if self.takes_all(recipe):
            train, test = (images.train_images, images.train_labels), (images.test_images, images.test_labels)
        else:
            count = min(self.limit or recipe.images or 0, images.train_images.shape[0])
            cut = round(recipe.train_share * count)
            some, labels = images.train_images[:count], images.train_labels[:count]
            train, test = (some[:cut], labels[:cut]), (some[cut:], labels[cut:])
        return Dataset(
            train_inputs=pixels(train[0]),
            train_targets=train[1].astype(np.int64),
            test_inputs=pixels(test[0]),
            test_targets=test[1].astype(np.int64),
        )

    def _introduce(self, images: LabelledImages, data: Dataset, recipe: Recipe) -> Iterator[str]:
        train, test = data.train_inputs.shape[0], data.test_inputs.shape[0]
        yield f"Data: {images.source}"
        if self.takes_all(recipe):
            yield f"Using all of them: {train:,} to train, {test:,} to test"
        else:
            few = f", all there are (--limit {self.limit})" if (self.limit or 0) > train + test else ""
            yield f"Using the first {train + test:,} training images{few}: {train:,} to train, {test:,} to test"


@dataclass(frozen=True)
class EquilibriumClassification(ImageClassification):
    """An experiment with images whose network holds an equilibrium."""

    pretrain_epochs: int | None = option(None, help="epochs at a fixed depth before; none: the recipe's", minimum=0)

    def plan_of(self, recipe: Recipe) -> Plan:
        """Return how long to train."""
        return recipe.plan(epochs=self.epochs, batch_size=self.batch_size, pretrain_epochs=self.pretrain_epochs)

    def method_of(self, recipe: Recipe, context: RunContext) -> Method:
        """Return how the equilibrium is solved for and differentiated."""
        return context.method(recipe.solver, **recipe.method)

    def example(self, context: RunContext, *, samples: int, trained: RecordedRun | None, dtype: str) -> Example:
        """Return the equilibrium layer and what it is given for the first test images.

        Raises
        ------
        UserError
            If an option, the data or the trained model is wrong.
        """
        recipe, method = self.resolve(context)
        data = self.split(self.load(context), recipe)
        return show(recipe.network(method), data, context, samples=samples, trained=trained, dtype=dtype)


def pixels(images: np.ndarray) -> np.ndarray:
    """Return bytes as float32 in [0, 1], channels last: (n, height, width, channels)."""
    scaled = images.astype(np.float32) / 255
    return scaled[..., None] if scaled.ndim == 3 else scaled
