"""Addresses of numbers in compiled code, and vectors of numbers.

Compiled functions pass parts of arrays on as addresses: a slice of an array would count references, which takes as
long as some pixels. Addresses and distances are of numba's type intp, in bytes; nothing checks their bounds.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from equilib_numba.code.compiling import compiled
from equilib_numba.registers import BYTES


def vector_of(element: ir.Type, kind: types.Float) -> ir.VectorType:
    """Return LLVM's type of a register full of numbers of `kind`, whose own type is `element`."""
    return ir.VectorType(element, BYTES * 8 // kind.bitwidth)


@intrinsic
def row(typingctx: Any, place: Any, count: Any, like: Any) -> Any:
    """Return `count` numbers at an address, of the type of the number `like`, as an array of one axis."""
    kind = types.Array(like, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(kind)(context, builder)
        size, data = context.get_constant(types.intp, like.bitwidth // 8), builder.inttoptr(values[0], array.data.type)
        arrayobj.populate_array(array, data, shape=[values[1]], strides=[size], itemsize=size, meminfo=None)
        return array._getvalue()

    return kind(types.intp, types.intp, like), codegen


@intrinsic(prefer_literal=True)
def words(typingctx: Any, place: Any, count: Any) -> Any:
    """Return as many words as a literal number says from an address on."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    found = types.UniTuple(types.intp, count.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = context.get_value_type(types.intp)
        start = builder.inttoptr(values[0], word.as_pointer())
        each = (builder.gep(start, [ir.Constant(word, k)]) for k in range(count.literal_value))
        return context.make_tuple(builder, found, [builder.load(one) for one in each])

    return found(types.intp, count), codegen


@intrinsic
def number(typingctx: Any, value: Any, like: Any) -> Any:
    """Return a number as one of the type of `like`."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return context.cast(builder, values[0], value, like)

    return like(value, like), codegen


@compiled
def clear(place: int, count: int, like: Any) -> None:
    """Set `count` numbers at an address to zero."""
    numbers, zero = row(place, count, like), number(0, like)
    for k in range(count):
        numbers[k] = zero


@intrinsic
def size_of(typingctx: Any, like: Any) -> Any:
    """Return the bytes of a number of the type of `like`."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return context.get_constant(types.intp, like.bitwidth // 8)

    return types.intp(like), codegen


@intrinsic
def call(typingctx: Any, function: Any, arguments: Any) -> Any:
    """Call the function of C at an address, of words that returns a word; what returns less leaves it undefined."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = context.get_value_type(types.intp)
        count = len(arguments)
        kind = ir.FunctionType(word, [word] * count)
        given = cgutils.unpack_tuple(builder, values[1], count)
        return builder.call(builder.inttoptr(values[0], kind.as_pointer()), given)

    kind = types.UniTuple(types.intp, len(arguments)) if len(arguments) else types.Tuple(())
    return types.intp(types.intp, kind), codegen
