"""CuPy's namespaces over the emulated array: the names of `api.json`, with the arguments that it names.

A name that CuPy has and the emulator does not know raises NotImplementedError when it is called; one that CuPy does not
have is an AttributeError, as it would be with CuPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cupy_emulator import making, products
from tests.cupy_emulator.array import ndarray, wrap
from tests.cupy_emulator.crossing import checked, from_numpy, host_of, unknown
from tests.cupy_emulator.ufuncs import ufunc

Namespace = dict[str, Any]

VIEWS = (
    "transpose permute_dims swapaxes moveaxis rollaxis expand_dims squeeze broadcast_to flip fliplr flipud rot90 "
    "diagonal atleast_1d atleast_2d atleast_3d real"
).split()
REDUCTIONS = (
    "sum prod mean max amax min amin any all argmax argmin std var count_nonzero cumsum cumprod ptp nansum "
    "nanmax nanmin"
).split()
OTHERS = (
    "clip around round round_ diag tril triu trace repeat tile pad roll array_equal allclose isclose nan_to_num "
    "searchsorted sort argsort nonzero flatnonzero outer inner vdot kron cross diff hstack vstack dstack trapezoid "
    "meshgrid split array_split"
).split()
OF_DTYPES = "result_type can_cast promote_types min_scalar_type".split()
OF_SHAPES = "shape ndim size".split()
PLAIN = "issubdtype isdtype finfo iinfo dtype broadcast_shapes".split()
LINALG = (
    "solve inv pinv svd qr eigh eigvalsh cholesky det slogdet norm lstsq matrix_rank tensorinv tensorsolve matrix_power"
).split()

OWN: Namespace = {
    "array": making.array,
    "asarray": making.asarray,
    "asanyarray": making.asarray,
    "ascontiguousarray": making.ascontiguousarray,
    "asnumpy": making.asnumpy,
    "empty": making.empty,
    "full": making.full,
    "zeros": making.zeros,
    "ones": making.ones,
    "empty_like": making.like(making.empty),
    "full_like": making.like(making.full),
    "zeros_like": making.like(making.zeros),
    "ones_like": making.like(making.ones),
    "eye": making.filled("eye", 2),
    "identity": making.filled("identity", 2),
    "linspace": making.filled("linspace", 1),
    "arange": making.arange,
    "reshape": making.reshape,
    "ravel": making.ravel,
    "broadcast_arrays": making.broadcast_arrays,
    "astype": making.astype,
    "where": making.where,
    "take": making.take,
    "concatenate": making.concatenate,
    "stack": making.stack,
    "copy": making.copy,
    "matmul": products.matmul,
    "dot": products.contraction("dot"),
    "tensordot": products.contraction("tensordot"),
    "einsum": products.contraction("einsum"),
    "may_share_memory": lambda a, b: np.may_share_memory(a._host, b._host),
    "shares_memory": lambda a, b: np.shares_memory(a._host, b._host),
    "get_array_module": lambda *args: __import__("cupy"),
    "is_available": lambda: True,
    "lexsort": unknown("lexsort"),
}


def fill_namespace(api: dict[str, Any], own: Namespace) -> Namespace:
    """Return everything that CuPy's main module has, by name."""
    found: Namespace = {}
    for name, entry in api.items():
        kind = entry["kind"]
        if kind == "ufunc":
            found[name] = ufunc(name, entry["nin"], entry["nout"])
        elif name in own:
            found[name] = checked(name, entry.get("parameters"), own[name])
        elif name in OF_DTYPES:
            found[name] = _of_dtypes(getattr(np, name))
        elif name in OF_SHAPES:
            found[name] = _of_hosts(getattr(np, name))
        elif name in PLAIN or kind == "value":
            found[name] = getattr(np, name, None)
        elif kind == "class":  # the types of elements are NumPy's own
            found[name] = getattr(np, name) if hasattr(np, name) else unknown(f"cupy.{name}")
        elif kind == "function":
            found[name] = checked(name, entry.get("parameters"), _function(name))
    return found


def _function(name: str) -> Callable[..., Any]:
    if name in VIEWS:
        return from_numpy(name, getattr(np, name), kernels=None)
    if name in REDUCTIONS or name in OTHERS:
        return from_numpy(name, getattr(np, name, unknown(name)))
    return unknown(f"cupy.{name}")


def _of_dtypes(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: function(*(a.dtype if isinstance(a, ndarray) else a for a in args), **kwargs)


def _of_hosts(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: function(*map(host_of, args), **kwargs)


def linalg_namespace(api: dict[str, Any]) -> Namespace:
    """Return what `cupy.linalg` has."""
    made: Namespace = {}
    for name, entry in api.items():
        if name == "LinAlgError":
            made[name] = np.linalg.LinAlgError
        elif entry["kind"] == "function":
            known = getattr(np.linalg, name, None) if name in LINALG else None
            made[name] = checked(
                name,
                entry.get("parameters"),
                from_numpy(f"linalg.{name}", known, kernels=3) if known else unknown(f"cupy.linalg.{name}"),
            )
    return made


def give_methods(api: dict[str, Any], namespace: Namespace) -> None:
    """Give the array the methods that CuPy's has: those of the functions of the same name."""
    names = {"conj": "conjugate", "round": "around"}

    def method(name: str, entry: dict[str, Any]) -> Callable[..., Any]:
        function = namespace.get(names.get(name, name), unknown(f"cupy.ndarray.{name}"))
        call = checked(name, entry.get("parameters"), lambda *args, **kwargs: None)

        def apply(self: ndarray, *args: Any, **kwargs: Any) -> Any:
            call(*args, **kwargs)
            return function(self, *args, **kwargs)

        return apply

    own = {
        "reshape": lambda self, *shape, order="C", copy=None: making.reshape(
            self, shape[0] if len(shape) == 1 else shape, order
        ),
        "transpose": lambda self, *axes: wrap(self._host.transpose(*axes)),
        "astype": lambda self, dtype, order="K", casting=None, subok=None, copy=True: making.astype(
            self, dtype, copy=copy, order=order
        ),
        "view": lambda self, dtype=None, type=None: wrap(self._host.view(*(() if dtype is None else (dtype,)))),
        "flatten": lambda self, order="C": making.ravel(making.copy(self), order),
        "fill": lambda self, value: self.__setitem__(..., value),
        "copy": lambda self, order="C": making.copy(self, order),
    }
    for name, entry in api.items():
        if name in own:
            setattr(ndarray, name, own[name])
        elif entry["kind"] == "function" and not name.startswith("_") and not hasattr(ndarray, name):
            setattr(ndarray, name, method(name, entry))
