"""The kernels in CUDA C: by their NumPy twins on the emulated CuPy, and their very sources run on the CPU."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import equilib_cuda
from equilib.testing import Check, kernel_checks
from equilib_cuda import elementwise
from equilib_cuda.family import Cuda
from tests.cuda_kernels import host
from tests.cupy_emulator import emulated
from tests.cupy_emulator.kernels import executing

NVCC = shutil.which("nvcc")
CHECKS = kernel_checks(Cuda())
OF_CODE = ("computes_the_formula", "takes_views", "keeps_nan_and_inf_in_place")
"""Laws that the text of a kernel could break, not only its launch."""


@pytest.fixture
def _emulated() -> Iterator[None]:
    """Put the emulator in CuPy's place."""
    with emulated():
        yield


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.usefixtures("_emulated")
def test_a_twin_keeps_a_law(check: Check) -> None:
    """What `equilib check cuda` asks of a family: formulas, views, nan, derivatives, threads."""
    check()


@pytest.mark.skipif(host.COMPILER is None, reason="there is no g++ to compile CUDA C for the CPU with")
@pytest.mark.parametrize("backwards", [False, pytest.param(True, marks=pytest.mark.cupy)])
@pytest.mark.parametrize("check", [each for each in CHECKS if each.name in OF_CODE], ids=lambda check: check.name)
@pytest.mark.usefixtures("_emulated")
def test_a_source_keeps_a_law(check: Check, backwards: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CUDA would compile, run on the CPU, computes the formula, in whatever order its threads take turns."""
    from equilib_cuda import launches

    for name in ("ROW", "THREADS"):  # fewer threads, which take more numbers each
        monkeypatch.setattr(launches, name, 32)
    with executing(partial(host.run, backwards=backwards)):
        check()


@pytest.mark.skipif(host.COMPILER is None, reason="there is no g++ to compile CUDA C for the CPU with")
@pytest.mark.parametrize(("dtype", "farthest"), [("float32", 80.0), ("float64", 700.0)])
def test_the_sigmoid_is_exact_where_it_vanishes(dtype: str, farthest: float) -> None:
    """Near 0 it is as exact, relative to itself, as elsewhere."""
    x = np.linspace(-farthest, farthest, 1001).astype(dtype)
    with emulated() as cupy, executing(partial(host.run, backwards=False)):
        found = cupy.asnumpy(elementwise.sigmoid(cupy.asarray(x)))
    np.testing.assert_allclose(found, special.expit(x.astype(np.float64)), rtol=20 * float(np.finfo(dtype).eps))


@pytest.mark.cupy
@pytest.mark.skipif(NVCC is None, reason="there is no nvcc")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nvcc_takes_the_sources(dtype: str, tmp_path: Path) -> None:
    """Each compiles for the H200 without a warning, and needs no memory for what are meant to be registers."""
    code = Path(equilib_cuda.__file__).parent / "code"
    files = ["common.cuh", *sorted(path.name for path in code.glob("*.cu"))]
    real = "float" if dtype == "float32" else "double"
    (tmp_path / "all.cu").write_text(
        "\n".join((f"#define REAL {real}", *((code / each).read_text() for each in files)))
    )
    command = [NVCC, "-arch=sm_90", "-cubin", "-Werror", "all-warnings", "-Xptxas", "-v", "all.cu"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    spilled = [line for line in found.stderr.splitlines() if "stack frame" in line and "0 bytes stack" not in line]
    assert not spilled, found.stderr
