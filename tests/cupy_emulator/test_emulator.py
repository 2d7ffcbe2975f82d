from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np
import pytest

from tests.arrays_under_test import GPU, NAMESPACES
from tests.cupy_emulator import emulated, metered, twin
from tests.cupy_emulator.expressions import EXPRESSIONS, arrays, outcome

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TRUTH = json.loads((HERE / "truth.json").read_text())["expressions"]

COSTS_DIFFER = {
    "cp.linalg.solve(cp.eye(3)[None, ...] * 2, cp.ones((1, 3, 1)))": "an LU factorization is some kernels",
    "np.linalg.norm(a)": "a norm is one to three kernels",
    "cp.linalg.norm(a, axis=1)": "a norm is one to three kernels",
    "a[np.array([True, False])]": "masks are found by prefix sums",
    "a[cp.array([True, False])]": "masks are found by prefix sums",
    "assigned(cp, a, a > 2, 1.0)": "masks are found by prefix sums",
    "cp.cumsum(a, axis=1)": "a scan is some kernels",
    "np.where(a > 0, a, 0)": "NumPy asks for types first",
    "cp.nan_to_num(a)": "three kernels",
}
"""Where it counts in another way than CuPy does."""


@pytest.fixture
def cupy() -> Iterator[Any]:
    """Return the emulated module."""
    with emulated():
        import cupy

        yield cupy


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_it_does_what_cupy_does(text: str, cupy: Any) -> None:
    """Kinds, types, shapes, numbers and kinds of errors are those of the real CuPy."""
    expected = {key: value for key, value in TRUTH[text].items() if key != "costs"}
    assert outcome(cupy, text) == expected


@pytest.mark.parametrize("text", [text for text in EXPRESSIONS if "costs" in TRUTH[text] and text not in COSTS_DIFFER])
def test_it_counts_what_cupy_launches(text: str, cupy: Any) -> None:
    """Kernels, products, uploads and waits are those that the real CuPy asked of a CUDA that counted."""
    given = arrays(cupy)
    with metered() as meter:
        EXPRESSIONS[text](**given)
    found = {
        "kernels": meter.launches.total(),
        "products": meter.products.total(),
        "uploads": meter.uploads,
        "waits": meter.downloads,
    }
    assert found == TRUTH[text]["costs"]


def test_the_manifest_is_that_of_the_installed_cupy() -> None:
    """`api.json` names what the CuPy that is installed has, where one is."""
    check = subprocess.run(
        [sys.executable, "-P", str(HERE / "record_api.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if "No module named 'cupy'" in check.stderr:
        pytest.skip("CuPy is not installed")
    assert check.returncode == 0, check.stdout + check.stderr


def test_what_is_not_written_is_not_a_number(cupy: Any) -> None:
    """Reading an array before it is written gives nan, not what was there."""
    assert np.isnan(cupy.empty((2, 2)).get()).all()
    assert cupy.empty(2, "i8").get().min() > 1e18


def test_it_is_stricter_where_cupy_is_silent(cupy: Any) -> None:
    """Indices out of bounds and repeated ones in an assignment raise: CuPy wraps, and stores any of the values."""
    a = cupy.zeros((2, 3))
    with pytest.raises(IndexError):
        cupy.take(a, cupy.asarray([7]), axis=0)
    with pytest.raises(IndexError, match="twice"):
        a[[0, 0]] = 1.0


def test_a_kernel_of_ours_runs_its_twin(cupy: Any) -> None:
    """A kernel computes what its twin does; one without says that it has none."""
    kernel = cupy.ElementwiseKernel("T x, T y", "T z", "z = x * y + 1", "emulator_test_fma")
    a = cupy.ones(3, "f")
    with pytest.raises(NotImplementedError, match="twin"):
        kernel(a, a)
    twin("emulator_test_fma")(lambda x, y: x * y + 1)
    with metered() as meter:
        assert kernel(a, a).get().tolist() == [2.0, 2.0, 2.0]
    assert meter.launches["emulator_test_fma"] == 1


def test_the_other_operand_may_decide(cupy: Any) -> None:
    """An operand that opts out of NumPy's protocol, as traced arrays do, gets the operator."""

    class Traced:
        __array_ufunc__ = None
        __radd__ = lambda self, other: "ours"

    assert cupy.zeros(2) + Traced() == "ours"


def test_its_array_namespace_is_made_by_array_api_compat(cupy: Any) -> None:
    """What array-api-compat takes over from CuPy is there, submodules as well, and recognised as CuPy's."""
    xp = array_api_compat.array_namespace(cupy.zeros(2))
    assert xp is NAMESPACES["cupy"] or GPU is not None
    assert xp.lib.stride_tricks.as_strided is cupy.lib.stride_tricks.as_strided
    assert array_api_compat.is_cupy_namespace(xp)
