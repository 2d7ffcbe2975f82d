"""Words of memory that several threads read and write, in compiled code; each access is seen by all in one order."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_ORDER = "seq_cst"
_PAUSES = {"x86_64": ("llvm.x86.sse2.pause", ()), "AMD64": ("llvm.x86.sse2.pause", ())}
_PAUSES |= dict.fromkeys(("aarch64", "arm64"), ("llvm.aarch64.hint", (1,)))


def _word(context: Any, builder: ir.IRBuilder, place: ir.Value) -> ir.Value:
    return builder.inttoptr(place, context.get_value_type(types.intp).as_pointer())


@intrinsic
def read(typingctx: Any, place: Any) -> Any:
    """Return the word at an address."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_word(context, builder, values[0]), _ORDER, 8)

    return types.intp(types.intp), codegen


@intrinsic
def write(typingctx: Any, place: Any, value: Any) -> Any:
    """Set the word at an address."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store_atomic(values[1], _word(context, builder, values[0]), _ORDER, 8)
        return context.get_dummy_value()

    return types.none(types.intp, types.intp), codegen


@intrinsic
def add(typingctx: Any, place: Any, value: Any) -> Any:
    """Add to the word at an address; return what it was."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("add", _word(context, builder, values[0]), values[1], _ORDER)

    return types.intp(types.intp, types.intp), codegen


@intrinsic
def replace(typingctx: Any, place: Any, old: Any, new: Any) -> Any:
    """Set the word at an address if it is `old`; return whether it was."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place, old, new = values
        return builder.extract_value(builder.cmpxchg(_word(context, builder, place), old, new, _ORDER, _ORDER), 1)

    return types.boolean(types.intp, types.intp, types.intp), codegen


@intrinsic
def pause(typingctx: Any) -> Any:
    """Let the other thread of a core have it for a moment."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        name, numbers = _PAUSES.get(platform.machine(), ("", ()))
        if name:
            kind, arguments = ir.IntType(32), [ir.Constant(ir.IntType(32), each) for each in numbers]
            function = ir.FunctionType(ir.VoidType(), [kind] * len(arguments))
            builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)
        return context.get_dummy_value()

    return types.none(), codegen
