"""Kernels: other code than the core's formulas for its operations, from plugins, chosen call by call.

An operation of the core is its formula on the array namespace. Which kernels there are is told by the plugins' records;
which of them computes a call is decided from these and the arguments, and without any the formula computes it.
"""

from equilib.kernels.family import BrokenFamilyError, Candidate, Family
from equilib.kernels.kernel import Kernel, KernelFamily
from equilib.kernels.operations import OPERATIONS, Operation, operation
from equilib.kernels.selection import (
    AUTO,
    NONE,
    VARIABLE,
    KernelWarning,
    UnknownKernels,
    candidates_of,
    chosen,
    families,
    families_in_use,
    offer,
    offering,
    require_choice,
    use_kernels,
    using_kernels,
    warn_if_idle,
)

__all__ = [
    "AUTO",
    "NONE",
    "OPERATIONS",
    "VARIABLE",
    "BrokenFamilyError",
    "Candidate",
    "Family",
    "Kernel",
    "KernelFamily",
    "KernelWarning",
    "Operation",
    "UnknownKernels",
    "candidates_of",
    "chosen",
    "families",
    "families_in_use",
    "offer",
    "offering",
    "operation",
    "require_choice",
    "use_kernels",
    "using_kernels",
    "warn_if_idle",
]
