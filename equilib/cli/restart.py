"""Restart of the program with the kernels that OpenBLAS should have chosen.

OPENBLAS_CORETYPE is read when OpenBLAS is loaded, which `import equilib` does, and what OpenBLAS chooses by itself is
known after that only. So the program looks, and where it finds better kernels it replaces itself (execve: the same
process, arguments and standard streams) by one with the variable set. On most machines it does not come to that.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from equilib.machine.blas import CHOSEN, CORETYPE, advised_kernel, numpy_blas


def use_best_kernels() -> None:
    """Replace the program `equilib` by itself with better kernels, unless OpenBLAS has none or the user chose."""
    # A script that calls `main` has done things already which must not be done twice.
    program = Path(sys.argv[0])
    ours = program.stem == "equilib" or program.parts[-2:] == ("equilib", "__main__.py")
    if not ours or CORETYPE in os.environ:
        return
    blas = numpy_blas()
    kernel = advised_kernel(blas)
    if kernel is not None:
        restart_with(kernel, instead_of=str(blas.kernel))


def restart_with(kernel: str, *, instead_of: str) -> None:
    """Replace this program by itself with OPENBLAS_CORETYPE set; do nothing where that was done or is not possible."""
    if CHOSEN in os.environ or not sys.executable:
        return
    environment = {**os.environ, CORETYPE: kernel, CHOSEN: instead_of}
    with contextlib.suppress(OSError):  # slower kernels are no reason not to run
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
