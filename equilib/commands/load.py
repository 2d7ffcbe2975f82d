"""A recorded run as objects in Python: its model with the parameters it ended with, and its metrics."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from equilib.adjoints.equilibrium import Record
from equilib.arrays import (
    Array,
    Tree,
    array_namespace,
    from_host,
    host_dtype,
    in_dtype,
    is_array,
    to_host,
    tree_leaves,
)
from equilib.arrays.namespaces import library_of, of_one_kind
from equilib.commands.images import image_format
from equilib.errors import UserError, said
from equilib.experiments.assembly import Training, set_up, trained
from equilib.experiments.images import unit_range
from equilib.fixed_points.display import Shown, axes_or_new
from equilib.fixed_points.solution import ConvergenceWarning, UnsolvedWarning, failure_reasons
from equilib.machine.devices import Device
from equilib.ode.evolution import Evolution
from equilib.ode.solution import IntegrationWarning
from equilib.plugin.by_name import installed
from equilib.runs.context import RunContext
from equilib.runs.record import RecordedRun
from equilib.runs.request import RunRequest
from equilib.runs.saved import path_of
from equilib.training.batch_pass import recorded
from equilib.training.data import ImageFormat
from equilib.training.reporter import Reporter

_CHANGEABLE = ("data", "data_dir", "device", "kernels")
"""What a recorded run may have instead of what is recorded."""


@dataclass(frozen=True, kw_only=True, repr=False)
class LoadedRun(Shown):
    """A recorded run; `repr` is a line, a notebook shows a table, `plot` draws the course of the training.

    Attributes
    ----------
    model : object
        The network, called as `model(params, x)` with arrays of one library; it returns its output and the record of
        the pass, and warns of samples that did not converge.
    params : tree of arrays
        What the run ended with, on its device.
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
    device: Device = field(repr=False)
    images: ImageFormat | None = field(repr=False, default=None)

    def predict(self, x: Array) -> Array:
        """Return the model's output for samples x, shape (batch, ...): of NumPy's arrays on every device a NumPy array.

        Arrays of the device's own library stay there. It computes in the dtype of the parameters, which integers and
        truth values become too, unless the model takes nothing else, as an embedding. Bytes (uint8) of images become
        numbers from 0 to 1, as `equilib predict` makes them: they predict what x / 255 does.

        Warns of samples that did not converge by a ConvergenceWarning, of an ODE by an IntegrationWarning.

        Raises
        ------
        TypeError
            If x is something else, such as an array of another library, or of no real numbers.
        ValueError
            If x has a shape that the model does not take.
        UserError
            If only the run's data tells whether bytes are images, and it is not there.
        """
        given, inputs = isinstance(x, np.ndarray), self._on_device(x)
        try:
            with recorded():  # one warning, which names the line that asks for the prediction
                output, record = self.model(self.params, inputs)
        except Exception as error:  # each library refuses a shape in its own way
            if self.images is None or not is_array(x) or tuple(x.shape[1:]) == self.images.shape:
                raise
            raise ValueError(f"{_other_shape(tuple(x.shape), self.images.shape)} ({said(error)})") from error
        failure = _failure(record)
        if failure:
            kind: type[UnsolvedWarning] = IntegrationWarning if isinstance(record, Evolution) else ConvergenceWarning
            warnings.warn(failure, kind, stacklevel=2)
        return to_host(output) if given else output

    def _on_device(self, x: Array) -> Array:
        floats = (leaf for leaf in tree_leaves(self.params) if is_array(leaf) and host_dtype(leaf).kind == "f")
        like = next(floats, None)
        if like is None or not is_array(x):
            return x
        if not isinstance(x, np.ndarray) and not of_one_kind(x, like):
            raise TypeError(
                f"x is an array of {library_of(x)}, and this run computes with {library_of(like)}: give NumPy arrays"
            )
        xp, dtype = array_namespace(x), host_dtype(like).name
        if isinstance(x, np.ndarray) and x.dtype.kind not in "biuf":
            raise TypeError(f"x must hold real numbers, it is of {x.dtype}")
        if host_dtype(x) == np.uint8 and self._reads_images(x):
            # By NumPy on every device: XLA multiplies by 1 / 255, which gives other numbers.
            x = in_dtype(from_host(unit_range(to_host(x)), x), dtype)
        elif not xp.isdtype(x.dtype, ("bool", "integral")):
            x = in_dtype(x, dtype)
        elif x.ndim and not self._takes_integers(x, like):
            x = xp.astype(x, getattr(xp, dtype))
        return self.device.put(x) if isinstance(x, np.ndarray) else x

    def _reads_images(self, x: Array) -> bool:
        """Tell whether x, shape (n, ...), is of images: a recipe without their format leaves it to the data."""
        return self.images is not None or (x.ndim in (3, 4) and self._data_is_of_images)

    @cached_property
    def _data_is_of_images(self) -> bool:
        context = RunContext(request=self.request, registry=installed(), reporter=Reporter())
        data = set_up(context).experiment.load_data(context)
        return image_format(to_host(data.test_inputs)) is not None

    def _takes_integers(self, x: Array, like: Array) -> bool:
        """Tell whether the model takes numbers of the dtype of x, shape (batch, ...), and none of that of `like`."""
        zeros = np.zeros((1, *x.shape[1:]), host_dtype(x))
        error = self._refusal(from_host(zeros.astype(host_dtype(like)), like))
        if error is None:
            return False
        # Where it takes neither, for their shape, of those is spoken that it would take.
        return isinstance(error, TypeError | IndexError) or self._refusal(from_host(zeros, like)) is None

    def _refusal(self, x: Array) -> Exception | None:
        """Return what the model raises for x, shape (1, ...)."""
        try:
            with recorded(), warnings.catch_warnings(action="ignore"):
                self.model(self.params, x)
        except Exception as error:
            return error
        return None

    def training(self, **changes: Any) -> Training:
        """Return what trained it, its data included, with these parameters: `training.trainer`, `training.recipe`.

        `changes` are what the request should have instead: data, data_dir, device, kernels; else as it was loaded.

        Raises
        ------
        UserError
            If the request cannot be carried out here, such as for data that is not there.
        """
        _check_changes(changes)
        loaded = {name: getattr(self.request, name) for name in _CHANGEABLE}
        return trained(self.record, installed(), reporter=Reporter(), **{**loaded, **changes})

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


def _other_shape(given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Say what shape images of a run have, and how those get it that are the same but for axes of length 1."""
    sizes, expected = ([size for size in shape if size > 1] for shape in (given, wanted))
    shape = ", ".join(map(str, wanted))
    step = f": give x.reshape(-1, {shape})" if expected in (sizes, sizes[1:]) else ""
    return f"x has the shape {given}, and the images of this run (batch, {shape}){step}"


def _failure(record: Record) -> str:
    """Return how the predictions that are not converged failed; empty where there is none."""
    failed = [status for status in record.status if not status.success]
    if not failed:
        return ""
    solution = getattr(record, "solution", None)
    if solution is not None and not solution.success:
        return f"predicted all the same: {solution.failure_report()}"
    return f"predicted all the same: {len(failed)} of {len(record.status)} samples failed: {failure_reasons(failed)}"


def _check_changes(changes: Mapping[str, Any]) -> None:
    for name in changes.keys() - {*_CHANGEABLE}:
        raise TypeError(f"a recorded run cannot have another {name!r}: {', '.join(_CHANGEABLE)} may be changed")


def load_run(path: str | Path, **changes: Any) -> LoadedRun:
    """Return the run in a folder, as `equilib run` left it; see `equilib.load_run`."""
    _check_changes(changes)
    folder = path_of(path)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give that of a run, as `equilib run` named it")
    record = RecordedRun.read(folder)
    request = record.request_here(**changes)
    context = RunContext(request=_warning(request), registry=installed(), reporter=Reporter())
    setup = set_up(context)
    network = setup.network
    params = context.put(record.params(context.put(network.init(context.rng()))))
    return LoadedRun(
        path=folder,
        model=network,
        params=params,
        metrics=record.epochs,
        record=record,
        request=request,
        device=context.device,
        images=setup.images,
    )


def _warning(request: RunRequest) -> RunRequest:
    """Return the request of a run whose model warns, where its commands had only recorded what did not converge."""
    options = request.options
    if options.get("on_failure", "record") != "record":
        return request
    return replace(request, options={**options, "on_failure": "warn"})
