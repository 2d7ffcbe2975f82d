"""From a recipe, a method and data to what is trained: the same for every experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from equilib.arrays.trees import tree_leaves, tree_map
from equilib.experiments.example import Example
from equilib.models import DEQChain
from equilib.plugin.choice import Method
from equilib.plugin.integration_choice import IntegrationMethod
from equilib.runs.context import RunContext
from equilib.runs.job import TrainingJob
from equilib.runs.record import RecordedRun
from equilib.training.plan import Dataset, Plan
from equilib.training.trainer import Trainer
from equilib_experiments.recipes.recipe import Recipe


def assemble(
    recipe: Recipe,
    method: Method | IntegrationMethod,
    plan: Plan,
    data: Dataset,
    context: RunContext,
    *,
    called: str,
    options: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    introduction: Iterable[str] = (),
    samples: str = "images",
    conclude: Callable[[Trainer], Mapping[str, float]] | None = None,
) -> TrainingJob:
    """Make the network with its initial parameters and everything around it.

    Parameters
    ----------
    called : str
        What the model is, for people.
    options : mapping
        The experiment's own; what the plan and the data resolve is added.
    introduction : iterable of str
        Lines about the data.
    """
    rng = context.rng()
    network = recipe.network(method)
    params = context.device.put(network.init(rng))
    steps = plan.steps(data.train_inputs.shape[0])
    trainer = Trainer(
        model=network,
        params=params,
        data=Dataset(**{name: context.device.put(array) for name, array in vars(data).items()}),
        objective=recipe.objective,
        optimizer=recipe.optimizer,
        schedule=recipe.schedule(steps),
        plan=plan,
        rng=rng,
        reporter=context.reporter,
        device=context.device,
        transform=recipe.transform,
    )
    size = sum(leaf.size for leaf in tree_leaves(params))
    resolved = {
        f"train_{samples}": int(data.train_inputs.shape[0]),
        f"test_{samples}": int(data.test_inputs.shape[0]),
        "epochs": plan.epochs,
        "pretrain_epochs": plan.pretrain_epochs,
        "pretrain_depth": plan.pretrain_depth,
        "batch_size": plan.batch_size,
    }
    about = f"Model: {called}, {size:,} parameters, on {context.device.description}"
    return TrainingJob(
        trainer=trainer,
        options={**options, **resolved},
        facts=facts or {},
        introduction=(*introduction, about, *method.introduce()),
        samples=samples,
        conclude=conclude,
    )


def show(
    network: DEQChain, data: Dataset, context: RunContext, *, samples: int, trained: RecordedRun | None, dtype: str
) -> Example:
    """Return the equilibrium layer of a network, and what it is given for the first test samples.

    Raises
    ------
    UserError
        If the trained model is another one.
    """
    params = network.init(context.rng())
    if trained is not None:
        params = trained.params(params)
    params = context.device.put(tree_map(lambda leaf: leaf.astype(dtype), params))
    inputs = context.device.put(data.test_inputs[:samples].astype(dtype))
    return Example(deq=network.deq, params=params["deq"], inputs=network.before(params["before"], inputs))
