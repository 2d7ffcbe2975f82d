"""Gradients of the models of all experiments, with the kernels and by the formulas alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.arrays import Tree
from equilib.arrays.trees import tree_leaves
from equilib.autodiff import value_and_grad
from equilib.experiments.assembly import assemble
from equilib.kernels import using_kernels
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.reporters import LineReporter
from equilib.runs.request import RunRequest
from tests.digits import write_digits
from tests.photographs import write_photographs

pytest.importorskip("numba")

_EXACT: dict[str, dict[str, Any]] = {
    "bratu": {},
    "characters": {},
    "cifar10": {},
    "digits-graph": {},
    "lasso": {},
    "linear": {},
    "mnist": {},
    "mnist --model mdeq": {"values": {"model": "mdeq"}},
    "mnist-neural-ode": {},
    "mnist-steady-state": {},
    "polynomial": {},
    "table": {},
}

_SLOW = {"lasso": 100}
"""How many times as far as its residual a solve may be from the fixed point, where the map contracts slowly."""


def test_every_experiment_is_compared() -> None:
    """One that is new must be added."""
    assert {name.split()[0] for name in _EXACT} == set(Registry.discover().names("experiment"))


def gradient(experiment: str, kernels: str, dtype: str, folder: Path, **given: Any) -> list[np.ndarray]:
    """Return the leaves of the gradient of the loss of some samples, of a solve to the rounding."""
    tight = {"rtol": "1e-13" if dtype == "float64" else "1e-6", "on_failure": "record"}
    request = RunRequest(
        experiment=experiment, kernels=kernels, dtype=dtype, data_dir=folder, device="cpu", options=tight, **given
    )
    with using_kernels(kernels, all_sizes=True), np.errstate(all="ignore"):
        context = RunContext(request=request, registry=Registry.discover(), reporter=LineReporter(sys.stderr))
        trainer = assemble(context).trainer
        x, y = trainer.data.train_inputs[:4], trainer.data.train_targets[:4]
        extra = {"rng": np.random.default_rng(0)} if getattr(trainer.model, "needs_rng", False) else {}

        def loss(params: Tree) -> Any:
            return trainer.objective.loss(*trainer.model(params, x, **extra), y)

        return tree_leaves(value_and_grad(loss, allow_unused=True)(trainer.params)[1])


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("experiment", _EXACT)
def test_gradients_with_kernels_are_those_of_the_formulas(
    experiment: str, dtype: str, limit: float, tmp_path: Path
) -> None:
    """To 1e-12 in float64 and 1e-5 in float32, of the largest gradient of a parameter."""
    data = (write_photographs if "cifar" in experiment else write_digits)(tmp_path, train=12, test=2)
    name, given = experiment.split()[0], _EXACT[experiment]
    ours, plain = (gradient(name, each, dtype, data, **given) for each in ("numba", "none"))
    size = max(float(np.linalg.norm(leaf)) for leaf in plain)
    errors = [float(np.linalg.norm(a - b)) / size for a, b in zip(ours, plain, strict=True)]
    assert max(errors) <= limit * _SLOW.get(name, 1)
