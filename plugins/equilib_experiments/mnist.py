"""The experiment `mnist`: a deep equilibrium model reads handwritten digits.

The recipe `tutorial` is the one of DeepEquilibriumNetworks.jl's basic MNIST tutorial; `default` keeps its data and its
number of epochs, and is better and faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from equilib.errors import UserError
from equilib.models import DeepEquilibrium, DEQChain, InitialGuess, LayerGuess, OneStepGuess, ZeroGuess
from equilib.options import option
from equilib.training.context import RunContext
from equilib.training.example import Example
from equilib.training.job import TrainingJob, train
from equilib.training.loop import Dataset, Plan, Trainer
from equilib.training.method import Method
from equilib.training.objectives import Classification
from equilib.training.recorded_run import RecordedRun
from equilib.trees import tree_leaves, tree_map
from equilib_experiments.data import Mnist, load_mnist
from equilib_experiments.recipes import RECIPES, Recipe

DEFAULT_SOLVER = "newton-gmres"
TRAIN_SHARE = 0.8


@dataclass(frozen=True)
class MnistExperiment:
    """Train on MNIST and report the accuracy on images that were not trained on."""

    recipe: str = option("default", help="architecture and schedule", choices=tuple(RECIPES))
    model: str = option("regdeq", help="initial guess: zeros, f(0, x) or a layer", choices=("deq", "regdeq", "skipdeq"))
    limit: int | None = option(None, help="images to use, 80 % of them for training", minimum=10)
    epochs: int | None = option(None, help="epochs after pretraining", minimum=0)
    pretrain_epochs: int | None = option(None, help="epochs at a fixed depth", minimum=0)
    batch_size: int | None = option(None, help="images in a batch", minimum=1)
    full: bool = option(False, help="all training images there are, tested on the official test set")

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
        """Load the digits and build the model.

        Raises
        ------
        UserError
            If an option or the data is wrong.
        """
        recipe = RECIPES[self.recipe]
        method = context.method(DEFAULT_SOLVER, **recipe.method)
        if self.full and self.limit is not None:
            raise UserError("--full uses all images there are; leave out --limit, or --full")
        digits = load_mnist(data_dir=context.data_dir, report=context.reporter.line)
        plan = self._plan(recipe)
        data = self._split(digits, recipe, context)
        trainer = self._trainer(recipe, method, plan, data, context)
        return TrainingJob(
            trainer=trainer,
            options=self._resolved(recipe, plan, data),
            facts={"data": digits.source, "data_fallback": digits.fallback},
            introduction=tuple(self._introduce(digits, trainer, method, context)),
        )

    def example(self, context: RunContext, *, samples: int, trained: RecordedRun | None, dtype: str) -> Example:
        """Return the equilibrium layer and what it is given for the first test images.

        Raises
        ------
        UserError
            If an option, the data or the trained model is wrong.
        """
        recipe = RECIPES[self.recipe]
        model = self._model(recipe, context.method(DEFAULT_SOLVER, **recipe.method))
        data = self._split(load_mnist(data_dir=context.data_dir, report=context.reporter.line), recipe, context)
        params = model.init(context.rng())
        if trained is not None:
            params = trained.params(params)
        params = context.device.put(tree_map(lambda leaf: leaf.astype(dtype), params))
        images = data.test_inputs[:samples].astype(dtype)
        return Example(deq=model.deq, params=params["deq"], inputs=model.before(params["before"], images))

    def _introduce(self, digits: Mnist, trainer: Trainer, method: Method, context: RunContext) -> Iterator[str]:
        train, test = trainer.data.train_inputs.shape[0], trainer.data.test_inputs.shape[0]
        yield f"Data: {digits.source}"
        if self.full:
            yield f"Using all of them: {train:,} to train, {test:,} to test"
        else:
            few = f", all there are (--limit {self.limit})" if (self.limit or 0) > train + test else ""
            yield f"Using the first {train + test:,} training images{few}: {train:,} to train, {test:,} to test"
        size = sum(leaf.size for leaf in tree_leaves(trainer.params))
        yield f"Model: {self.model}, recipe {self.recipe}, {size:,} parameters, on {context.device.description}"
        yield from method.introduce()

    def _plan(self, recipe: Recipe) -> Plan:
        return Plan(
            pretrain_epochs=recipe.pretrain_epochs if self.pretrain_epochs is None else self.pretrain_epochs,
            pretrain_depth=recipe.pretrain_depth,
            epochs=recipe.epochs if self.epochs is None else self.epochs,
            batch_size=self.batch_size or recipe.batch_size,
        )

    def _split(self, digits: Mnist, recipe: Recipe, context: RunContext) -> Dataset:
        if self.full:
            train, test = (digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels)
        else:
            count = min(self.limit or recipe.images, digits.train_images.shape[0])
            cut = round(TRAIN_SHARE * count)
            images, labels = digits.train_images[:count], digits.train_labels[:count]
            train, test = (images[:cut], labels[:cut]), (images[cut:], labels[cut:])
        put = context.device.put
        return Dataset(
            train_inputs=put(_pixels(train[0])),
            train_targets=put(train[1].astype(np.int64)),
            test_inputs=put(_pixels(test[0])),
            test_targets=put(test[1].astype(np.int64)),
        )

    def _trainer(self, recipe: Recipe, method: Method, plan: Plan, data: Dataset, context: RunContext) -> Trainer:
        model = self._model(recipe, method)
        rng = context.rng()
        return Trainer(
            model=model,
            params=context.device.put(model.init(rng)),
            data=data,
            objective=Classification(),
            optimizer=recipe.optimizer,
            schedule=recipe.schedule(plan.steps(data.train_inputs.shape[0])),
            plan=plan,
            rng=rng,
            reporter=context.reporter,
            device=context.device,
        )

    def _model(self, recipe: Recipe, method: Method) -> DEQChain:
        guesses: dict[str, InitialGuess] = {
            "deq": ZeroGuess(),
            "regdeq": OneStepGuess(),
            "skipdeq": LayerGuess(recipe.guess()),
        }
        deq = DeepEquilibrium(
            recipe.cell(), method.solver, guesses[self.model], method.sensitivity, options=method.options
        )
        return DEQChain(recipe.before(), deq, recipe.after())

    def _resolved(self, recipe: Recipe, plan: Plan, data: Dataset) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "model": self.model,
            "full": self.full,
            "train_images": int(data.train_inputs.shape[0]),
            "test_images": int(data.test_inputs.shape[0]),
            "epochs": plan.epochs,
            "pretrain_epochs": plan.pretrain_epochs,
            "pretrain_depth": plan.pretrain_depth,
            "batch_size": plan.batch_size,
        }


def _pixels(images: np.ndarray) -> np.ndarray:
    """Return images (n, 28, 28) of bytes as float32 in [0, 1], channels last: (n, 28, 28, 1)."""
    return (images.astype(np.float32) / 255)[..., None]
