"""The protocol of an experiment, and the experiment of a request."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from equilib.experiments.recipe import Recipe
from equilib.options import OptionError, build
from equilib.plugin import EntryError, ExperimentEntry
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.flags import Flag
from equilib.runs.request import FLAGS, RunRequest
from equilib.training.data import Dataset


@runtime_checkable
class Experiment(Protocol):
    """**Protocol:** a network and data to train it on.

    1. Be a frozen dataclass; its fields are its options, flags of `equilib run`.
    2. Depend on the options and the request only, seed included: a run is resumed, evaluated and looked at by making
       its network and its data again. All random numbers come from `context.rng`.
    """

    def make_recipe(self) -> Recipe:
        """Return how the network is made, solved and trained; cheap, as a help text asks for it.

        Raises UserError if options do not go together.
        """

    def load_data(self, context: RunContext) -> Dataset:
        """Return the data, on the host.

        Raises UserError if it cannot be had.
        """


def make_experiment(request: RunRequest, registry: Registry) -> Experiment:
    """Return the experiment of a request, with its options.

    Raises UserError if it does not exist, or an option is wrong.
    """
    name = request.experiment
    experiment = build(registry.get(ExperimentEntry, name).load(), request.values, owner=f"experiment {name!r}")
    if not isinstance(experiment, Experiment):
        raise EntryError(
            f"experiment {name!r} cannot be used: {type(experiment).__name__} lacks make_recipe(self) or "
            "load_data(self, context)"
        )
    return experiment


def usable_flags(name: str, registry: Registry) -> tuple[Flag, ...]:
    """Return the flags that an experiment with its default options can use; all, where an option has no default.

    Raises UserError if it cannot be loaded.
    """
    try:
        uses = make_experiment(RunRequest(experiment=name), registry).make_recipe().uses
    except OptionError:
        return FLAGS
    return tuple(each for each in FLAGS if not each.needs or each.needs in uses)
