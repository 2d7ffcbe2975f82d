"""Compilation by numba of functions of words, to object files that need nothing of numba.

numba's own wrappers call the interpreter where a function raises. Compiled functions here raise nothing, so each gets
one that does not look; all that it calls is compiled into its object file, which LLVM optimizes once, as a whole.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import codegen, compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher, CPUTarget, cpu_target

from equilib_numba.registers import cpu

HOW = {"error_model": "numpy", "fastmath": {"contract"}}
"""Options of numba: a product and a sum may be rounded once."""

_ALONE = {"nopython": True, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of numba: arrays are memory of others, and no Python calls the function."""

_LIBRARY = {"memcpy", "memmove", "memset", "sqrt", "sqrtf", "tanh", "exp"}
"""Functions of the C library, which every process has."""


class _Library(codegen.AOTCodeLibrary):
    """Code of a function and of all that it calls; it is neither optimized nor run on its own."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def get_pointer_to_function(self, name: str) -> int:
        """Return no address: code is called by other code only."""
        return 0

    def optimized(self, symbol: str) -> bytes:
        """Return the object file, in which all but one function may be changed or left out."""
        self.finalize()
        module = self._final_module
        for each in (*module.functions, *module.global_variables):
            if not each.is_declaration and each.name != symbol:
                each.linkage = "internal"
        super()._optimize_final_module()
        code: bytes = self.emit_native_object()
        return code

    def foreign(self) -> set[str]:
        """Return the names of what others have to define; LLVM's own functions need the C library only."""
        module = self._final_module
        names = (each.name for each in (*module.functions, *module.global_variables) if each.is_declaration)
        return {name for name in names if not name.startswith("llvm.")}


class _Codegen(codegen.JITCPUCodegen):
    """LLVM as numba uses it, for the CPU that is asked for."""

    _library_class = _Library

    def _get_host_cpu_name(self) -> str:
        return cpu()[0]

    def _get_host_cpu_features(self) -> str:
        return cpu()[1]

    def _add_module(self, module: Any) -> None:
        pass

    def set_env(self, env_name: str, env: Any) -> None:
        """Keep no Python objects."""


class _Target(CPUTarget):
    """numba's CPU, whose code is not run."""

    @property
    def typing_context(self) -> Any:
        """numba's own."""
        return cpu_target.typing_context

    @property
    def target_context(self) -> Any:
        """numba's own, but for what makes the code."""
        return _context()


@cache
def _context() -> Any:
    context = cpu_target.target_context
    context.refresh()
    # numba's own functions have been looked for once: not before each function again.
    own = {"cached_internal_func": {}, "load_additional_registries": lambda: None}
    return context.subtarget(_internal_codegen=_Codegen("equilib"), **own)


class _Function(CPUDispatcher):
    """A function that only compiled functions call."""

    targetdescr = _Target("cpu")


def _called(function: Callable[..., Any], **options: Any) -> Any:
    return _Function(function, targetoptions={**_ALONE, **options})


compiled: Any = partial(_called, **HOW)
"""Decorator of a function that compiled functions call."""

summing: Any = partial(_called, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
"""Decorator of one that adds many numbers up, in any order; it does nothing else, as ∞ − ∞ may come of other orders."""


@global_compiler_lock
def machine_code(name: str, dtype: np.dtype | None, symbol: str) -> tuple[bytes, bool]:
    """Return the object file that defines a function as `symbol`, and whether other processes can load it."""
    module, _, own = name.rpartition(".")
    function = getattr(import_module(f"equilib_numba.code.{module}"), own)
    library = _compiled(function if dtype is None else function(dtype), symbol)
    return library.optimized(symbol), library.foreign() <= _LIBRARY


def _compiled(function: Callable[..., None], symbol: str) -> _Library:
    """Return the code of a function of words that returns nothing, as a function of C."""
    context, words = _context(), (types.intp,) * len(inspect.signature(function).parameters)
    flags = compiler.Flags()
    cpu_target.options.parse_as_flags(flags, {**_ALONE, **HOW})
    flags.no_compile = True
    made = compiler.compile_extra(cpu_target.typing_context, context, function, words, types.void, flags, {})
    module, word = made.library.create_ir_module(symbol), context.get_value_type(types.intp)
    inner = ir.Function(module, context.call_conv.get_function_type(types.void, words), made.fndesc.llvm_func_name)
    outer = ir.Function(module, ir.FunctionType(ir.VoidType(), [word] * len(words)), symbol)
    builder = ir.IRBuilder(outer.append_basic_block())
    context.call_conv.call_function(builder, inner, types.void, words, outer.args)
    builder.ret_void()
    made.library.add_ir_module(module)
    return made.library
