"""The boundary between a user's f and what evaluates it: what f is given, and what it must return."""

from __future__ import annotations

import re
from collections.abc import Callable
from textwrap import shorten
from typing import TypeVar

import numpy as np

from equilib.arrays import Array, Tree, array_namespace, is_array, of_one_kind, tree_map
from equilib.arrays.namespaces import plain_way
from equilib.errors import NoDerivativeError
from equilib.fixed_points.followed import refuse_followed

T = TypeVar("T")

COMPLEX = "stack the real and the imaginary part along a new axis and solve for both"
"""What is to be done about complex numbers."""

TRACED = {
    "z": "solve cannot be traced: to differentiate a fixed point use equilib.fixed_point(f, z0, *inputs), "
    "and give f as an input what it finds in an object",
    "y": "integrate cannot be traced: to differentiate an integration use equilib.odeint(f, y0, t, *inputs)",
}
"""What is to be done instead of differentiating the loop, by what the state is called."""

_CALLS = {"z": "f(z)", "y": "f(t, y)"}


def read_only(tree: Tree) -> Tree:
    """Return the tree with NumPy's arrays as views that cannot be written to; other leaves are as they were."""
    return tree_map(lambda leaf: lent(leaf) if isinstance(leaf, np.ndarray) else leaf, tree)


def lent(array: Array) -> Array:
    """Return an array for somebody who must not change this one: a view, or a copy where no view is read-only."""
    if not isinstance(array, np.ndarray):
        return copied(array)
    if not array.flags.writeable:
        return array
    view = array.view()
    view.setflags(write=False)
    return view


def copied(array: Array) -> Array:
    """Return a copy, which f cannot change in its next call; a traced array is returned as it is."""
    if type(array) is np.ndarray:
        return array.copy("K")
    if hasattr(type(array), "requires_grad"):
        return array.clone()  # with its graph, of which `asarray` keeps what depends on PyTorch's version
    return array_namespace(array).asarray(array, copy=True) if is_array(array) and not is_traced(array) else array


def is_traced(value: object) -> bool:
    """Tell whether automatic differentiation follows the value, without loading it."""
    kind = type(value)  # an object may raise anything, or answer anything, where it is asked itself
    return hasattr(kind, "_trace") and hasattr(kind, "_node")


def evaluate(
    f: Callable[..., Array], z: Array, *inputs: Tree, name: str = "z", before: tuple[Array, ...] = ()
) -> Array:
    """Return f(*before, z, *inputs), which may be z itself, or an array that f will change in its next call.

    NumPy's z is handed out read-only; of other libraries, which have no such thing, it is a copy.

    Raises
    ------
    Exception
        What f raises, unchanged, with a note on what f was given.
    TypeError, ValueError
        As `checked` does.
    """
    try:
        value = f(*before, lent(z), *inputs)
    except Exception as error:
        time = "".join(f"t of shape {tuple(t.shape)} and " for t in before)
        explain(error, _CALLS[name], f"{time}{name} of shape {tuple(z.shape)} and dtype {z.dtype}")
        raise
    return checked(value, z, "f", name)


def explain(error: Exception, call: str, given: str) -> None:
    """Note on an error in a user's function how it was called, and with what, unless it has a note."""
    if not hasattr(error, "__notes__"):
        error.add_note(f"{call} was given {given}, which it must not change")
        if "read-only" in str(error):
            error.add_note("return a new array, or write into one of your own")


def evaluate_product(product: Callable[..., Array], what: str, z: Array, v: Array, *inputs: Tree) -> Array:
    """Return J·v or Jᵀ·v by a user's function, called `what`, in the dtype of z; raises what `checked` does."""
    value = product(lent(z), lent(v), *inputs)
    if is_array(value) and value.dtype != z.dtype:
        value = array_namespace(value).astype(value, z.dtype)
    return copied(checked(value, z, what))


def checked(value: Array, z: Array, what: str = "f", name: str = "z") -> Array:
    """Return the result of a user's function, called `what`: an array like z, which is called `name`.

    Raises
    ------
    TypeError
        If it is not an array of the library of z, or PyTorch's or JAX's differentiation follows it.
    ValueError
        If it does not have the shape and the dtype of z.
    """
    if isinstance(value, np.ndarray) and isinstance(z, np.ndarray):
        if type(value) is not np.ndarray and np.ma.is_masked(value):
            raise ValueError(f"{what} returned an array that is masked here and there; return {plain_way(value)}")
        value = np.asarray(value)  # of a subclass, such as np.matrix, whose operators mean something else
    else:
        refuse_followed(value, f"what {what} returned")
        if not of_one_kind(value, z):
            kinds = f"{type(z).__name__}, it returned {type(value).__name__}"
            raise TypeError(f"{what} must return what it is given, {kinds}; {_way_out(value, name)}")
    # Broadcasting would hide a wrong shape, and a wider dtype would spread through the solve.
    if value.shape != z.shape:
        raise ValueError(
            f"{what} must keep the shape of {name}: {tuple(z.shape)} became {tuple(value.shape)}; "
            f"{_CALLS[name]} is an array like {name}"
        )
    if value.dtype != z.dtype:
        raise ValueError(
            f"{what} must keep the dtype of {name}: {z.dtype} became {value.dtype}; {_remedy(value, name)}"
        )
    return value


def _way_out(value: object, name: str) -> str:
    if is_traced(value):
        return TRACED[name]
    if name == "z" and isinstance(value, tuple):
        return "what it returns beside it is for fixed_point(..., has_aux=True)"
    return "is its return statement missing?" if value is None else "make an array of it"


def _remedy(value: Array, name: str) -> str:
    xp = array_namespace(value)
    if xp.isdtype(value.dtype, "complex floating"):
        return COMPLEX
    if not xp.isdtype(value.dtype, "real floating"):
        return f"return an array of {name}.dtype"
    return f"give its inputs the dtype of {name}, NumPy's scalars among them: np.sqrt(2) is a float64"


def traced(linearize: Callable[..., T], f: Callable[..., Array], *args: Tree, instead: str = "", name: str = "f") -> T:
    """Return linearize(f, *args), where the user calls f by `name`.

    Raises
    ------
    NoDerivativeError
        If f cannot be traced; `instead` is what may be given in place of its derivative.
    """
    try:
        return linearize(f, *args)
    except NoDerivativeError:
        raise
    except (TypeError, AttributeError, ValueError) as error:  # how code fails on what is not the array it expects
        ways = f"equilib.ops or autograd.numpy{f', or give {instead}' if instead else ''}"
        raise NoDerivativeError(f"{name} cannot be traced ({_cause(error)}); write it with {ways}") from error


def _cause(error: Exception) -> str:
    """Return why a trace failed: the function of NumPy's protocol that knows no trace, else the error."""
    function = re.search(r"<ufunc '(\w+)'>", str(error))
    if function is None:
        return f"{type(error).__name__}: {shorten(str(error), 200)}".removesuffix(".")
    how = " with out=, which no derivative follows" if "out=(" in str(error) else ", which has no derivative"
    return f"it calls {function[1]}{how}"
