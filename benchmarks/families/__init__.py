"""Families of maps that solvers are tried on, with all that is known of their fixed points."""

from benchmarks.families.cells import CELLS
from benchmarks.families.drifts import DRIFTS
from benchmarks.families.family import Family, Instance
from benchmarks.families.gradients import GRADIENTS
from benchmarks.families.linear import LINEAR
from benchmarks.families.residual_blocks import RESIDUAL_BLOCKS

FAMILIES: tuple[Family, ...] = (*LINEAR, *GRADIENTS, *RESIDUAL_BLOCKS, *CELLS, *DRIFTS)

__all__ = ["FAMILIES", "Family", "Instance"]
