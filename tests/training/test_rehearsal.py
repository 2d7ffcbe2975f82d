"""Data that does not fit the model or the loss is refused by a sentence, before a batch is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.arrays.trees import tree_leaves
from equilib.autodiff import value_and_grad
from equilib.errors import UserError
from equilib.layers import Chain, Dense
from equilib.training.data import Dataset
from equilib.training.objectives import Classification, Objective, Regression
from tests.training.small import CLASSES, FEATURES, STATE, Heard, clusters, trainer

Change = Callable[[np.ndarray], Any]


def changed(objective: Objective, **changes: Change) -> Dataset:
    """Return the clusters, with numbers as targets for a regression, and with changes of some of its arrays."""
    data = clusters()
    if isinstance(objective, Regression):
        targets = {name: np.eye(CLASSES, dtype=np.float32)[getattr(data, name)] for name in TARGETS}
        data = replace(data, **targets)
    return replace(data, **{name: change(getattr(data, name)) for name, change in changes.items()})


TARGETS = ("train_targets", "test_targets")
DOUBLE = "would turn a model of float32 into one of float64: give them as float32"
WIDE = "would turn a model of float32 into one of float64: give x as float32"
LABELLED: list[tuple[dict[str, Change], str]] = [
    ({"train_targets": lambda y: y + 5}, r"train_targets go from 5 to 7, where the 3 classes are numbered from 0 to 2"),
    ({"test_targets": lambda y: y - 1}, "test_targets go from -1 to 1, where the 3 classes are numbered from 0 to 2"),
    ({"train_targets": lambda y: y / 1.0}, "train_targets must be integers, the numbers of classes, not float64"),
    ({"train_targets": lambda y: y[:, None]}, r"the loss cannot take train_targets of shape \(1, 1\)"),
    ({"train_targets": lambda y: y[:15]}, "train_inputs has 50 samples and train_targets 15: give one target for each"),
    ({"test_targets": lambda y: y[:15]}, "test_inputs has 20 samples and test_targets 15"),
    ({name: lambda each: each[:0] for name in ("train_inputs", "train_targets")}, "train_inputs holds no sample"),
    ({name: lambda each: each[:0] for name in ("test_inputs", "test_targets")}, "test_inputs holds no sample"),
    (
        {"train_inputs": lambda x: x[:, :3]},
        r"cannot take train_inputs of shape \(1, 3\).* takes 4 numbers along its la",
    ),
    ({"test_inputs": lambda x: x[:, :3]}, r"the model cannot take test_inputs of shape \(1, 3\) and float32"),
    ({"train_inputs": lambda x: x[:, 0]}, r"the model cannot take train_inputs of shape \(1,\)"),
    ({"train_inputs": lambda x: x.astype(np.float64)}, f"train_inputs .*float64 {WIDE}"),
    ({"test_inputs": lambda x: x.astype(np.int64)}, f"test_inputs .*int64 {WIDE}"),
    ({"train_inputs": lambda x: x.tolist()}, "train_inputs must be an array with an axis of samples, not a list"),
    ({"train_inputs": lambda x: x.astype(object)}, "train_inputs must hold real numbers, not object"),
    ({"train_inputs": np.ma.asarray}, r"train_inputs must be a plain array, not a MaskedArray: give its filled\(...\)"),
    (
        {"test_inputs": lambda x: x.view(np.matrix)},
        r"test_inputs must be a plain array, not a matrix: give np.asarray\(...\) of it",
    ),
    ({"train_targets": lambda y: y[0]}, "train_targets must be an array with an axis of samples"),
]
MEASURED: list[tuple[dict[str, Change], str]] = [
    ({"train_targets": lambda y: y.astype(np.float64)}, f"train_targets .*float64 {DOUBLE}"),
    ({"train_targets": lambda y: y[:, 0]}, r"targets have shape \(1,\) and predictions \(1, 3\)"),
    ({"train_targets": lambda y: y[:, :1]}, r"targets have shape \(1, 1\) and predictions \(1, 3\)"),
]
CASES = [(Classification(), *case) for case in LABELLED] + [(Regression(), *case) for case in MEASURED]


@pytest.mark.parametrize(("objective", "changes", "sentence"), CASES, ids=[each[2][:40] for each in CASES])
def test_what_does_not_fit_is_refused_before_the_first_batch(
    objective: Objective, changes: dict[str, Change], sentence: str
) -> None:
    """Labels outside the classes, unequal lengths, other shapes, dtypes that widen the model: one sentence each."""
    heard = Heard()
    with pytest.raises(UserError, match=sentence):
        next(trainer(data=changed(objective, **changes), objective=objective, reporter=heard).epochs())
    assert heard.batches == []


TRANSFORMS: dict[str, tuple[Callable[..., Any], str]] = {
    "wider": (lambda x, rng: x + rng.normal(size=x.shape), f"float64, as transform returns them, one sample: .*{WIDE}"),
    "integers": (lambda x, rng: x.astype(int), f"int64, as transform returns them, one sample: .*{WIDE}"),
    "narrower": (lambda x, rng: x[:, :3], r"train_inputs of shape \(1, 3\) and float32, as transform returns them"),
    "one argument": (lambda x: x, r"transform cannot take train_inputs of shape \(2, 4\).*2 were given"),
    "nothing": (
        lambda x, rng: None,
        r"transform must return an array like the train_inputs .*, it returned None",
    ),
    "a list": (lambda x, rng: x.tolist(), "transform must return an array like .* it returned a list"),
    "one sample": (
        lambda x, rng: x[0],
        r"as many samples as it is given: .* made an array of shape \(4,\)",
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_that_does_not_fit_is_refused_before_the_first_batch(name: str) -> None:
    """It is tried on two samples: what it returns must be as many inputs, and such as the model takes."""
    transform, sentence = TRANSFORMS[name]
    heard = Heard()
    with pytest.raises(UserError, match=sentence):
        next(trainer(transform=transform, reporter=heard).epochs())
    assert heard.batches == []


def test_a_transform_may_make_inputs_of_data_that_are_none() -> None:
    """Of bytes it makes what the model takes, and nothing is asked of the bytes themselves."""
    data = changed(Classification(), train_inputs=lambda x: (100 + 10 * x).astype(np.uint8))
    trainer(data=data, transform=lambda x, rng: x.astype(np.float32)).rehearse()


@pytest.mark.parametrize("part", ["train_inputs", "test_inputs"])
def test_data_of_another_library_than_the_parameters_is_refused(part: str) -> None:
    """Both libraries are named, and what makes arrays of the one of those of the other."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(UserError, match=rf"{part} are of torch, and the parameters of numpy: .*to_host\(array\)"):
        trainer(data=changed(Classification(), **{part: torch.as_tensor})).rehearse()


def test_a_rehearsal_leaves_no_trace() -> None:
    """Training is the same, bit for bit, whether it was rehearsed before or not; a narrow input may be of its dtype."""
    noisy = lambda x, rng: x + rng.normal(size=x.shape).astype(x.dtype)  # noqa: E731
    subject, other = trainer(transform=noisy), trainer(transform=noisy)
    state = other.rng.bit_generator.state
    other.rehearse()
    assert other.rng.bit_generator.state == state
    losses = [[each["loss"] for each in one.epochs()] for one in (subject, other)]
    assert losses[0] == losses[1]
    trainer(data=changed(Classification(), train_inputs=lambda x: x.astype(np.float16))).rehearse()


def test_a_gradient_has_the_dtype_of_its_parameters() -> None:
    """Where an input of layers is double, the derivative of a float32 parameter is float32, and it stays what it is."""
    model, data = Chain(Dense(FEATURES, STATE), Dense(STATE, CLASSES)), clusters()
    params = model.init(np.random.default_rng(0))
    x = data.train_inputs.astype(np.float64)
    _, gradient = value_and_grad(lambda p: ops.cross_entropy(model(p, x), data.train_targets))(params)
    assert {leaf.dtype for leaf in tree_leaves(gradient)} == {np.dtype(np.float32)}
