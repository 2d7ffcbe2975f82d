"""A recorded run as objects in Python: its model with the parameters it ended with, and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from equilib.arrays import Array, Tree, tree_leaves
from equilib.errors import UserError
from equilib.experiments.assembly import Training, set_up, trained
from equilib.fixed_points.display import Shown, axes_or_new
from equilib.plugin.by_name import installed
from equilib.runs.context import RunContext
from equilib.runs.record import RecordedRun
from equilib.runs.request import RunRequest
from equilib.runs.saved import path_of
from equilib.training.reporter import Reporter


@dataclass(frozen=True, kw_only=True, repr=False)
class LoadedRun(Shown):
    """A recorded run; `repr` is a line, a notebook shows a table, `plot` draws the course of the training.

    Attributes
    ----------
    model : object
        The network, called as `model(params, x)`; it returns its output and the record of the pass.
    params : tree of arrays
        What the run ended with.
    metrics : list of dict
        What `metrics.jsonl` holds, one entry for each epoch.
    record : RecordedRun
        What `run.json` holds is `record.facts`, what the run ended with `record.results`.
    request : RunRequest
    """

    path: Path
    model: Any = field(repr=False)
    params: Tree = field(repr=False)
    metrics: list[dict[str, Any]] = field(repr=False)
    record: RecordedRun = field(repr=False)
    request: RunRequest = field(repr=False)

    def predict(self, x: Array) -> Array:
        """Return the model's output for samples x, shape (batch, ...)."""
        return self.model(self.params, x)[0]

    def training(self, **changes: Any) -> Training:
        """Return what trained it, its data included, with these parameters: `training.trainer`, `training.recipe`.

        `changes` are what the request should have instead: data, data_dir, device, kernels.

        Raises
        ------
        UserError
            If the request cannot be carried out here, such as for data that is not there.
        """
        _check_changes(changes)
        return trained(self.record, installed(), reporter=Reporter(), **changes)

    @property
    def score(self) -> float | None:
        """The test score that the run ended with; None where nothing was tested."""
        name = self.record.score_name
        return None if name is None else self.record.results.get(f"test_{name}")

    def __str__(self) -> str:
        return f"LoadedRun({self.path}: {', '.join(f'{name} {value}' for name, value in self.facts().items())})"

    def facts(self) -> Mapping[str, object]:
        """Return what was run, and how it went."""
        name, method = self.record.score_name, self.record.method()
        chosen = {part: method[part].partition(":")[0] for part in ("solver", "adjoint") if method[part]}
        return {
            "experiment": self.request.experiment,
            "status": self.record.facts.get("status") or "unknown",
            **chosen,
            "epochs": len(self.metrics),
            "parameters": sum(prod(leaf.shape) for leaf in tree_leaves(self.params)),
            **({} if self.score is None else {f"test {name}": f"{self.score:.6g}"}),
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss of each epoch, and the test score on an axis of its own; return the Matplotlib axes.

        Raises
        ------
        UserError
            If Matplotlib is not installed.
        """
        ax, name = axes_or_new(ax), self.record.score_name
        epochs = np.arange(1, len(self.metrics) + 1)
        ax.semilogy(epochs, [row.get("loss", np.nan) for row in self.metrics], color="C0")
        ax.set(xlabel="epoch", ylabel="loss", title=str(self.path))
        if name is not None:
            other = ax.twinx()
            other.plot(epochs, [row.get(f"test_{name}", np.nan) for row in self.metrics], color="C1")
            other.set_ylabel(f"test {name}")
        return ax


def _check_changes(changes: Mapping[str, Any]) -> None:
    names = ("data", "data_dir", "device", "kernels")
    for name in changes.keys() - {*names}:
        raise TypeError(f"a recorded run cannot have another {name!r}: {', '.join(names)} may be changed")


def load_run(path: str | Path, **changes: Any) -> LoadedRun:
    """Return the run in a folder, as `equilib run` left it; see `equilib.load_run`."""
    _check_changes(changes)
    folder = path_of(path)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give that of a run, as `equilib run` named it")
    record = RecordedRun.read(folder)
    context = RunContext(request=record.request_here(**changes), registry=installed(), reporter=Reporter())
    network = set_up(context).network
    params = context.put(record.params(context.put(network.init(context.rng()))))
    return LoadedRun(
        path=folder, model=network, params=params, metrics=record.epochs, record=record, request=context.request
    )
