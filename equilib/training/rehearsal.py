"""Rehearsal of a training: one sample of each part of its data through model and loss, before the first epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from math import prod
from typing import Any

import numpy as np

from equilib.adjoints.equilibrium import Equilibrium
from equilib.arrays import Array, Tree, array_namespace, is_array, of_one_kind, take_rows, tree_leaves
from equilib.arrays.namespaces import library_of
from equilib.errors import UserError, said
from equilib.fixed_points.fallback import require_size
from equilib.layers.observation import running_statistics
from equilib.options.kinds import described
from equilib.training.data import Dataset
from equilib.training.model import EquilibriumModel, Model, NamesSolvers
from equilib.training.objectives import ChecksTargets, Objective

_MISFITS = (TypeError, ValueError, IndexError, AttributeError)
"""How code fails on arrays that are not what it expects."""

Transform = Callable[[Array, np.random.Generator], Array]


def rehearse(
    model: Model,
    params: Tree,
    data: Dataset,
    objective: Objective,
    transform: Transform | None = None,
    rng: np.random.Generator | None = None,
) -> list[Any]:
    """Refuse data that does not fit the model and the loss, in the time of one sample.

    Of training it is two that `transform` is given, with random numbers of a copy of `rng`, and one of what it returns.

    Returns the layers that were called by running statistics.

    Raises UserError if the model, the loss or the transform cannot take a sample, would turn wider than the parameters,
    or a target is none of those that the objective knows, or a solver cannot take the states.
    """
    solvers = model.solvers() if isinstance(model, NamesSolvers) else ()
    model = model.unrolled(1) if isinstance(model, EquilibriumModel) else model
    used: list[Any] = []
    for part in ("train", "test"):
        x, y = (getattr(data, f"{part}_{name}")[:1, ...] for name in ("inputs", "targets"))
        _check_library(x, params, f"{part}_inputs")
        way = ""
        if part == "train" and transform is not None:
            x, way = _transformed(transform, data.train_inputs, deepcopy(rng))[:1, ...], ", as transform returns them"
        given = f"{part}_inputs of shape {tuple(x.shape)} and {x.dtype}{way}"
        with _fitting(f"the model cannot take {given}, one sample"), running_statistics() as found:
            prediction, record = model(params, x)
        used += found
        _check_width(prediction, params, given)
        if isinstance(record, Equilibrium):
            require_size(solvers, prod(record.z.shape[1:]))
        if isinstance(objective, ChecksTargets):
            objective.check_targets(getattr(data, f"{part}_targets"), prediction, name=f"{part}_targets")
        shown = f"{part}_targets of shape {tuple(y.shape)} and {y.dtype}"
        with _fitting(f"the loss cannot take {shown} with a prediction of shape {tuple(prediction.shape)}, one sample"):
            loss = objective.loss(prediction, record, y)
        _check_width(loss, params, shown)
    return used


def _transformed(transform: Transform, inputs: Array, rng: Any) -> Array:
    """Return what a transform makes of two samples, or of the only one; raises UserError if it is nothing like them."""
    x = take_rows(inputs, np.arange(min(2, inputs.shape[0])))
    given = f"train_inputs of shape {tuple(x.shape)} and {x.dtype}"
    with _fitting(f"transform cannot take {given}, and random numbers"):
        made = transform(x, rng)
    if not of_one_kind(made, x):
        own = f" of {library_of(made)}" if is_array(made) else ""
        raise UserError(
            f"transform must return an array like the {given} that it is given, it returned {described(made)}{own}"
        )
    if made.shape[:1] != x.shape[:1]:
        raise UserError(f"transform must return as many samples as it is given: of {given} it made {described(made)}")
    return made


def _check_library(x: Array, params: Tree, name: str) -> None:
    own = next((leaf for leaf in tree_leaves(params) if is_array(leaf)), x)
    if not of_one_kind(x, own):
        raise UserError(
            f"{name} are of {library_of(x)}, and the parameters of {library_of(own)}: give both as arrays of one "
            "library; equilib.arrays has to_host(array), which makes a NumPy array, and from_host(host, like)"
        )


@contextmanager
def _fitting(what: str) -> Iterator[None]:
    try:
        with np.errstate(all="ignore"):
            yield
    except UserError:
        raise
    except _MISFITS as error:
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        raise UserError(f"{what}: {said(error)}{notes}") from error


def _check_width(found: Array, params: Tree, given: str) -> None:
    """Refuse what would make gradients and losses wider than the parameters."""
    own = [leaf.dtype for leaf in tree_leaves(params) if is_array(leaf) and _is_floating(leaf)]
    if not own or not is_array(found):
        return
    widest = array_namespace(found).result_type(*own)
    if array_namespace(found).result_type(widest, found.dtype) != widest:
        raise UserError(
            f"{given} would turn a model of {widest} into one of {found.dtype}: give them as {widest}, or make the "
            f"parameters {found.dtype}"
        )


def _is_floating(leaf: Array) -> bool:
    return bool(array_namespace(leaf).isdtype(leaf.dtype, "real floating"))
