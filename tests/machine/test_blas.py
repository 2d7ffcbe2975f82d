from __future__ import annotations

import os
import subprocess
import sys

import pytest

from equilib.machine.blas import (
    CHOSEN,
    CORETYPE,
    Blas,
    advised_kernel,
    better_kernel,
    cpu_flags,
    numpy_blas,
    scipy_blas,
)

NEHALEM = {"sse", "sse2", "ssse3", "sse4_1", "sse4_2", "popcnt"}
SANDYBRIDGE = NEHALEM | {"avx", "aes", "xsave"}
PILEDRIVER = SANDYBRIDGE | {"fma", "f16c", "fma4", "xop"}
HASWELL = SANDYBRIDGE | {"fma", "f16c", "bmi1", "bmi2", "avx2"}
KNIGHTS_LANDING = HASWELL | {"avx512f", "avx512cd", "avx512er", "avx512pf"}
SKYLAKE_SERVER = HASWELL | {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
SAPPHIRE_RAPIDS = SKYLAKE_SERVER | {"avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"}
ZEN4 = SKYLAKE_SERVER | {"avx512_bf16", "avx512_vnni", "sse4a"}
NEOVERSE = {"fp", "asimd", "sve", "bf16"}


@pytest.mark.parametrize(
    ("cpu", "flags", "chosen", "better"),
    [
        ("Xeon Platinum 8375C", SKYLAKE_SERVER, "SkylakeX", None),
        ("Xeon, its model hidden by a hypervisor", SAPPHIRE_RAPIDS, "Haswell", "SkylakeX"),
        ("Xeon Platinum 8488C", SAPPHIRE_RAPIDS, "SapphireRapids", None),
        ("Xeon Platinum 8488C without AMX", SAPPHIRE_RAPIDS, "Cooperlake", None),
        ("Core i3-8121U, which OpenBLAS takes for a Haswell", SKYLAKE_SERVER, "Haswell", "SkylakeX"),
        ("Xeon Phi 7210", KNIGHTS_LANDING, "Haswell", None),
        ("Core i7-4770", HASWELL, "Haswell", None),
        ("Core i7-4770 that calls itself something else", HASWELL, "Nehalem", "Haswell"),
        ("Core i7-12700", HASWELL | {"avx_vnni"}, "Haswell", None),
        ("EPYC 7763", HASWELL | {"sse4a"}, "Zen", None),
        ("EPYC 9654", ZEN4, "Cooperlake", None),
        ("EPYC 9654 with Zen kernels, which are as fast there", ZEN4, "Zen", None),
        ("EPYC 9755 before OpenBLAS knew it, in a wheel", ZEN4, "Katmai", "SkylakeX"),
        ("FX-8350", PILEDRIVER, "Piledriver", None),
        ("Xeon E5-2670", SANDYBRIDGE, "Sandybridge", None),
        ("QEMU's kvm64", {"sse", "sse2"}, "Katmai", None),
        ("Graviton3", NEOVERSE, "neoversev1", None),
    ],
    ids=lambda each: each if isinstance(each, str) and " " in each else "",
)
def test_a_kernel_is_advised_where_a_slower_one_was_chosen(
    cpu: str, flags: set[str], chosen: str, better: str | None
) -> None:
    """What the CPU has decides, and only kernels that are known to be slower are replaced."""
    assert better_kernel(flags, chosen=chosen, version="0.3.27") == better, cpu


@pytest.mark.parametrize("version", ["0.3.6", "0.3.26", ""])
def test_nothing_is_advised_about_old_versions(version: str) -> None:
    """Old versions are left alone."""
    for chosen in ("Haswell", "Katmai"):
        assert better_kernel(SKYLAKE_SERVER, chosen=chosen, version=version) is None


def test_nothing_is_advised_about_other_libraries() -> None:
    """A library without a kernel by name, such as MKL or Accelerate, is as good as it is."""
    assert advised_kernel(Blas(library="mkl-sdl", version="2025.0")) is None
    assert str(Blas(library="accelerate", version="")) == "accelerate"


def test_without_threadpoolctl_only_the_build_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where threadpoolctl is not installed, library and version are those that NumPy and SciPy were built with."""
    known = numpy_blas(), scipy_blas()
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for full, bare in zip(known, (numpy_blas(), scipy_blas()), strict=True):
        assert full.library in bare.library
        assert (bare.kernel, bare.threads) == (None, None)
        assert advised_kernel(bare) is None


def kernel_of_numpy(**changes: str) -> list[str]:
    """Return kernel, threads and what was chosen instead, in a fresh process."""
    program = "from equilib.machine.blas import numpy_blas; b = numpy_blas(); print(b.kernel, b.threads, b.instead_of)"
    environment = {name: value for name, value in os.environ.items() if name not in (CORETYPE, CHOSEN)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment | changes)
    return done.stdout.decode().split()


@pytest.mark.skipif(numpy_blas().kernel is None, reason="NumPy's library has no kernels by name to choose from")
@pytest.mark.skipif(not {"avx2", "fma"} <= (cpu_flags() or set()), reason="this CPU cannot run Haswell kernels")
def test_a_forced_kernel_is_seen() -> None:
    """What OPENBLAS_CORETYPE and OPENBLAS_NUM_THREADS made of the library is what is reported."""
    assert kernel_of_numpy(**{CORETYPE: "Haswell", "OPENBLAS_NUM_THREADS": "1"}) == ["Haswell", "1", "None"]
    assert kernel_of_numpy(**{CORETYPE: "haswell", CHOSEN: "Nehalem"})[::2] == ["Haswell", "Nehalem"]


def test_a_choice_of_ours_is_said() -> None:
    """The text names the kernel in use and the one that OpenBLAS chose."""
    blas = Blas(library="openblas", version="0.3.31", kernel="SkylakeX", threads=1, instead_of="Haswell")
    assert str(blas) == "OpenBLAS 0.3.31, SkylakeX kernels (it chose Haswell), 1 thread"
    assert blas.describe() == {
        "library": "openblas",
        "version": "0.3.31",
        "kernel": "SkylakeX",
        "threads": 1,
        "instead_of": "Haswell",
    }


def test_importing_changes_no_environment() -> None:
    """The environment after `import equilib` and after importing the command line is what it was."""
    program = "import os; before = dict(os.environ); import equilib, equilib.cli; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", program], check=True)
