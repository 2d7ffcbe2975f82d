"""Fixtures shared by all tests, and what happens to GPU tests where there is no GPU."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.arrays_under_test import NAMESPACES

# Each test says for itself whether a broken plugin is isolated or raised.
os.environ.pop("EQUILIB_STRICT_PLUGINS", None)


def _make_importable(package: str) -> None:
    """Make a folder importable; the checkout itself stays off the path: equilib is the installed one."""
    folder = Path(__file__).parents[1] / package
    spec = importlib.util.spec_from_file_location(
        package, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    spec.loader.exec_module(module)


_make_importable("benchmarks")


@pytest.fixture(params=NAMESPACES)
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """Return each array namespace that needs no hardware; the strict one refuses all that is not in the standard."""
    return NAMESPACES[request.param]


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator of the same random numbers in every run."""
    return np.random.default_rng(20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where there is none, and say why."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    reason = _why_no_gpu() if on_gpu else None
    if reason is not None:
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason=reason))


def _why_no_gpu() -> str | None:
    if importlib.util.find_spec("cupy") is None:
        return "GPU tests: CuPy is not installed"
    import cupy

    return None if cupy.is_available() else "GPU tests: CuPy finds no CUDA device"
