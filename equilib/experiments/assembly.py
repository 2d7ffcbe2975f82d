"""Assembly of a training from a recipe, the chosen method and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from equilib.arrays import Array, in_dtype, to_host, tree_leaves
from equilib.experiments.device_choice import settle_device
from equilib.experiments.experiment import Experiment, make_experiment
from equilib.experiments.images import ImageRecipe, image_data
from equilib.experiments.recipe import Recipe
from equilib.experiments.tensor_cores import settle_tf32
from equilib.options import plain_options
from equilib.options.named import FIXED_POINT
from equilib.plugin import DatasetEntry, OptimizerEntry
from equilib.plugin.choice import Choice, Named
from equilib.plugin.choosing import build_named, choose
from equilib.plugin.registry import Registry
from equilib.runs.agreement import check_work
from equilib.runs.context import RunContext
from equilib.runs.differences import notes, of_environment, of_training
from equilib.runs.record import RecordedRun
from equilib.runs.spellings import spec_of
from equilib.training.data import Dataset, ImageFormat
from equilib.training.reporter import Reporter
from equilib.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Setup:
    """An experiment without its data: its recipe with the plan that was asked for, and its network.

    The network reads `images`, which are None unless it reads images.
    """

    experiment: Experiment
    recipe: Recipe
    method: Choice
    network: Any
    images: ImageFormat | None


def set_up(context: RunContext) -> Setup:
    """Make the network of a request; no data is loaded.

    Raises UserError if a name or an option is unknown or wrong, or a flag cannot be used.
    """
    experiment = make_experiment(context.request, context.registry)
    recipe = experiment.make_recipe().asked(context.request)
    method = choose(
        context.registry,
        recipe.solver if context.request.solver is None else context.request.solver,
        solves=recipe.solves,
        adjoint=context.request.adjoint,
        options=context.request.options,
        defaults=recipe.options,
        defaults_for=recipe.solver,
        fallback=context.request.fallback,
    )
    images = image_data(recipe, context).images if isinstance(recipe, ImageRecipe) else None
    network = recipe.network(method) if images is None else recipe.network(method, images)
    return Setup(experiment=experiment, recipe=recipe, method=method, network=network, images=images)


@dataclass(frozen=True, kw_only=True)
class Training(Setup):
    """An experiment with its trainer, what `run.json` holds about it, and lines about data, model and method.

    `host_data` is the trainer's data where it was loaded: its digest needs no copy back from the device.

    `facts` are "options", those of the experiment with what the plan and the data resolve, "method", "optimizer", and
    where the data is from.
    """

    trainer: Trainer
    host_data: Dataset
    facts: Mapping[str, Any]
    introduction: tuple[str, ...]

    def conclude(self) -> dict[str, float]:
        """Return what the experiment measures at the end."""
        return dict(self.recipe.conclude(self.trainer)) if self.recipe.conclude else {}


def assemble(context: RunContext) -> Training:
    """Make the network of a request with its initial parameters, load the data, and make what trains them.

    Raises UserError if the request cannot be carried out as it is.
    """
    setup = set_up(context)
    recipe, plan = setup.recipe, setup.recipe.plan
    chosen = recipe.optimizer if context.request.optimizer is None else context.request.optimizer
    optimizer = build_named(context.registry, OptimizerEntry, chosen)
    data = _loaded(setup.experiment, context)
    data = replace(data, **in_dtype(data.arrays(), context.request.dtype))
    rng = context.rng()
    drawn = setup.network.init(rng)
    settle_device(context, setup.network, drawn, data, plan.batch_size)
    settle_tf32(context, setup.method)
    params = context.put(context.ranks.from_first(lambda: drawn))
    trainer = Trainer(
        model=setup.network,
        params=params,
        data=replace(data, **{name: context.device.put(array) for name, array in data.arrays().items()}),
        objective=recipe.objective,
        optimizer=optimizer.part,
        schedule=plan.rates(recipe.schedule, data.train_inputs.shape[0]),
        plan=plan,
        rng=rng,
        reporter=context.reporter,
        device=context.device,
        transform=recipe.transform,
        ranks=context.ranks,
        shares=context.request.shares or 0,
    )
    title = recipe.title or context.request.experiment
    size = sum(prod(leaf.shape) for leaf in tree_leaves(params))
    return Training(
        **vars(setup),
        trainer=trainer,
        host_data=data,
        facts={
            "options": {**plain_options(setup.experiment, context.registry), **_resolved(trainer, recipe.samples)},
            "method": setup.method.describe(),
            "optimizer": optimizer.describe(),
            "resolved": _resolved_request(setup, optimizer, context),
            **({} if data.source is None else {"data": data.source, "data_fallback": data.fallback}),
        },
        introduction=(
            *(() if data.source is None else (f"Data: {data.source}",)),
            *data.introduction,
            f"Model: {title}, {size:,} parameters, on {context.device.description}",
            *setup.method.introduce(),
        ),
    )


def _resolved_request(setup: Setup, optimizer: Named[Any], context: RunContext) -> dict[str, Any]:
    """Return the request that asks for the same run whatever the defaults are by then, as plain values."""
    recipe, method, request = setup.recipe, setup.method.describe(), context.request
    plan = {name: getattr(recipe.plan, name) for name in ("epochs", "batch_size")}
    if FIXED_POINT in recipe.uses:
        plan["pretrain_epochs"] = recipe.plan.pretrain_epochs
    data = request.data or recipe.data if isinstance(recipe, ImageRecipe) else None
    if isinstance(data, str):
        data = spec_of(build_named(context.registry, DatasetEntry, data).describe())
    return replace(
        request,
        values=plain_options(setup.experiment, context.registry),
        solver=spec_of(method["solver"]),
        adjoint=spec_of(method["adjoint"]),
        fallback=tuple(map(spec_of, method["fallback"])),
        options={name: "none" if value is None else str(value) for name, value in method["solve"].items()},
        optimizer=spec_of(optimizer.describe()),
        data=data if isinstance(data, str) else request.data,
        **plan,
    ).describe()


def _loaded(experiment: Experiment, context: RunContext) -> Dataset:
    """Return the data; of the ranks of a host the first loads them before the others, should they be downloaded."""
    ranks, first = context.ranks, context.ranks.local_rank == 0
    found = [experiment.load_data(context)] if first else []
    ranks.gather(None)
    return found[0] if found else experiment.load_data(context)


def _resolved(trainer: Trainer, samples: str) -> dict[str, int]:
    """Return what plan and data resolve of the options."""
    plan = trainer.plan
    return {
        f"train_{samples}": int(trainer.data.train_inputs.shape[0]),
        f"test_{samples}": int(trainer.data.test_inputs.shape[0]),
        "epochs": plan.epochs,
        "pretrain_epochs": plan.pretrain_epochs,
        "pretrain_depth": plan.pretrain_depth,
        "batch_size": plan.batch_size,
    }


def classes_of(setup: Setup, targets: Array | None, size: int) -> tuple[str, ...] | None:
    """Return the classes that `size` outputs stand for, by the images or by targets, shape (samples, ...), or None."""
    if setup.images is not None:
        return setup.images.classes
    if targets is None or targets.ndim != 1 or to_host(targets).dtype.kind not in "iu":
        return None
    return tuple(map(str, range(size)))


def trained(run: RecordedRun, registry: Registry, *, reporter: Reporter, **changes: Any) -> Training:
    """Assemble the training of a recorded run again, with the parameters that it ended with, which rank 0 reads.

    `changes` are what its request should have instead of what is recorded: data, data_dir, device, kernels.

    Raises UserError if the run has no model, its request cannot be carried out here, or ranks differ.
    """
    request = replace(run.request_here(**changes), tf32=False)  # what is measured later has all digits, on any device
    context = RunContext(request=request, registry=registry, reporter=reporter)
    training = assemble(context)
    differences = of_environment(run.facts, registry.used()), of_training(run.facts, training.facts)
    for line in (*(f"Note: {each}" for each in run.flaws), *notes(*differences, shares=context.request.shares)):
        reporter.line(line)
    if context.ranks.size > 1:
        check_work(context.ranks, training.host_data.digest(), training.facts)
    found = context.ranks.from_first(lambda: run.params(training.trainer.params))
    training.trainer.params = context.device.put(found)
    return training
