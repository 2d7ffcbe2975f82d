"""Devices are found, or it is said which part is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from equilib.arrays import to_host, tree_map
from equilib.machine.devices import CPU, DeviceError, find_device
from tests.arrays_under_test import lift
from tests.programs import HIDE_CUPY, environment

FIND = """
from equilib.machine.devices import DeviceError, find_device
print(find_device("auto").description)
try:
    find_device("cuda")
except DeviceError as error:
    print(error)
"""


def found_without(code: str = "", **changes: str) -> list[str]:
    """Return, in a fresh process after `code`, what "auto" is, and what keeps "cuda" from working."""
    done = subprocess.run(
        [sys.executable, "-c", code + FIND], capture_output=True, text=True, check=True, env=environment(**changes)
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture
def a_gpu_without_the_rest(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return CuPy where the driver counts one GPU; what CuPy loads from CUDA is as it really is here."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 1)
    return cupy


def test_the_cpu_needs_nothing() -> None:
    """It is there, takes arrays as they are and gives them back, whatever library they are of."""
    assert find_device("cpu") is CPU
    tree = {"a": [np.arange(3)]}
    assert CPU.put(tree) is tree
    CPU.synchronize()


def test_fetching_gives_numpy(xp: ModuleType) -> None:
    """The arrays of a tree come back as NumPy's, with the same structure and values."""
    fetched = tree_map(to_host, lift(xp, {"a": [np.arange(3)], "b": (np.ones(2, np.float32),)}))
    assert isinstance(fetched["a"][0], np.ndarray)
    np.testing.assert_array_equal(fetched["a"][0], np.arange(3))
    assert fetched["b"][0].dtype == np.float32


def test_an_unknown_device_is_refused() -> None:
    """The error suggests and lists those that there are."""
    with pytest.raises(DeviceError, match=r"no device 'cdua'. Did you mean 'cuda'\? Available: auto, cpu, cuda, torch"):
        find_device("cdua")


def test_without_cupy_the_message_installs_it() -> None:
    """No CuPy: "auto" is the CPU, and "cuda" says which package to install."""
    auto, cuda = found_without(HIDE_CUPY)
    assert auto == "cpu"
    assert cuda == (
        "--device cuda needs CuPy, which cannot be imported (No module named 'cupy'); "
        'pip install "equilib[cuda12]" (or "equilib[cuda13]"), or use --device cpu'
    )


def test_a_cupy_that_cannot_be_imported_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever keeps CuPy from being imported, "auto" does without it and "cuda" passes on the reason."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert find_device("auto") is CPU
    with pytest.raises(DeviceError, match=r"which cannot be imported \(import of cupy halted"):
        find_device("cuda")


@pytest.mark.parametrize("cupy", ["one that writes where HOME is", "the installed one"])
def test_a_home_that_cannot_be_written_costs_no_more_than_cupy(tmp_path: Path, cupy: str) -> None:
    """CuPy makes its cache as it is imported: where it cannot, "auto" does without and "cuda" passes on why."""
    if cupy == "the installed one":
        pytest.importorskip("cupy", reason="CuPy is not installed")
    else:
        source = "import os\nos.makedirs(os.path.expanduser('~/.cupy/kernel_cache'))\n"
        (tmp_path / "cupy.py").write_text(source, encoding="utf-8")
    home = tmp_path / "file"
    home.touch()
    changes = {name: str(home / "x") for name in ("HOME", "USERPROFILE", "CUPY_CACHE_DIR")}
    auto, cuda = found_without(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n", **changes)
    assert auto == "cpu"
    assert cuda.startswith("--device cuda needs CuPy, which cannot be imported (")
    assert cuda.endswith(", or use --device cpu")
    assert str(home) in cuda


def test_without_a_gpu_the_message_asks_for_its_driver() -> None:
    """CuPy and no GPU: "auto" is the CPU, and "cuda" gives the reason of the CUDA runtime."""
    pytest.importorskip("cupy", reason="CuPy is not installed")
    auto, cuda = found_without(CUDA_VISIBLE_DEVICES="")
    assert auto == "cpu"
    assert cuda.startswith("--device cuda found CuPy ")
    assert "but no usable NVIDIA GPU (cudaError" in cuda
    assert cuda.endswith("that CUDA_VISIBLE_DEVICES allows it, or use --device cpu")


def test_a_runtime_that_counts_no_gpu_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count of zero, without an error, is the same state."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    with pytest.raises(DeviceError, match=r"no usable NVIDIA GPU \(it counts none\)"):
        find_device("cuda")


def test_without_cudas_libraries_the_message_names_the_missing_one(a_gpu_without_the_rest: ModuleType) -> None:
    """A GPU and no cuBLAS: CuPy's own words name the library, and the message says how to get it."""
    try:
        import cupy.cublas  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("CUDA's libraries are installed here")
    with pytest.raises(DeviceError) as caught:
        find_device("cuda")
    assert str(caught.value).startswith(
        "--device cuda found a GPU, but CUDA's libraries are missing or incomplete (Failure finding \"libcublas"
    )
    assert 'pip install "equilib[cuda12]"' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_compiler_that_is_missing_is_a_missing_library(
    a_gpu_without_the_rest: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CuPy raises another kind of error for NVRTC than for cuBLAS; both are this state."""
    try:
        a_gpu_without_the_rest.cuda.nvrtc.getVersion()
    except RuntimeError:
        pass
    else:
        pytest.skip("NVRTC is installed here")
    monkeypatch.setitem(sys.modules, "cupy.cublas", ModuleType("cupy.cublas"))
    with pytest.raises(DeviceError, match=r"libraries are missing or incomplete \(.*nvrtc"):
        find_device("cuda")


def test_a_gpu_that_cannot_compute_says_why(
    a_gpu_without_the_rest: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries that load and a product that fails: the reason is CUDA's, and "auto" says that a GPU is idle."""
    cupy = a_gpu_without_the_rest
    if cupy.is_available():
        pytest.skip("the GPU here computes")
    monkeypatch.setitem(sys.modules, "cupy.cublas", ModuleType("cupy.cublas"))
    monkeypatch.setattr(cupy.cuda.nvrtc, "getVersion", lambda: (12, 0))
    with pytest.raises(DeviceError, match=r"but a first product failed \(cudaError"):
        find_device("cuda")
    auto = find_device("auto")
    assert auto.kind == "cpu"
    assert auto.description == "cpu, although there is a GPU: --device cuda says why"


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["cuda", "auto"])
def test_a_gpu_takes_arrays_and_gives_them_back(name: str) -> None:
    """Arrays go to the GPU and come back the same, and the description names it."""
    device = find_device(name)
    assert device.kind == "cuda"
    assert device.description.startswith("cuda: ")
    tree = {"a": [np.arange(3.0)]}
    moved = device.put(tree)
    assert type(moved["a"][0]).__module__.startswith("cupy")
    device.synchronize()
    np.testing.assert_array_equal(to_host(moved["a"][0]), tree["a"][0])
