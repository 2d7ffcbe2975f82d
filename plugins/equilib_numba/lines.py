"""Lines of images and kernels, laid out for a product of matrices, and lines of pixels that come out of it."""

from __future__ import annotations

from typing import Any

from equilib_numba.compiling import compiled
from equilib_numba.memory import address, call, clear, row, size_of
from equilib_numba.pixels import IDENTITY
from equilib_numba.team import shared


@compiled
def _lay_kernel(share: int, place: int, take: int, weight: Any, taps: Any, turned: bool, laid: Any) -> None:
    """Lay out one of a kernel's matrices in whole registers.

    `taps` are the first line and column that are taken and the steps from there; a turned kernel is the one of the
    transpose, whose channels are exchanged.
    """
    _, width, terms, room = laid.shape
    a, a_step, b, b_step = taps
    tap = weight[a + share // width * a_step, b + share % width * b_step]
    like = weight.dtype.type(0)
    if turned:
        clear(address(laid, share * terms * room), terms * room, like)
        target = laid[share // width, share % width]
        for o in range(tap.shape[0]):
            line = row(address(tap, o * terms), terms, like)
            for k in range(terms):
                target[k, o] = line[k]
    else:
        count = tap.shape[1]
        for k in range(terms):
            start = (share * terms + k) * room
            source = address(tap, k * count)
            call(take, (IDENTITY, source, source, address(laid, start), 1, count, count))
            clear(address(laid, start + count), room - count, like)


share_kernel = shared(_lay_kernel)


@compiled
def lay_lines(
    like: Any, take: int, activation: int, x: Any, value: Any, image: int, first: int, count: int, left: int,
    target: int, pixels: int, room: int,
) -> None:  # fmt: skip
    """Copy lines `first`, `first` + 1, ... of an image, from column −left on; what lies outside is left or made zero.

    The columns outside must be zero before.
    """
    _, height, width, channels = x.shape
    size = size_of(like)
    start, stop = max(0, -left), min(width, pixels - left)
    for k in range(count):
        line = target + k * pixels * room * size
        y = first + k
        if 0 <= y < height:
            source = ((image * height + y) * width + start) * channels
            into = line + (start + left) * room * size
            at = address(x, source), address(value, source)
            call(take, (activation, at[0], at[1], into, stop - start, channels, room))
        else:
            clear(line, pixels * room, like)


@compiled
def give_pixels(
    like: Any, give: int, activation: int, source: int, before: Any, after: Any, out: Any, start: int, pixels: int,
    room: int,
) -> None:  # fmt: skip
    """Write φ(numbers + before) + after to the result from its number `start` on."""
    outputs = out.shape[3]
    at = address(before, start if before.size > outputs else 0), address(after, start if after.size > outputs else 0)
    steps = _step(before, outputs), _step(after, outputs)
    call(give, (activation, source, at[0], steps[0], at[1], steps[1], address(out, start), pixels, outputs, room))


@compiled
def _step(term: Any, outputs: int) -> int:
    """Return the bytes from a pixel's numbers in a term to the next: 0 for a bias, −1 where there is no term."""
    if term.size == 0:
        return -1
    return outputs * term.itemsize if term.size > outputs else 0
