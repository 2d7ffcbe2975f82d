"""Gradients of scalar functions of trees."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import IndependentError, static_value, stop_gradient, value_and_grad
from equilib.autodiff.boxes import Box
from tests.arrays_under_test import lift, lower


class Affine(NamedTuple):
    """Parameters with names."""

    weight: Any
    bias: Any


def test_the_gradient_has_the_structure_of_the_parameters(xp: ModuleType):
    """Dicts, lists, tuples, named tuples, None and empty containers come back as they went in."""
    params = lift(
        xp,
        {
            "cell": [Affine(np.array([2.0]), np.array([3.0])), ()],
            "head": (np.array([5.0]), None, {}),
        },
    )

    def loss(params: Any) -> Any:
        affine = params["cell"][0]
        return ops.sum(affine.weight * affine.weight + affine.bias * params["head"][0])

    value, grad = value_and_grad(loss)(params)
    assert lower(value) == 19.0
    grad = lower(grad)
    assert list(grad) == ["cell", "head"]
    assert isinstance(grad["cell"], list)
    assert isinstance(grad["cell"][0], Affine)
    assert grad["cell"] == [Affine(np.array([4.0]), np.array([5.0])), ()]
    assert grad["head"] == (np.array([3.0]), None, {})


def test_auxiliary_results_come_back_untraced(xp: ModuleType):
    """With has_aux, f may return anything besides its value; the arrays in it are plain ones."""

    def loss(x: Any) -> Any:
        square = x * x
        return ops.sum(square), {"square": square, "note": "kept"}

    x = lift(xp, np.array([1.0, 2.0]))
    (value, aux), grad = value_and_grad(loss, has_aux=True)(x)
    assert lower(value) == 5.0
    assert type(aux["square"]) is type(x)
    assert lower(aux["square"]).tolist() == [1.0, 4.0]
    assert aux["note"] == "kept"
    assert lower(grad).tolist() == [2.0, 4.0]


def test_further_arguments_are_constants():
    """Only the first argument is differentiated; the others reach f as they are."""
    labels = np.array([1.0, 2.0])
    seen = []

    def loss(x: Any, labels: Any) -> Any:
        seen.append(labels)
        return ops.mse(x, labels)

    _, grad = value_and_grad(loss)(np.zeros(2), labels)
    assert seen[0] is labels
    np.testing.assert_allclose(grad, [-1.0, -2.0])


def test_the_gradient_of_a_python_float():
    """Functions of a float work: the gradient of x³ at 2 is 12."""
    value, grad = value_and_grad(lambda x: x * x * x)(2.0)
    assert (value, grad) == (8.0, 12.0)


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (lambda x: x * 2.0, r"an array of shape \(3,\)"),
        (lambda x: ops.sum(x, 0, keepdims=True), r"an array of shape \(1,\)"),
        (lambda x: (ops.sum(x), x), "tuple"),
        (lambda x: None, "NoneType"),
    ],
)
def test_what_is_no_scalar_is_refused(result: Any, what: str):
    """A function that does not return a scalar array has no gradient; the error says what it returned."""
    with pytest.raises(ValueError, match=f"returns a scalar array, it returned {what}$"):
        value_and_grad(result)(np.ones(3))


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: ops.sum(p["used"]),
        lambda p: ops.sum(p["used"]) + float(static_value(p["left out"])[0]),
        lambda p: ops.sum(p["used"] + stop_gradient(p["left out"])),
    ],
    ids=["unused", "converted", "stopped"],
)
def test_a_parameter_without_influence_is_an_error(loss: Any):
    """A gradient that would be silently zero raises, with the parameter's path."""
    with pytest.raises(IndependentError, match=r"argument 0 at 'left out': .*silently zero"):
        value_and_grad(loss)({"used": np.ones(1), "left out": np.ones(1)})


def test_a_parameter_without_influence_may_be_meant():
    """Who says so gets the gradient zero, of a loss that is a constant as well."""
    params = {"used": np.ones(1), "left out": np.ones(2)}
    _, grad = value_and_grad(lambda p: ops.sum(p["used"]), allow_unused=True)(params)
    assert {name: leaf.tolist() for name, leaf in grad.items()} == {"used": [1.0], "left out": [0.0, 0.0]}
    assert value_and_grad(lambda x: 3.0, allow_unused=True)(np.ones(2))[1].tolist() == [0.0, 0.0]


def test_a_constant_loss_is_an_error():
    """A loss that ignores its parameters altogether is independent, not of the wrong type."""
    with pytest.raises(IndependentError, match="argument 0"):
        value_and_grad(lambda x: 3.0)(np.ones(2))


@pytest.mark.parametrize("params", [np.array([1, 2]), {}, {"steps": 3}])
def test_nothing_to_differentiate_is_an_error(params: Any):
    """Parameters that hold no floating array, such as integers written without a point, are refused."""
    with pytest.raises(IndependentError, match="no array of floating dtype in argument 0"):
        value_and_grad(lambda p: ops.sum(np.ones(2)))(params)


def test_stop_gradient_is_a_constant_with_the_same_value(xp: ModuleType):
    """∂/∂x of x · stop(x) is stop(x); trees keep their structure, and untraced ones are returned equal."""
    x = lift(xp, np.array([2.0, 5.0]))
    value, grad = value_and_grad(lambda x: ops.sum(x * stop_gradient({"x": x})["x"]))(x)
    assert lower(value) == 29.0
    assert lower(grad).tolist() == [2.0, 5.0]
    assert stop_gradient((x, 1)) == (x, 1) if xp is not np else stop_gradient((x, 1))[0] is x


def test_static_value_sees_through_every_trace():
    """The array inside any number of boxes is the one that went in."""
    x, seen = np.ones(2), []

    def inner(y: Any) -> Any:
        assert isinstance(y, Box)
        seen.append(static_value(y))
        return ops.sum(y * y)

    value_and_grad(lambda x: value_and_grad(inner)(x)[0])(x)
    assert seen[0] is x


@dataclass(frozen=True)
class Auxiliary:
    """What a loss may return beside its value: arrays in fields, and in trees and dataclasses in fields."""

    y: Any
    name: str
    more: Any = None


def test_auxiliary_dataclasses_come_back_untraced():
    """Arrays in the fields of what a loss returns besides are plain; what holds none is the same object."""
    same = Auxiliary(np.zeros(2), "constant")

    def loss(x: Any) -> Any:
        y = ops.multiply(x, x)
        return ops.sum(y), {"aux": Auxiliary(y, "traced", [Auxiliary(x, "inner"), same]), "same": same}

    (value, aux), gradient = value_and_grad(loss, has_aux=True)(np.arange(3.0))
    found = aux["aux"]
    assert float(value) == 5.0
    assert aux["same"] is same is found.more[1]
    assert [type(each) for each in (found.y, found.more[0].y)] == [np.ndarray, np.ndarray]
    np.testing.assert_array_equal(found.y, np.arange(3.0) ** 2)
    np.testing.assert_array_equal(gradient, 2 * np.arange(3.0))
