"""Mistakes in a user's f that PyTorch tells in its own terms: other arguments, dtypes or devices, NumPy's arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from equilib.fixed_points.arguments import check_call
from equilib.options.kinds import described
from equilib.torch.closures import held

_OF_DTYPES = re.compile(r"dtype|scalar ?type|\btype\b", re.IGNORECASE)
_OF_DEVICES = re.compile(r"device", re.IGNORECASE)
_OF_NUMPY = re.compile(r"numpy|ScalarType", re.IGNORECASE)


def check_map(f: Callable[..., Any], name: str, *arguments: str, inputs: int, where: str) -> None:
    """Require that a function, or the forward of a module, takes the arguments and as many inputs; no call is made.

    Raises
    ------
    TypeError
        As `equilib.fixed_points.arguments.check_call` does.
    """
    if isinstance(f, nn.Module):
        if type(f).__call__ is not nn.Module.__call__ or _has_pre_hooks(f):  # which may give it other arguments
            return
        f = f.forward
    check_call(f, name, *arguments, inputs=inputs, where=where)


def _has_pre_hooks(module: nn.Module) -> bool:
    return bool(module._forward_pre_hooks or nn.modules.module._global_forward_pre_hooks)


def explain_mixed(error: Exception, f: Callable[..., Any], inputs: tuple[Any, ...], name: str, z: Tensor) -> None:
    """Note on an error of f what else than the state, z of any shape and called `name`, it was given or holds.

    Raises
    ------
    TypeError
        In the place of an error that NumPy's conversion of tensors raised, if there is an array among the inputs.
    """
    text, widened = str(error), isinstance(error, ValueError) and "keep the dtype" in str(error)
    if isinstance(error, TypeError | RuntimeError) and _OF_NUMPY.search(text):
        for place, array in _places(inputs, np.ndarray):
            raise TypeError(
                f"inputs must be tensors where f mixes them with others, got {_array(array, name, place)}"
            ) from error
        if not _note_array(error, f, name) and "numpy()" in text:
            error.add_note("f hands a tensor to NumPy, whose functions have no derivatives: take those of torch")
        return
    if widened or (isinstance(error, RuntimeError) and _OF_DTYPES.search(text)):
        unlike = lambda each: each.is_floating_point() and each.dtype != z.dtype  # noqa: E731
        if not _note_tensor(error, f, inputs, unlike, f"{name} is of {z.dtype}", "dtype", name) and widened:
            _note_array(error, f, name)
    elif isinstance(error, RuntimeError) and _OF_DEVICES.search(text):
        unlike = lambda each: each.device != z.device  # noqa: E731
        _note_tensor(error, f, inputs, unlike, f"{name} is on {z.device}", "device", name)


def _note_array(error: Exception, f: Callable[..., Any], name: str) -> bool:
    """Note an array of NumPy's that f holds; tell whether there is one."""
    for array in held(f, np.ndarray):
        error.add_note(f"f holds {_array(array, name)}, where it mixes that with tensors")
        return True
    return False


def _note_tensor(
    error: Exception,
    f: Callable[..., Any],
    inputs: tuple[Any, ...],
    unlike: Callable[[Tensor], bool],
    own: str,
    what: str,
    name: str,
) -> bool:
    """Note a tensor that f is given or holds which is unlike the state in its dtype or device; tell whether one is."""
    for place, tensor in _tensors(f, inputs):
        if unlike(tensor):
            kind = f"of {tensor.dtype}" if what == "dtype" else f"on {tensor.device}"
            error.add_note(f"{own} and {place} {kind}: give {name}0, the inputs and the parameters one {what}")
            return True
    return False


def _array(array: np.ndarray, name: str, place: str = "") -> str:
    return (
        f"{described(array)} of NumPy's{place}: take torch.as_tensor(array, dtype={name}.dtype, device={name}.device)"
    )


def _tensors(f: Callable[..., Any], inputs: tuple[Any, ...]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that f is given, its parameters and buffers, and what else it holds, each with what it is."""
    for place, tensor in _places(inputs, Tensor):
        yield f"what is{place}", tensor
    if isinstance(f, nn.Module):
        yield from ((f"its parameter {name!r}", each) for name, each in f.named_parameters())
    yield from (("a tensor that f holds", each) for each in held(f, Tensor))


def _places(inputs: tuple[Any, ...], kind: type) -> Iterator[tuple[str, Any]]:
    for (number, *path), leaf in pytree.tree_flatten_with_path(inputs)[0]:
        if isinstance(leaf, kind):
            yield f" in input {number.idx}{pytree.keystr(tuple(path))}", leaf
