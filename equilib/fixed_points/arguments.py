"""Arguments of a solve, of an integration and of a model, checked: each refusal names one and says what it must be."""

from __future__ import annotations

from typing import Any

import numpy as np

from equilib.arrays import Array, array_namespace, is_array
from equilib.errors import a
from equilib.fixed_points.boundary import COMPLEX, TRACED, is_traced

KNOWN_BY = {
    "solver": ("init step -inject", "run"),
    "integrator": ("attempt", "stepper"),
    "sensitivity": ("needs pullback",),
    "cell": ("init inject step",),
    "initial guess": ("init __call__",),
    "function": ("__call__",),
    "map of z": ("__call__ -derivatives",),
    "map of t and y": ("__call__ -derivatives",),
    "random generator": ("standard_normal",),
}
"""For each kind of argument the methods by which it is known: all of one entry, without those after a minus."""

_HINTS = {
    "solver": "; give the object, such as equilib.Picard(), or of an integrator SteadyState(integrator)",
    "integrator": "; give the object, such as equilib_ode.tsit5.Tsit5()",
    "sensitivity": "; give the object, such as equilib.ImplicitAdjoint()",
}


def check_kind(value: Any, name: str, kind: str) -> None:
    """Require an object of a kind of `KNOWN_BY`.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if isinstance(value, type):
        raise TypeError(f"{name} must be {a(kind)}, not a class; write {value.__name__}(...)")
    has = lambda name: hasattr(value, name.lstrip("-")) is not name.startswith("-")  # noqa: E731
    if not any(all(map(has, methods.split())) for methods in KNOWN_BY[kind]):
        raise TypeError(f"{name} must be {a(kind)}, got {_described(value)}{_HINTS.get(kind, '')}")


def check_type(value: object, name: str, kind: type, hint: str = "") -> None:
    """Require an instance of a class.

    Raises
    ------
    TypeError
        If it is something else; `hint` ends the sentence.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {a(kind.__name__)}, got {_described(value)}{hint}")


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
    if not is_array(array):
        raise TypeError(f"{name} must be an array, such as np.zeros((batch, features)), got {_described(array)}")
    if isinstance(array, np.ndarray) and not isinstance(array, np.memmap) and type(array) is not np.ndarray:
        raise TypeError(f"{name} must be a plain array, got {a(type(array).__name__)}; take np.asarray({name})")
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        raise TypeError(
            f"{name} must be in native byte order, it is of {array.dtype.str}; "
            f"take {name}.astype({name}.dtype.newbyteorder('='))"
        )
    xp = array_namespace(array)
    if xp.isdtype(array.dtype, "complex floating"):
        raise TypeError(f"{name} must be real, it is of {array.dtype}; {COMPLEX}")
    if not xp.isdtype(array.dtype, "real floating"):
        raise TypeError(f"{name} must hold floating-point numbers, it is of {array.dtype}; convert it")


def _described(value: Any) -> str:
    if value is None or isinstance(value, str):
        return repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"an array of shape {tuple(value.shape)}" if is_array(value) else a(type(value).__name__)
