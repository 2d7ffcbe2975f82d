"""The array libraries that tests run on, and the way from NumPy to them and back."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import array_api_strict
import numpy as np

from equilib.arrays import from_host, to_host
from equilib.arrays.trees import Tree, tree_map
from equilib.autodiff import static_value
from tests.cupy_emulator import emulated


def _gpu() -> ModuleType | None:
    """Return CuPy's namespace where it finds a device."""
    try:
        import cupy

        found: bool = cupy.is_available()
    except Exception:  # it is missing, or damaged
        return None
    if not found:
        return None
    import array_api_compat.cupy

    return array_api_compat.cupy


GPU = _gpu()
"""The real CuPy, where there is a GPU; elsewhere the emulator takes its place."""


def cupy_in_place() -> AbstractContextManager[ModuleType]:
    """Make `import cupy` give what can compute here, and return its array namespace."""
    return emulated() if GPU is None else nullcontext(GPU)


with cupy_in_place() as _cupy:
    NAMESPACES: dict[str, ModuleType] = {"numpy": np, "array-api-strict": array_api_strict, "cupy": _cupy}


OTHERS = tuple(name for name in NAMESPACES if name != "numpy")
"""The libraries whose answers are compared with NumPy's."""


def lift(xp: ModuleType, tree: Tree, dtype: str | None = None) -> Tree:
    """Copy the NumPy arrays of `tree` to the library `xp`, floating ones as `dtype` if it is given."""

    def one(host: np.ndarray) -> Any:
        if dtype is not None and np.issubdtype(host.dtype, np.floating):
            host = host.astype(dtype)
        return xp.asarray(host.copy())

    return tree_map(one, tree)


def lower(tree: Tree) -> Tree:
    """Copy the arrays of `tree`, traced or not, to NumPy."""
    return tree_map(lambda leaf: np.asarray(to_host(static_value(leaf))), tree)


def constant_like(host: np.ndarray, like: Any) -> Any:
    """Copy a NumPy array to the library of `like`, which may be traced, and if floating to its dtype."""
    value = static_value(like)
    return from_host(host.astype(lower(value).dtype) if host.dtype.kind == "f" else host, value)


def distance(actual: Any, expected: Any) -> float:
    """Return ‖actual − expected‖ / (1 + ‖expected‖)."""
    actual, expected = np.asarray(lower(actual)), np.asarray(lower(expected))
    assert actual.shape == expected.shape, f"shapes {actual.shape} and {expected.shape} differ"
    return float(np.linalg.norm(actual - expected) / (1 + np.linalg.norm(expected)))
