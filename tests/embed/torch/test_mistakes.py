"""Mistakes in f that PyTorch and NumPy tell in their own terms are told by the arguments of the front."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from tests.embed.torch.cells import Cell, drawn, f

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from equilib.torch import DeepEquilibrium, fixed_point, odeint  # noqa: E402

WEIGHT, X = drawn()
LINEAR = torch.nn.Linear(3, 3)


class Hooked(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A module whose hook makes one argument of two."""

    def forward(self, both: Any) -> Any:
        """Return the next state."""
        return torch.tanh(both[0] / 2 + both[1])


CALLS: dict[str, tuple[Any, str]] = {
    "layer": (
        lambda: DeepEquilibrium(LINEAR)(X, X),
        r"^cell is called as cell\(z, \*inputs\) with 2 inputs, but takes \(input\)$",
    ),
    "too few": (lambda: DeepEquilibrium(Cell(), initial=lambda: X)(), r"called as cell\(z\), but takes \(z, x\); what"),
    "fixed_point": (lambda: fixed_point(LINEAR, X, X), r"^f is called as f\(z, \*inputs\) with one input"),
    "odeint": (lambda: odeint(LINEAR, X, [0.0, 1.0]), r"^f is called as f\(t, y\), but takes \(input\)$"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_module_that_takes_other_arguments_is_told_how_it_is_called(call: str):
    """As of a function, before anything is evaluated."""
    make, sentence = CALLS[call]
    with pytest.raises(TypeError, match=sentence):
        make()


def test_a_hook_may_change_the_arguments():
    """What a module's forward takes is not asked where a hook, or the module's own call, stands before it."""
    module = Hooked()
    module.register_forward_pre_hook(lambda _, arguments: (arguments,))
    assert fixed_point(module, torch.zeros_like(X), X).shape == X.shape
    own = type("Own", (Hooked,), {"__call__": lambda self, *both: self.forward(both)})()
    assert fixed_point(own, torch.zeros_like(X), X).shape == X.shape


SINGLE = torch.zeros(2, 3)
ARRAY = np.ones((2, 3))
MIXED: dict[str, tuple[Any, str]] = {
    "parameter": (lambda: fixed_point(Cell(), SINGLE, SINGLE), r"its parameter 'linear\.weight'"),
    "input": (lambda: fixed_point(lambda z, p: z @ p["a"][0], SINGLE, {"a": [WEIGHT]}), r"in input 0\['a'\]\[0\]"),
    "closure": (lambda: fixed_point(lambda z: z @ WEIGHT, SINGLE), "a tensor that f holds"),
    "buffer": (lambda: odeint(lambda t, y: y @ WEIGHT.detach(), SINGLE, [0.0, 1.0]), "a tensor that f holds"),
}


@pytest.mark.parametrize("case", MIXED)
def test_a_tensor_of_another_dtype_is_named(case: str):
    """Where PyTorch refuses to mix dtypes, a note says which tensor has another than the state, and where it is."""
    make, place = MIXED[case]
    with pytest.raises(RuntimeError) as caught:
        make()
    assert caught.match(
        rf"[zy] is of torch.float32 and .*{place} of torch.float64: give [zy]0, the inputs and the param"
    )


WIDENED: dict[str, tuple[Any, str]] = {
    "input": (lambda: fixed_point(lambda z, x: z / 2 + x, SINGLE, X), "z is of torch.float32 and what is in input 0 "),
    "closure": (lambda: odeint(lambda t, y: y + X, SINGLE, [0.0, 1.0]), "y is of torch.float32 and a tensor that f h"),
    "array": (lambda: fixed_point(lambda z: z / 2 + ARRAY, SINGLE), r"f holds an array of shape \(2, 3\) of NumPy's: "),
}


@pytest.mark.filterwarnings("ignore:__array_wrap__")
@pytest.mark.parametrize("case", WIDENED)
def test_what_makes_f_return_another_dtype_is_named(case: str):
    """Where PyTorch widens what it mixes, the refusal of what f returned has the same note."""
    make, note = WIDENED[case]
    with pytest.raises(ValueError, match="must keep the dtype") as caught:
        make()
    assert caught.match(note)


def test_a_tensor_of_another_device_is_named():
    """A module that was left where it was made, say."""
    with pytest.raises(RuntimeError, match=r"z is on cpu and its parameter 'linear.weight' on meta: give z0, the "):
        fixed_point(Cell().to("meta"), torch.zeros_like(X), X)


@pytest.mark.filterwarnings("ignore:__array_wrap__")
def test_functions_of_numpys_are_told_from_those_of_pytorch():
    """PyTorch would have z detached, with which its derivative would be lost."""
    with pytest.raises(RuntimeError, match="f hands a tensor to NumPy, whose functions have no derivatives: take"):
        fixed_point(lambda z: np.tanh(z / 2 + X), torch.zeros_like(X))


def test_another_error_says_nothing_of_dtypes():
    """A shape that does not fit is no matter of dtypes, though there are several."""
    with pytest.raises(RuntimeError) as caught:
        fixed_point(lambda z, w: z @ w.float()[:2], SINGLE, WEIGHT)
    assert len(caught.value.__notes__) == 1


@pytest.mark.parametrize("front", ["fixed_point", "DeepEquilibrium", "odeint"])
def test_an_array_of_numpys_that_is_mixed_with_tensors_is_refused(front: str):
    """Among the inputs it is named before NumPy takes z without its graph, and nobody is told to detach anything."""
    array, z = WEIGHT.detach().numpy(), torch.zeros_like(X)
    ways = {
        "fixed_point": lambda: fixed_point(f, z, array, X),
        "DeepEquilibrium": lambda: DeepEquilibrium(lambda z, x, w: f(z, w["w"], x))(X, {"w": array}),
        "odeint": lambda: odeint(lambda t, y, w: y @ w, z, [0.0, 1.0], array),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match=r"shape \(3, 3\) of NumPy's in input \d.*: take torch.as_tensor\(array, "):
            ways[front]()


def test_an_array_of_numpys_that_f_holds_is_named():
    """What f closes over is named by a note on NumPy's error."""
    array = WEIGHT.detach().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match=r"f holds an array of shape \(3, 3\) of NumPy's: take torch.as_tensor"):
            fixed_point(lambda z: f(z, array, X), torch.zeros_like(X))


def test_arrays_that_f_makes_tensors_of_are_inputs():
    """An array of NumPy's that f converts, or takes rows by, is a constant like others; so it is in `odeint`."""
    array, rows = WEIGHT.detach().numpy(), np.array([1, 0])
    plain = lambda z, w, rows: f(z, torch.as_tensor(w), X[rows])  # noqa: E731
    expected = fixed_point(f, torch.zeros_like(X), WEIGHT, X[rows])
    assert torch.allclose(fixed_point(plain, torch.zeros_like(X), array, rows), expected)
    assert odeint(lambda t, y, w: y @ torch.as_tensor(w), X, [0.0, 1.0], array).requires_grad
