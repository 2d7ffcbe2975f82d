"""The product of two matrices whose factors may lie anywhere, with its sums in the registers of the CPU.

Row r of the result is Σ over k of A[r, k] B[k, :], where k runs over two nested loops; so the windows of a convolution
need not be laid out where each line of a window is contiguous. A's numbers are spread over a register one by one, a
block of rows by one or two registers of columns is summed up at a time (Goto & van de Geijn 2008, ACM Transactions on
Mathematical Software 34(3), 12, doi:10.1145/1356052.1356053).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from equilib_numba.code.memory import vector_of
from equilib_numba.registers import BYTES, ROWS, WIDE

_STEPS = 11


class _Block:
    """LLVM code for a block of so many rows and registers of columns; steps are in bytes."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: types.Float, values: list[Any]) -> None:
        self.builder, self.element = builder, context.get_value_type(kind)
        self.vector = vector_of(self.element, kind)
        self.align = kind.bitwidth // 8
        names = ["a", "a_row", "a_inner", "a_outer", "b", "b_outer", "b_inner", "c", "c_row", "outer", "inner"]
        self.at = dict(zip(names, values, strict=True))
        self.sums = [[cgutils.alloca_once(builder, self.vector) for _ in range(WIDE)] for _ in range(ROWS)]

    def emit(self, rows: int, wide: int, *, add: ir.Value) -> None:
        builder, at, sums = self.builder, self.at, self.sums
        zero = ir.Constant(self.vector, [0.0] * self.vector.count)
        for r in range(rows):
            for v in range(wide):
                held = self._vector(self._result(r, v))
                builder.store(builder.select(add, held, zero), sums[r][v])
        a_rows = [builder.add(at["a"], self._times(at["a_row"], r)) for r in range(0, rows, 3)]
        steps = [self._times(at["a_row"], r) for r in range(3)]
        with cgutils.for_range(builder, at["outer"]) as outer:
            a_by = builder.mul(outer.index, at["a_outer"])
            b_by = builder.add(at["b"], builder.mul(outer.index, at["b_outer"]))
            a_from = [builder.add(each, a_by) for each in a_rows]
            with cgutils.for_range(builder, at["inner"]) as inner:
                by = builder.mul(inner.index, at["a_inner"])
                b = builder.add(b_by, builder.mul(inner.index, at["b_inner"]))
                columns = [self._vector(self._shift(b, v * BYTES)) for v in range(wide)]
                for r in range(rows):
                    place = builder.add(builder.add(a_from[r // 3], by), steps[r % 3])
                    number = self._splat(place)
                    for v in range(wide):
                        total = sums[r][v]
                        builder.store(self._multiply_add(number, columns[v], builder.load(total)), total)
        for r in range(rows):
            for v in range(wide):
                self._store(builder.load(sums[r][v]), self._result(r, v))

    def _times(self, step: ir.Value, count: int) -> ir.Value:
        return self.builder.mul(step, ir.Constant(step.type, count))

    def _shift(self, place: ir.Value, count: int) -> ir.Value:
        return self.builder.add(place, ir.Constant(place.type, count))

    def _result(self, r: int, v: int) -> ir.Value:
        return self._shift(self.builder.add(self.at["c"], self._times(self.at["c_row"], r)), v * BYTES)

    def _vector(self, place: ir.Value) -> ir.Value:
        return self.builder.load(self.builder.inttoptr(place, self.vector.as_pointer()), align=self.align)

    def _store(self, value: ir.Value, place: ir.Value) -> None:
        self.builder.store(value, self.builder.inttoptr(place, self.vector.as_pointer()), align=self.align)

    def _splat(self, place: ir.Value) -> ir.Value:
        builder = self.builder
        number = builder.load(builder.inttoptr(place, self.element.as_pointer()))
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), [0] * self.vector.count)
        return builder.shuffle_vector(first, undefined, mask)

    def _multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        # What the CPU does fastest: one operation where it has it, else two.
        name = f"llvm.fmuladd.v{self.vector.count}f{self.align * 8}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c])


@intrinsic
def _block(typingctx: Any, like: Any, rows: Any, wide: Any, add: Any, steps: Any) -> Any:
    """Compute a block of up to ROWS rows and WIDE registers."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, rows, wide, add, together = values
        emitted = _Block(context, builder, like, cgutils.unpack_tuple(builder, together, _STEPS))
        number = builder.add(builder.mul(rows, ir.Constant(rows.type, WIDE)), wide)
        end = builder.append_basic_block("end")
        choice = builder.switch(number, end)
        for r in range(1, ROWS + 1):
            for w in range(1, WIDE + 1):
                case = builder.append_basic_block(f"rows{r}wide{w}")
                choice.add_case(ir.Constant(number.type, r * WIDE + w), case)
                builder.position_at_end(case)
                emitted.emit(r, w, add=add)
                builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.none(like, types.intp, types.intp, types.boolean, types.UniTuple(types.intp, _STEPS)), codegen


def multiply(dtype: np.dtype) -> Any:
    """Return the product of two matrices, a function of 14 words.

    f(rows, registers, add, a, a row, a inner, a outer, b, b outer, b inner, c, c row, outer, inner) writes the sums of
    A[r, k, l] B[k, l, :] over `outer` k and `inner` l to C[r, :], or adds them.
    """
    zero = dtype.type(0)

    def product(
        rows: int, registers: int, add: int, a: int, a_row: int, a_inner: int, a_outer: int, b: int, b_outer: int,
        b_inner: int, c: int, c_row: int, outer: int, inner: int,
    ) -> None:  # fmt: skip
        blocks = -(-rows // ROWS)
        for v in range(0, registers, WIDE):
            first, wide = 0, min(WIDE, registers - v)
            for block in range(blocks):
                last = rows * (block + 1) // blocks
                a_from, b_from, c_from = a + first * a_row, b + v * BYTES, c + first * c_row + v * BYTES
                steps = (a_from, a_row, a_inner, a_outer, b_from, b_outer, b_inner, c_from, c_row, outer, inner)
                _block(zero, last - first, wide, add != 0, steps)
                first = last

    return product
