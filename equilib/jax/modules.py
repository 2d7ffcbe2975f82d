"""Modules whose globals may change between two solves: a user's own, not those that are installed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import PurePath
from types import CodeType
from typing import Any

LIBRARIES = ("equinox", "flax", "jax", "jaxlib", "jaxtyping", "optax", "torch")
"""Packages whose functions and objects depend on no array of a user's."""

FUNCTIONS = ("numpy", "scipy")
"""Packages whose functions do not, while their objects may be changed in place."""

COMPUTED = {"getattr", "attrgetter", "methodcaller", "vars", "dir", "getattr_static", "__getattribute__", "__dict__"}
"""What finds attributes by names that are computed."""

_LONG = 200
"""Characters of a text that is no name."""

_INSTALLED = {"site-packages", "dist-packages"}


def is_own(scope: Mapping[str, Any], root: str) -> bool:
    """Tell whether globals are those of a user's module: of the package `root`, or of no library."""
    name, file = scope.get("__name__"), scope.get("__file__")
    return _is_own(str(name), file if isinstance(file, str) else "", root)


def is_own_class(scope: Mapping[str, Any], root: str) -> bool:
    """Tell whether a class, known by what it holds, is of such a module."""
    name = str(scope.get("__module__"))
    return is_own(getattr(sys.modules.get(name), "__dict__", {"__name__": name}), root)


@lru_cache(maxsize=4096)
def _is_own(name: str, file: str, root: str) -> bool:
    package = name.partition(".")[0]
    if package in (*LIBRARIES, *FUNCTIONS, "equilib") or package in sys.stdlib_module_names:
        return False
    return package == root or not _INSTALLED.intersection(PurePath(file).parts)


@lru_cache(maxsize=4096)
def names_in(code: CodeType) -> tuple[str, ...]:
    """Return the names that the code, and functions within it, mention, as text too: getattr(config, "gain")."""
    inner = (names_in(each) for each in code.co_consts if isinstance(each, CodeType))
    spelled = (name for each in code.co_consts if isinstance(each, str) for name in spelled_in(each))
    return tuple(sorted(set(code.co_names).union(spelled, *inner)))


def imported_in(names: Iterable[str], scope: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the modules that code may import by one of its names: from anywhere, or from packages that it is in."""
    outer = [""]
    package = scope.get("__package__")
    while isinstance(package, str) and package:
        outer.append(f"{package}.")
        package = package.rpartition(".")[0]
    places = ((name, before + name) for name in names if name not in scope for before in outer)
    return [(name, sys.modules[place]) for name, place in places if place in sys.modules]


def spelled_in(text: str) -> list[str]:
    """Return the names of attributes that a text may stand for: "gain", "layer.gain"."""
    names = text.split(".") if len(text) <= _LONG else []
    return names if all(map(str.isidentifier, names)) else []
