"""CUDA C run on the CPU: the very sources, compiled by a C++ compiler, with threads that take turns (`threads.h`)."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

COMPILER = shutil.which("g++")
_lock = Lock()  # there is one GPU
_NAMES = re.compile(r'extern "C" __global__ void\s+(\w+)\(')


def run(
    code: str, name: str, grid: Sequence[int], threads: int, args: Sequence[Any], hosts: Sequence[Any],
    *, backwards: bool = False,
) -> None:  # fmt: skip
    """Launch a kernel as `cupy_emulator.kernels.executing` says; `backwards` is the order in which threads take turns.

    Raises RuntimeError if some threads of a block wait for others that have ended.
    """
    kept = [np.asarray(each) for each in hosts]
    places = [ctypes.c_void_p(each.ctypes.data) for each in kept]
    given = (ctypes.c_void_p * len(kept))()
    for number, (arg, host, place) in enumerate(zip(args, kept, places, strict=True)):
        by_value = isinstance(arg, np.ndarray | np.generic)
        given[number] = host.ctypes.data if by_value else ctypes.addressof(place)
    sizes = (ctypes.c_uint * 3)(*(*grid, 1, 1)[:3])
    launch = getattr(_library(code), f"launch_{name}")
    with _lock:
        failed = launch(sizes, ctypes.c_uint(threads), given, ctypes.c_bool(backwards))
    if failed:
        raise RuntimeError(f"{name}: some threads of a block wait for others that have ended")


@cache
def _library(code: str) -> ctypes.CDLL:
    assert COMPILER is not None
    folder = Path(tempfile.mkdtemp(prefix="cuda-on-host-"))
    try:
        launches = (
            f'extern "C" EXPORTED int launch_{name}(const unsigned* grid, unsigned width, void** args, bool backwards)'
            f" {{ return threads::launch<{name}>(grid, width, args, backwards); }}"
            for name in _NAMES.findall(code)
        )
        lines = ['#include "threads.h"', code, *launches]
        (folder / "code.cpp").write_text("\n".join(lines))
        command = [COMPILER, "-std=c++17", "-O1", "-shared", "-fPIC", "-U_FORTIFY_SOURCE", "-Wall", "-Werror"]
        command += ["-Wno-unused", "-Wno-unknown-pragmas", "-fvisibility=hidden", "-fno-gnu-unique"]
        command += ["-I", str(Path(__file__).parent)]
        subprocess.run([*command, "code.cpp", "-o", "code.so"], cwd=folder, check=True)
        return ctypes.CDLL(str(folder / "code.so"))
    finally:
        shutil.rmtree(folder)
