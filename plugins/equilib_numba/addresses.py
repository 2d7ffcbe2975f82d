"""Addresses of compiled functions, and the files that keep their machine code.

numba compiles what the package `code` contains, one function at a time. Its object file is kept beside the source if
that folder can be written to, else in the user's cache; LLVM alone loads it the next time, a hundred times as fast as
numba is imported. Each CPU has a folder of its own, and files are replaced in one step, so that several machines and
processes can share them; what is damaged, or of other sources, is compiled again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from threading import RLock

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from equilib_numba.registers import cpu

_HERE = Path(__file__).parent
_DIGEST = hashlib.sha256().digest_size

_found: dict[tuple[str, np.dtype | None], int] = {}
_lock = RLock()


def address(name: str, dtype: np.dtype | None = None) -> int:
    """Return the address of a compiled function: `name` is its module in the package `code`, a dot, and its own.

    With a dtype, it is what the function of that name returns for it.
    """
    found = _found.get((name, dtype))
    if found is None:
        with _lock:
            found = _found.get((name, dtype))
            if found is None:
                found = _found[name, dtype] = _loaded(name, dtype)
    return found


def _loaded(name: str, dtype: np.dtype | None) -> int:
    own = name if dtype is None else f"{name}.{dtype.name}"
    symbol, file = f"equilib_{own.replace('.', '_')}", f"{own}.o"
    code = _kept(file)
    if code is None:
        _announce()
        code, complete = import_module("equilib_numba.code.compiling").machine_code(name, dtype, symbol)
        if complete:
            _keep(file, code)
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return int(engine.get_function_address(symbol))


@cache
def _engine() -> llvm.ExecutionEngine:
    """Return what loads object files; it keeps them in memory."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


@cache
def _announce() -> None:
    logging.getLogger("equilib").warning("equilib: compiling kernels for this CPU; they are kept for the next time")


def _kept(file: str) -> bytes | None:
    """Return the code that a file keeps; None if there is none, or other than what was written for these sources."""
    for folder in _folders():
        with suppress(OSError):
            content = (folder / file).read_bytes()
            if content[:_DIGEST] == _digest(file, content[_DIGEST:]):
                return content[_DIGEST:]
    return None


def _keep(file: str, code: bytes) -> None:
    """Write code to the first folder that has room for it."""
    for folder in _folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / file, _digest(file, code) + code)
            return


def _write(file: Path, content: bytes) -> None:
    """Replace a file in one step; raises OSError."""
    temporary = file.with_name(f"{file.name}-{os.urandom(8).hex()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _digest(file: str, code: bytes) -> bytes:
    return hashlib.sha256(_sources() + file.encode() + code).digest()


@cache
def _sources() -> bytes:
    """Return what the code depends on besides the CPU: the package's sources and the compiler."""
    digest = hashlib.sha256(f"{version('numba')} {llvmlite.__version__}".encode())
    for path in sorted(_HERE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


@cache
def _folders() -> tuple[Path, ...]:
    """Return the folders in which code for this CPU is looked for, in this order."""
    name, features = cpu()
    own = hashlib.sha256(f"{llvm.get_process_triple()} {features}".encode()).hexdigest()[:8]
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return (Path(given) / "equilib" / f"{name}-{own}",)
    beside = _HERE / "__pycache__" / f"{name}-{own}"
    try:
        users = Path(os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home
        return (beside,)
    # Several installations of a user do not replace each other's code.
    place = hashlib.sha256(str(_HERE).encode()).hexdigest()[:8]
    return beside, users / "equilib" / "kernels" / f"{name}-{own}-{place}"
