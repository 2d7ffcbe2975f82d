"""Families of kernels that break one law each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from equilib.kernels import OPERATIONS, Kernel
from equilib.ops.windows import Padding, Pair
from tests.broken.fault import Fault, laws


def kernel(operation: str, code: Callable[..., Any] | None = None, **about: Any) -> Kernel:
    """Return a kernel of NumPy's arrays: the formula, or other code."""
    load = lambda: code or OPERATIONS[operation].formula  # noqa: E731
    return Kernel(
        **{"operation": operation, "name": "test", "about": "", "applies": lambda *_: True, "load": load} | about
    )


@dataclass(frozen=True)
class Sound:
    """Formulas as kernels, to be broken."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield a few."""
        return [kernel(operation) for operation in ("tanh", "relu", "matmul", "times_slope", "conv2d_block")]


@dataclass
class NotFrozen:
    """A dataclass, but not a frozen one."""

    kernels = Sound.kernels


@dataclass(frozen=True)
class WrongRecord(Sound):
    """A kernel whose cost is one number instead of two."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield it too."""
        return [*super().kernels(), kernel("tanh", name="costly", seconds=(1.0,))]


@dataclass(frozen=True)
class NameOfNothing(Sound):
    """A kernel for an operation that there is not."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield it too."""
        return [*super().kernels(), replace(kernel("tanh"), operation="convolve")]


@dataclass(frozen=True)
class OneNameTwice(Sound):
    """Two kernels of one name for one operation."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield both."""
        return [kernel("tanh"), kernel("tanh")]


@dataclass(frozen=True)
class Unloadable(Sound):
    """A kernel whose library is not there."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield it too."""
        return [*super().kernels(), kernel("gelu", load="no_such_library:load")]


@dataclass(frozen=True)
class Idle(Sound):
    """A kernel that never applies."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield it too."""
        return [*super().kernels(), kernel("gelu", applies=lambda x: x.ndim == 7)]


@dataclass(frozen=True)
class _Broken(Sound):
    """One operation by other code."""

    def code(self, x: np.ndarray) -> np.ndarray:
        """Return relu of x."""
        return np.maximum(x, 0)

    def kernels(self) -> Iterable[Kernel]:
        """Yield it."""
        return [kernel("relu", self.code)]


@dataclass(frozen=True)
class Wrong(_Broken):
    """A slope of 1.001."""

    def code(self, x: np.ndarray) -> np.ndarray:
        """Return a little more."""
        return 1.001 * np.maximum(x, 0)


@dataclass(frozen=True)
class ByMemory(_Broken):
    """A loop over the numbers in the order in which they lie."""

    def code(self, x: np.ndarray) -> np.ndarray:
        """Take the numbers as they lie."""
        return np.maximum(x.ravel(order="K"), 0).reshape(x.shape)


@dataclass(frozen=True)
class HidingNaN(_Broken):
    """A comparison that is false for what is not a number."""

    def code(self, x: np.ndarray) -> np.ndarray:
        """Return 0 for NaN."""
        return np.fmax(x, 0)


@dataclass(frozen=True)
class InPlace(_Broken):
    """The result in the argument as well."""

    def code(self, x: np.ndarray) -> np.ndarray:
        """Change x."""
        if x.flags.writeable and x.shape == (6, 40, 50):
            np.maximum(x, 0, out=x)
        return np.maximum(x, 0)


@dataclass(frozen=True)
class Scratch(_Broken):
    """A result that is kept, and used again."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", {})

    def code(self, x: np.ndarray) -> np.ndarray:
        """Write to the same array each time."""
        out: np.ndarray = self.kept.setdefault((x.shape, x.dtype), np.empty(x.shape, x.dtype))  # type: ignore[attr-defined]
        return np.maximum(x, 0, out=out)


@dataclass(frozen=True)
class Widening(_Broken):
    """Single precision in, double precision out."""

    def code(self, x: np.ndarray) -> np.ndarray:
        """Return float64."""
        return np.maximum(x, 0).astype("float64")


@dataclass(frozen=True)
class Drifting(_Broken):
    """A sum whose order changes from call to call."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", [])

    def code(self, x: np.ndarray) -> np.ndarray:
        """Round otherwise each time."""
        self.calls.append(1)  # type: ignore[attr-defined]
        return np.maximum(x, 0) * x.dtype.type(1 + len(self.calls) % 3 * 2 * np.finfo(x.dtype).eps)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class SharedScratch(_Broken):
    """A scratch array that all threads write to."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scratch", {})

    def code(self, x: np.ndarray) -> np.ndarray:
        """Fill the scratch array, and copy it a little later."""
        scratch: np.ndarray = self.scratch.setdefault((x.shape, x.dtype), np.empty(x.shape, x.dtype))  # type: ignore[attr-defined]
        np.maximum(x, 0, out=scratch)
        if x.shape == (33, 257):
            time.sleep(0.001)
        return scratch.copy()


@dataclass(frozen=True)
class WrongTail(_Broken):
    """A loop shared by threads from 20,000 numbers on, of which the rest of the last share is left out."""

    def code(self, x: np.ndarray) -> np.ndarray:
        """Leave zeros behind the last whole block."""
        out = np.maximum(x, 0)
        rest = x.size % 4096 if x.size >= 20_000 else 0
        out.reshape(-1)[x.size - rest :] = 0
        return out


@dataclass(frozen=True)
class ShortIndex(_Broken):
    """An index of 16 bits."""

    def code(self, x: np.ndarray) -> np.ndarray:
        """Begin again after 65,536 numbers."""
        where = np.arange(x.size).astype(np.uint16)
        return np.maximum(x.reshape(-1)[where], 0).reshape(x.shape)


@dataclass(frozen=True)
class _BrokenConvolution(Sound):
    """A convolution by other code."""

    def code(self, x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Padding) -> np.ndarray:
        """Return the convolution."""
        found: np.ndarray = OPERATIONS["conv2d"].formula(x, weight, stride, padding)
        return found

    def kernels(self) -> Iterable[Kernel]:
        """Yield it."""
        return [kernel("conv2d", self.code)]


@dataclass(frozen=True)
class EightSamples(_BrokenConvolution):
    """Blocks of eight samples, of which the last is not computed if it is not whole."""

    def code(self, x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Padding) -> np.ndarray:
        """Leave the samples behind the last block as they are."""
        out = super().code(x, weight, stride, padding)
        if len(x) > 8:
            out[len(x) - len(x) % 8 :] = 0
        return out


@dataclass(frozen=True)
class SixteenChannels(_BrokenConvolution):
    """Registers of sixteen channels, whose rest is not computed behind a whole one."""

    def code(self, x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Padding) -> np.ndarray:
        """Leave the channels behind the last register as they are."""
        out = super().code(x, weight, stride, padding)
        if out.shape[3] > 16:
            out[..., out.shape[3] - out.shape[3] % 16 :] = 0
        return out


@dataclass(frozen=True)
class ShortBorder(_BrokenConvolution):
    """Borders that are no wider than the kernel."""

    def code(self, x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Padding) -> np.ndarray:
        """Copy the last line that was computed to those behind it."""
        out = super().code(x, weight, stride, padding)
        if padding[0][1] > weight.shape[0] and len(out):
            out[:, -1] = 1
        return out


@dataclass(frozen=True)
class KernelBeyondImage(_BrokenConvolution):
    """Lines of the kernel are clipped to the image, from its first line on."""

    def code(self, x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Padding) -> np.ndarray:
        """Leave the lines of the kernel out that the image has not."""
        whole = weight.copy()
        if weight.shape[0] > x.shape[1] > 1:
            whole[x.shape[1] :] = 0
        return super().code(x, whole, stride, padding)


@dataclass(frozen=True)
class Trusting(Sound):
    """A product that reads as many rows as the first matrix has columns."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield it."""
        return [
            kernel(
                "matmul", lambda x, y: np.matmul(x, y[..., : x.shape[-1], :]) if x.shape[-1] <= y.shape[-2] else x @ y
            )
        ]


@dataclass(frozen=True)
class WrongInAProduct(Sound):
    """A slope that is right for no call of the kit but in a derivative."""

    def kernels(self) -> Iterable[Kernel]:
        """Yield it."""

        def code(v: np.ndarray, y: np.ndarray, activation: str) -> np.ndarray:
            wrong = v.shape[-1] == 4
            return OPERATIONS["times_slope"].formula(v, y, activation) * (1 + wrong)

        return [kernel("times_slope", code)]


DERIVATIVES, LARGE = "has_the_formulas_derivatives", "computes_large_arrays"
NAN = "keeps_nan_and_inf_in_place"
FAULTS = (
    Fault(NotFrozen(), "declares_its_options"),
    Fault(NameOfNothing(), "names_operations"),
    Fault(OneNameTwice(), "names_operations"),
    Fault(WrongRecord(), "names_operations"),
    Fault(Unloadable(), "loads", laws(DERIVATIVES)),
    Fault(Idle(), "applies_to_something"),
    Fault(Wrong(), "computes_the_formula", laws(LARGE, "takes_views", DERIVATIVES)),
    Fault(EightSamples(), "computes_the_formula", laws(LARGE, "takes_views", NAN)),
    Fault(SixteenChannels(), "computes_the_formula", laws(LARGE, "takes_views", NAN)),
    Fault(ShortBorder(), "computes_the_formula", laws("takes_views", NAN)),
    Fault(KernelBeyondImage(), "computes_the_formula", laws("takes_views", NAN)),
    Fault(WrongTail(), LARGE),
    Fault(ShortIndex(), LARGE),
    Fault(ByMemory(), "takes_views"),
    Fault(HidingNaN(), NAN),
    Fault(Trusting(), "refuses_what_does_not_fit"),
    Fault(InPlace(), "changes_no_argument"),
    Fault(Scratch(), "returns_new_arrays", laws("serves_several_threads")),
    Fault(Widening(), "returns_new_arrays", laws(DERIVATIVES)),
    Fault(Drifting(), "gives_the_same_bits_again", laws("serves_several_threads")),
    Fault(SharedScratch(), "serves_several_threads"),
    Fault(WrongInAProduct(), DERIVATIVES),
)
