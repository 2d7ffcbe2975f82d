"""What all tests share: fixtures, threads, names, and what happens to GPU tests where there is no GPU."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Generator
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


LONG = ("kit", "all_solvers", "truth", "third_party", "scipy_bridge", "benchmarks", "architecture")
"""Files that take long: begun first, since the last one leaves the other workers without work."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where there is none, and say why; refuse names that no other process has."""
    addresses = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if addresses:
        raise pytest.UsageError(f"give it `ids=named` of tests/names.py, or workers disagree: {addresses[0]}")
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    reason = _why_no_gpu() if on_gpu else None
    if reason is not None:
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason=reason))


MEASURED: set[str] = set()
"""Tests whose coverage is known, without their cases."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Take the coverage of the first case of each test, which costs a fifth of that of all."""
    name, trace = item.nodeid.partition("[")[0], sys.gettrace()
    again = name in MEASURED and type(trace).__module__.startswith("coverage")
    MEASURED.add(name)
    if not again:
        return (yield)
    # The marker `no_cover` of pytest-cov 7.1 is without effect in the workers of pytest-xdist.
    in_threads = threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(trace)
        threading.settrace(in_threads)


def _why_no_gpu() -> str | None:
    if importlib.util.find_spec("cupy") is None:
        return "GPU tests: CuPy is not installed"
    import cupy

    return None if cupy.is_available() else "GPU tests: CuPy finds no CUDA device"
