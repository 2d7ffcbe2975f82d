"""What all tests share: fixtures, threads, names, and what happens to GPU tests where there is no GPU."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

import numpy as np
import pytest

from tests.arrays_under_test import GPU, NAMESPACES, cupy_in_place

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
    """Return each array namespace; the strict one refuses all that is not in the standard."""
    return NAMESPACES[request.param]


@pytest.fixture(autouse=True)
def _cupy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put the emulator in the place of CuPy for tests on its arrays, where there is no GPU."""
    with cupy_in_place() if request.node.get_closest_marker("cupy") else nullcontext():
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator of the same random numbers in every run."""
    return np.random.default_rng(20)


LONG = ("kit", "all_solvers", "truth", "third_party", "scipy_bridge", "benchmarks", "architecture")
"""Files that take long: begun first, since the last one leaves the other workers without work."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where there is none, and say why; refuse names that no other process has."""
    addresses = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if addresses:
        raise pytest.UsageError(f"give it `ids=named` of tests/names.py, or workers disagree: {addresses[0]}")
    _choose_those_on_cupy(config, items)
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    reason = _why_no_gpu() if on_gpu else None
    if reason is not None:
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason=reason))


LATER = (
    "laws", "compaction", "unrolled", "stiff", "implicit", "broyden", "integrate", "gmres", "combinations",
    "runge_kutta", "fixed_steps", "vcab3", "vcabm", "implicit_by_name", "tolerances", "neumann", "multiscale",
    "every_array_library_gives_the_same_answer", "every_array_library_gives_the_same_answers",
)  # fmt: skip
"""Files and tests that take long on the emulated CuPy: run by `tox -e emulator`, and on a GPU."""


def _choose_those_on_cupy(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that take CuPy's arrays; without a GPU leave out what takes long, unless `-m` asks for it."""
    left = []
    for item in filter(_is_function, items):
        given = getattr(item, "callspec", None)
        if given is not None and any(each in ("cupy", NAMESPACES["cupy"]) for each in _plain(given.params.values())):
            item.add_marker("cupy")
            names = (item.path.stem, item.originalname)
            chosen = not any(name.removeprefix("test_") in LATER for name in names)
        else:
            chosen = not item.get_closest_marker("cupy")
        if not chosen and GPU is None:
            left.append(item)
    if left and "cupy" not in config.option.markexpr:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


def _is_function(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function)


def _plain(values: Iterable[object]) -> list[object]:
    """Return those that are names or modules."""
    return [value for value in values if isinstance(value, str | ModuleType)]


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
