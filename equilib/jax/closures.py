"""Closures of a map, taken apart: the arrays that it depends on, and a key that tells what remains.

Two functions made by the same line of code are the same map of what they close over. So a lambda that is made anew in
each step of a loop is compiled once, and what it closes over is differentiated like an input.

What is kept for later is made of copies: a map that is compiled once more, for another shape or a derivative, must not
find what its first caller's objects have become.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import jax

from equilib.errors import UserError
from equilib.jax.classes import is_its_attributes, package
from equilib.jax.constants import Same
from equilib.jax.modules import LIBRARIES
from equilib.jax.parts import Given, Parts
from equilib.jax.splitter import Splitter


@dataclass(frozen=True)
class Closure:
    """A value taken apart: what it is but for the arrays in it, the arrays, and what makes it of others."""

    key: Any
    arrays: tuple[Any, ...]
    rebuild: Callable[[Iterator[Any]], Any]


def taken_apart(value: Any, *, keep: bool = False) -> Closure:
    """Take apart a function with what it closes over, or a tree such as a module of Equinox or Flax.

    Followed are cells, defaults, bound arguments, attributes of objects and of their classes, what is in containers,
    and globals, which the code mentions, of modules that are not installed. JAX's arrays in them are arrays; those of
    NumPy, and all else, are constants, known by what is in them, and so are arrays that methods of objects find in
    their modules. `rebuild` takes the arrays. To `keep` the parts, NumPy's arrays are copied: the user's may change in
    place.

    Raises
    ------
    UserError
        If objects are within each other deeper than Python's recursion goes.
    """
    if isinstance(value, jax.Array):
        return Closure("array", (value,), next)
    call = type(value).__call__ if callable(value) else None
    if isinstance(call, FunctionType) and package(call) not in LIBRARIES and is_its_attributes(value):
        value = MethodType(call, value)  # whose globals are looked at
    mentioned: set[str] = set()
    while True:
        splitter = Splitter(mentioned, keep=keep)
        try:
            parts = splitter.split(value)
        except RecursionError:
            raise UserError(_too_deep(splitter.within)) from None
        if splitter.is_done():
            return _whole(parts, splitter)
        mentioned = splitter.mentioned


def _whole(parts: Parts, splitter: Splitter) -> Closure:
    """Return the parts as they are made of arrays, where what live methods read as well keeps its identity."""
    shared = splitter.shared()
    kept, rebuild = frozenset(shared), parts.rebuild
    key = (parts.key, *((number, Same(each)) for number, each in shared.items())) if shared else parts.key
    return Closure(key, parts.arrays, lambda arrays: rebuild(Given(arrays, kept)))


def _too_deep(within: list[Any]) -> str:
    """Return the sentence on values that are within each other."""
    last = type(within[-1]).__name__ if within else "function"
    return (
        f"f closes over values that are within each other {len(within)} deep, the last of them of the type {last}, and "
        "each is followed, which Python's recursion limit ends; give what f needs of them as inputs, hold them in one "
        "list, or raise sys.setrecursionlimit"
    )
