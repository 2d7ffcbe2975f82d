"""Kinds of objects by their methods, and the sentences that refuse another."""

from __future__ import annotations

from numbers import Real
from typing import Any

from equilib.arrays import is_array
from equilib.errors import a, brief

KNOWN_BY = {
    "solver": ("init step -inject", "run"),
    "linear solver": ("solve",),
    "integrator": ("attempt", "stepper"),
    "sensitivity": ("needs pullback",),
    "cell": ("init inject step",),
    "layer": ("init __call__",),
    "layer or cell": ("init",),
    "layer or function": ("__call__",),
    "vector field": ("init __call__",),
    "initial guess": ("init __call__ nfe",),
    "function": ("__call__",),
    "map of z": ("__call__ -derivatives",),
    "map of t and y": ("__call__ -derivatives",),
    "random generator": ("standard_normal",),
    "generator of NumPy": ("permutation bit_generator",),
    "optimizer": ("init update",),
    "model": ("__call__",),
    "objective": ("loss score",),
    "reporter": ("line event batch",),
}
"""For each kind of argument the methods by which it is known: all of one entry, without those after a minus."""

_HINTS = {
    "solver": "; give its name or the object, such as equilib.Picard(), or of an integrator SteadyState(integrator)",
    "integrator": "; give its name or the object, such as equilib_ode.tsit5.Tsit5()",
    "sensitivity": "; give its name or the object, as equilib.ImplicitAdjoint() or, of an ODE, ode.adjoints.Gauss()",
    "optimizer": '; give its name, as in "adamw:weight_decay=0.1", or the object',
    "objective": "; make one, as equilib.training.objectives.Regression()",
    "generator of NumPy": "; make one, as np.random.default_rng(0)",
    "vector field": "; of a layer make Autonomous(layer)",
    "initial guess": "; of a layer make LayerGuess(layer)",
    "layer": "; of a function make Chain(function)",
    "layer or cell": "; of a function make Chain(function)",
    "random generator": "; make one, as np.random.default_rng(0)",
}


def is_of_kind(value: object, kind: str) -> bool:
    """Tell whether an object has the methods of a kind; any has those of a kind that `KNOWN_BY` does not list."""
    has = lambda name: _has(value, name.lstrip("-")) is not name.startswith("-")  # noqa: E731
    return kind not in KNOWN_BY or any(all(map(has, methods.split())) for methods in KNOWN_BY[kind])


def _has(value: object, name: str) -> bool:
    try:
        return hasattr(value, name)
    except Exception:  # whatever the object raises
        return False


def is_number(value: object, kind: type) -> bool:
    """Tell whether a value is a number of an abstract `kind` of Python's, and no truth value."""
    return isinstance(value, kind) and not isinstance(value, bool)


def check_interval(owner: object, name: str, interval: str) -> None:
    """Require that an attribute is a number in an interval, such as "[0, 1)" or "(0, inf)".

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is outside.
    """
    value: Any = getattr(owner, name)
    number = is_number(value, Real)
    low, high = map(float, interval[1:-1].split(","))
    above = number and (value > low or (value == low and interval[0] == "["))
    if not (above and (value < high or (value == high and interval[-1] == "]"))):
        sentence = f"{name} of {type(owner).__name__} must be a number in {interval}, got {brief(value)}"
        raise ValueError(sentence) if number else TypeError(sentence)


def check_kind(value: Any, name: str, kind: str) -> None:
    """Require an object of a kind of `KNOWN_BY`.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if isinstance(value, type):
        raise TypeError(f"{name} must be {a(kind)}, not a class; write {value.__name__}(...)")
    if not is_of_kind(value, kind):
        raise TypeError(f"{name} must be {a(kind)}, got {described(value)}{_HINTS.get(kind, '')}")


def check_type(value: object, name: str, kind: type, hint: str = "") -> None:
    """Require an instance of a class.

    Raises
    ------
    TypeError
        If it is something else; `hint` ends the sentence.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {a(kind.__name__)}, got {described(value)}{hint}")


def check_flag(value: object, name: str) -> None:
    """Require True or False; raises TypeError."""
    if type(value).__name__ not in ("bool", "bool_"):  # NumPy's as well
        raise TypeError(f"{name} must be True or False, got {described(value)}")


def check_params(params: Any, *parts: str) -> None:
    """Require parameters that are a dict of parts; raises TypeError."""
    if not isinstance(params, dict) or not all(part in params for part in parts):
        found = f"one of {', '.join(map(repr, params))}" if isinstance(params, dict) and params else described(params)
        dict_of = f"a dict of {', '.join(map(repr, parts))}"
        raise TypeError(f"params must be what init returns, {dict_of}, got {found}; they come before x")


def described(value: Any) -> str:
    """Return what a value is, in a few words."""
    if value is None or isinstance(value, str):
        return brief(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"an array of shape {tuple(value.shape)}" if is_array(value) else a(type(value).__name__)
