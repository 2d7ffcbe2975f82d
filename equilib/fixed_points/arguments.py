"""Arguments of a solve, of an integration and of a model, checked: each refusal names one and says what it must be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from numbers import Number
from types import FunctionType, MethodType
from typing import Any, NoReturn

import numpy as np

from equilib.arrays import Array, Tree, array_namespace, is_array, named_leaves, to_host, tree_leaves
from equilib.arrays.namespaces import is_odd, plain_way
from equilib.errors import a, brief
from equilib.fixed_points.boundary import COMPLEX, TRACED, is_traced
from equilib.fixed_points.followed import refuse_followed
from equilib.options.kinds import check_flag, described


def check_state(array: Array, name: str) -> None:
    """Require an array of floating-point numbers in native byte order, which is that of every result.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if type(array) is np.ndarray and array.dtype.kind == "f" and array.dtype.isnative:
        return
    if is_traced(array):
        raise TypeError(f"{name} is traced, and {TRACED[name[0]]}")
    refuse_followed(array, name)
    if not is_array(array):
        others = ", or a tree of arrays" if isinstance(array, list | tuple | dict) else ""
        raise TypeError(f"{name} must be an array, such as np.zeros((batch, features)){others}, got {described(array)}")
    if isinstance(array, np.ndarray) and not isinstance(array, np.memmap) and type(array) is not np.ndarray:
        _refuse_subclass(array, name)
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        raise TypeError(
            f"{name} must be in native byte order, it is of {array.dtype.str}; "
            f"take {name}.astype({name}.dtype.newbyteorder('='))"
        )
    xp = array_namespace(array)
    if xp.isdtype(array.dtype, "complex floating"):
        raise TypeError(f"{name} must be real, it is of {array.dtype}; {COMPLEX}")
    if not xp.isdtype(array.dtype, "real floating"):
        raise TypeError(f"{name} must hold floating-point numbers, it is of {array.dtype}; take {name}.astype(float)")


def _refuse_subclass(array: np.ndarray, name: str) -> NoReturn:
    raise TypeError(f"{name} must be a plain array, got {a(type(array).__name__)}; take {plain_way(array)}")


def check_call(function: Callable[..., Any], name: str, *arguments: str, inputs: int = 0, where: str = "") -> None:
    """Require that a function can be called with the arguments and as many inputs; no call is made.

    Raises
    ------
    TypeError
        If it takes others; of one that takes more the sentence says `where` inputs are given.
    """
    count = len(arguments) + inputs
    bound = isinstance(function, MethodType)
    plainly: Any = getattr(function, "__func__", None) if bound else function
    if type(plainly) is FunctionType:  # to ask for a signature takes as long as a small f
        code, own = plainly.__code__, count + bound
        others = code.co_argcount < own and code.co_flags & inspect.CO_VARARGS
        if (code.co_argcount == own or others) and code.co_kwonlyargcount == len(plainly.__kwdefaults__ or ()):
            return
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except Exception:  # some functions in C tell none, and an object may raise anything
        return
    try:
        signature.bind(*range(count))
    except TypeError:
        given = ", ".join((*arguments, *(["*inputs"] if inputs else [])))
        how = f" with {inputs} inputs" if inputs > 1 else " with one input" if inputs else ""
        plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
        more = where and sum(each.default is inspect.Parameter.empty for each in plain) > count
        hint = f"; what else it depends on are inputs, as in {where}" if more else ""
        raise TypeError(
            f"{name} is called as {name}({given}){how}, but takes {inspect.Signature(plain)}{hint}"
        ) from None


def check_declared(batched_inputs: Sequence[bool] | None, count: int | None = None) -> None:
    """Require a declaration of which of `count` inputs have the batch axis, or none; raises TypeError, ValueError."""
    if batched_inputs is not None and not isinstance(batched_inputs, Sequence):
        raise TypeError(f"batched_inputs must be a tuple of bool, one for each input, got {batched_inputs!r}")
    if batched_inputs is None:
        return
    for each in batched_inputs:
        check_flag(each, "an entry of batched_inputs")
    if count is not None and len(batched_inputs) != count:
        raise ValueError(
            f"batched_inputs must say for each of the {count} inputs whether it has the batch axis, "
            f"it has {len(batched_inputs)} entries"
        )


def check_samples(x: Any, name: str = "x") -> None:
    """Require an array, shape (batch, ...), traced or not, or a tree of such; raises TypeError, ValueError."""
    for leaf in tree_leaves(x) or [x]:
        if not (is_array(leaf) or is_traced(leaf)):
            raise TypeError(
                f"{name} must be an array, shape (batch, ...), or a tree of such, it has {described(leaf)}; of numbers "
                f"make one by np.asarray({name}, dtype=np.float32)"
            )
        if is_odd(leaf):
            _refuse_subclass(leaf, name)
        if not leaf.ndim:
            raise ValueError(f"{name} needs a batch axis: give it the shape (1, ...) if there is one sample")


def check_one_batch(x: Tree, z: Tree) -> None:
    """Require that a model's state has as many samples as its input; raises ValueError."""
    given, held = ([int(leaf.shape[0]) for leaf in tree_leaves(tree)[:1] if leaf.shape] for tree in (x, z))
    if given != held and given and held:
        raise ValueError(
            f"x has {given[0]} samples and the state of the cell {held[0]}: axis 0 is the batch, which one sample has "
            "too, as x[None]"
        )


def check_inputs(inputs: tuple[Any, ...]) -> None:
    """Require trees of numbers and of arrays of numbers; raises TypeError."""
    for path, leaf in named_leaves(inputs):
        dtype = leaf.dtype if isinstance(leaf, np.ndarray) else None
        numbers = is_traced(leaf) or is_array(leaf) or isinstance(leaf, Number)
        if not numbers or (dtype is not None and dtype.kind not in "biufc"):
            what = described(leaf) if dtype is None else f"an array of {dtype}"
            raise TypeError(f"inputs must be numbers, arrays or trees of these, got {what} at {path!r}: take a closure")
        if dtype is None:
            refuse_followed(leaf, f"the input at {path!r}")
        if is_odd(leaf):
            _refuse_subclass(leaf, f"the input at {path!r}")


def real_numbers(given: Any, must: str) -> np.ndarray:
    """Return real numbers that a user gave, in an array or not, on the host in float64.

    Raises
    ------
    TypeError
        If the array is traced.
    ValueError
        If they are something else: truth values, text, dates, complex or masked numbers, rows of several lengths. The
        sentence begins with what they `must` be.
    """
    if is_traced(given) or (isinstance(given, list | tuple) and any(map(is_traced, given))):
        raise TypeError(f"{must}, got traced ones; {TRACED['y']}")
    for each in given if isinstance(given, list | tuple) else (given,):
        refuse_followed(each, f"{must}; what was given")
    try:
        host = np.asanyarray(to_host(given) if is_array(given) else given)
    except ValueError:  # rows of several lengths
        host = np.asanyarray(None)
    if host.dtype.kind in "iuf" and (type(host) is np.ndarray or not np.ma.is_masked(host)):
        return np.asarray(host, dtype=np.float64)
    what = f"an array of {host.dtype}" if is_array(given) and host.dtype.kind not in "iuf" else brief(given)
    seconds = "; take seconds, as in (t - t[0]) / np.timedelta64(1, 's')" if host.dtype.kind in "mM" else ""
    raise ValueError(f"{must}, got {what}{seconds}")
